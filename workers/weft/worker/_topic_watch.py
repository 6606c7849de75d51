"""The topics of a namespace, looked at before a worker starts and again while it runs.

A workflow's partition number comes from the partition count, so a changed count would give workflows a second owner
elsewhere that knows nothing of their state. Nobody can see that from one topic alone: so each claim carries the count
that its owner worked with, and whoever starts compares.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.codec import decode_claim
from weft.errors import LogUnavailableError, TopicError
from weft.log import FROM_START, Admin, Log
from weft.topics import Namespace, catalogue, check, partition_count

_READ_TIMEOUT_S = 10.0
_PATIENCE_S = 30.0


class TopicWatch:
    """Used by one thread at a time. Both checks raise TopicError, with the command that mends it."""

    def __init__(self, log: Log, namespace: Namespace, queues: Sequence[str]) -> None:
        self._log = log
        self._namespace = namespace
        self._queues = queues
        self._suspicion = ""

    def check_at_start(self, admin: Admin) -> int:
        """Everything about the topics; returns how many partitions they have."""
        count = partition_count(admin, self._namespace)
        specs = catalogue(self._namespace, partitions=count, queues=self._queues)
        problems = check(admin, specs)
        if problems:
            raise TopicError("\n".join(str(problem) for problem in problems))
        self._check_claims(count)
        return count

    def check_again(self, admin: Admin, count: int) -> None:
        """That they are all there, with `count` partitions. Raises when it finds the same fault twice in a row.

        Once is not enough: a broker that has just come back may not know of a topic yet.
        """
        names = [
            spec.name for spec in catalogue(self._namespace, partitions=count, queues=self._queues)
        ]
        try:
            found = admin.describe_topics(names, _READ_TIMEOUT_S)
        except LogUnavailableError:
            return
        faults = [
            f"topic {name} is gone" if name not in found
            else f"topic {name} has {found[name].partitions} partitions now"
            for name in names
            if name not in found or found[name].partitions != count
        ]  # fmt: skip
        suspicion, self._suspicion = self._suspicion, "; ".join(faults)
        if faults and suspicion == self._suspicion:
            raise changed_count(self._namespace, count, self._suspicion)

    def _check_claims(self, count: int) -> None:
        """What former owners worked with stands in `ns.owners`, one claim a partition."""
        reader = self._log.reader()
        try:
            offsets = {(self._namespace.owners, number): FROM_START for number in range(count)}
            for record in reader.read_to_end(offsets, _PATIENCE_S):
                claim = None if record.value is None else decode_claim(record.value)
                if claim is not None and claim.partition_count not in (0, count):
                    fault = f"its topics have {count} now"
                    raise changed_count(self._namespace, claim.partition_count, fault)
        finally:
            reader.close()


def changed_count(namespace: Namespace, count: int, fault: str) -> TopicError:
    """The error to raise when `namespace` is not any more what it was when it was served with `count` partitions."""
    return TopicError(
        f"Namespace {namespace.name} is served with {count} partitions, but {fault}. A workflow belongs to the "
        "partition that its ID and the count give, so with another count its state would not be found again: nothing "
        "is served. Kafka cannot take partitions away. Mend it with a new namespace of the count that is wanted "
        "(`weft topics create --namespace NEW --partitions N`) and start workflows there; what runs here goes on once "
        f"its topics have been made again with {count} partitions and their records copied, partition by partition."
    )
