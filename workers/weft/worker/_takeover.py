"""Taking over partitions: claim, then read the state up to the own claim, then serve.

The order is what makes it safe. The consumer has waited until the committed offsets are decided (a). The claim is
written in a transaction of its own (b): it lands behind everything that a former owner may still have had open, and the
group's generation in it keeps a zombie out. Whoever reads the state with read_committed and sees his own claim (c) has
seen every earlier transaction, committed or gone. Only then is the partition served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from weft.codec import decode_claim, encode
from weft.errors import FencedError
from weft.host import HOST, Host
from weft.log import (
    FROM_START,
    GroupMember,
    Log,
    TopicPartition,
)
from weft.records import Claim
from weft.topics import Namespace
from weft.worker._partition import Partition
from weft.worker._producers import ProducersInTurn, ids_of

logger = logging.getLogger("weft.worker")

CLAIM_KEY = b"\0claim"
"""No workflow ID begins with a null character, so a claim never meets a head."""
_COMMIT_TIMEOUT_S = 30.0
_FENCE_TIMEOUT_S = 30.0
_OWNERS_TIMEOUT_S = 10.0


class Takeover:
    """Partitions that were assigned together, on their way to being served."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        numbers: Iterable[int],
        make: Callable[[int], Partition],
        host: Host = HOST,
    ) -> None:
        self._namespace = namespace
        self._pending = {number: make(number) for number in numbers}
        self._nonces = {number: host.token() for number in self._pending}
        self._reader = log.reader()
        self.claimed = False
        self.record_count = 0

    @property
    def numbers(self) -> set[int]:
        return set(self._pending)

    def claim(
        self,
        producers: ProducersInTurn,
        member: GroupMember,
        next_offsets: Mapping[TopicPartition, int],
        *,
        instance_id: str,
        now_ms: int,
        partition_count: int,
    ) -> None:
        """Write the claims and begin to read. Raises what the producer raises; nothing is claimed then."""
        producer = producers.next()
        producer.begin()
        for number, nonce in self._nonces.items():
            claim = encode(
                Claim(
                    number,
                    producers.transactional_id,
                    instance_id,
                    nonce,
                    now_ms,
                    partition_count,
                )
            )
            producer.append(self._namespace.state, number, CLAIM_KEY, claim)
            producer.append(self._namespace.owners, number, str(number).encode(), claim)
        producer.send_offsets(next_offsets, member)
        producer.commit(_COMMIT_TIMEOUT_S)
        self.claimed = True
        state = self._namespace.state
        self._reader.assign({(state, number): FROM_START for number in self._pending})

    def read(self, records_max: int, timeout_s: float) -> list[Partition]:
        """Read a slice of the state; returns the partitions that are complete now."""
        done = []
        for record in self._reader.poll(records_max, timeout_s):
            partition = self._pending.get(record.partition)
            if partition is None:
                continue
            self.record_count += 1
            claim = partition.load(record)
            if claim is not None and claim.nonce == self._nonces[record.partition]:
                partition.loaded()
                done.append(self._pending.pop(record.partition))
        return done

    def drop(self, numbers: Iterable[int]) -> None:
        """These were revoked on the way."""
        for number in numbers:
            partition = self._pending.pop(number, None)
            if partition is not None:
                partition.close()

    def close(self) -> None:
        self._reader.close()


def fence_former_owners(
    log: Log, namespace: Namespace, numbers: Iterable[int], own_transactional_id: str
) -> list[str]:
    """Abort what dead owners of these partitions left open; returns the transactional IDs that were fenced.

    Reads undecided records on purpose: the transaction that stands in the way may itself be a claim.
    """
    wanted = set(numbers)
    reader = log.reader(committed=False)
    try:
        offsets = {(namespace.owners, number): FROM_START for number in wanted}
        claims = [
            decode_claim(record.value)
            for record in reader.read_to_end(offsets, _OWNERS_TIMEOUT_S)
            if record.value is not None
        ]
    finally:
        reader.close()
    holders = {claim.transactional_id for claim in claims} - {own_transactional_id}
    for transactional_id in sorted(one for holder in holders for one in ids_of(holder)):
        producer = log.transactional_producer(transactional_id)
        try:
            producer.fence(_FENCE_TIMEOUT_S)
        except FencedError:
            logger.info("%s was fenced by somebody else at the same time", transactional_id)
        finally:
            producer.close()
    return sorted(holders)
