"""An owner's two transactional producers, used in turn.

A commit returns when the transaction is decided; the broker marks its partitions afterwards, and until that is done the
same producer's next transaction is put off (by 20 ms at a time). The other producer's is not. The order of transactions
stays what it was: each is begun after the one before it was decided.
"""

from __future__ import annotations

from weft.log import Log, TransactionalProducer


def ids_of(transactional_id: str) -> tuple[str, str]:
    """Of an owner, whose claims name the first. Both must be fenced to be rid of it."""
    return transactional_id, f"{transactional_id}~2"


class ProducersInTurn:
    """`next` before every transaction. Whatever a producer raises ends both: close them, and make new ones."""

    def __init__(self, log: Log, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._idle, self._last = (
            log.transactional_producer(one) for one in ids_of(transactional_id)
        )

    def fence(self, timeout_s: float) -> None:
        """Take both IDs: abort what their previous holder left open, and fence it. Call first."""
        for producer in (self._idle, self._last):
            producer.fence(timeout_s)

    def next(self) -> TransactionalProducer:
        """The one for the next transaction."""
        self._idle, self._last = self._last, self._idle
        return self._last

    def close(self) -> None:
        self._idle.close()
        self._last.close()
