"""The takeovers of an owner: from the assignment of partitions until they are served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from weft.host import HOST, Host
from weft.log import FROM_START, GroupConsumer, Log, TopicPartition
from weft.metrics import WorkerMetrics
from weft.topics import Namespace
from weft.worker._allocator import give_back
from weft.worker._commits import Commits
from weft.worker._partition import Partition
from weft.worker._serving import Serving
from weft.worker._takeover import Takeover

logger = logging.getLogger("weft.worker")

_REBUILD_RECORDS_MAX = 5000
_REBUILD_POLL_S = 0.05
_LEAVINGS_RECORDS_MIN = 10_000
"""Reading so many leaves memory behind that is worth giving back."""
_COMMITTED_TIMEOUT_S = 10.0


class Takeovers:
    """Those that are under way."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        *,
        make: Callable[[int], Partition],
        commits: Commits,
        serving: Serving,
        metrics: WorkerMetrics,
        instance_id: str,
        partition_count: int,
        host: Host = HOST,
    ) -> None:
        """`make` makes a partition that knows nothing yet."""
        self.topics = (namespace.signals, namespace.results, namespace.messages, namespace.queries)
        """Those whose committed offsets go with a partition."""
        self._log = log
        self._namespace = namespace
        self._make = make
        self._commits = commits
        self._serving = serving
        self._metrics = metrics
        self._instance_id = instance_id
        self._partition_count = partition_count
        self._host = host
        self._takeovers: list[Takeover] = []
        self._assigned_at: dict[int, float] = {}

    @property
    def are_under_way(self) -> bool:
        return bool(self._takeovers)

    def begin(self, numbers: Sequence[int]) -> None:
        """These were assigned together."""
        for number in numbers:
            self._assigned_at[number] = self._host.monotonic()
        self._takeovers.append(
            Takeover(self._log, self._namespace, numbers, self._make, self._host)
        )

    def begin_anew(self, numbers: Sequence[int], consumer: GroupConsumer) -> None:
        """These were served before, or on the way to it: back to their committed offsets."""
        consumer.pause(numbers)
        committed = self._committed(numbers, consumer, FROM_START)
        for (topic, number), offset in committed.items():
            consumer.seek(topic, number, offset)
        self.begin(numbers)

    def advance(self, consumer: GroupConsumer) -> None:
        """Claim and read a little; what is complete is served from now on."""
        for takeover in list(self._takeovers):
            if not takeover.claimed:
                self._claim(takeover, consumer)
            for partition in takeover.read(_REBUILD_RECORDS_MAX, _REBUILD_POLL_S):
                self._serve(partition, consumer)
            if not takeover.numbers:
                self._metrics.rebuild_records.inc(takeover.record_count)
                takeover.close()
                self._takeovers.remove(takeover)
                if takeover.record_count >= _LEAVINGS_RECORDS_MIN:
                    give_back()

    def drop(self, numbers: Sequence[int]) -> None:
        """These are not ours any more, or must be taken over anew."""
        for takeover in list(self._takeovers):
            takeover.drop(numbers)
            if not takeover.numbers:
                takeover.close()
                self._takeovers.remove(takeover)

    def close(self) -> None:
        for takeover in self._takeovers:
            takeover.close()

    def _claim(self, takeover: Takeover, consumer: GroupConsumer) -> None:
        assert self._commits.producers is not None, "the owner opens them"
        committed = self._committed(takeover.numbers, consumer, 0)
        self._commits.positions.update(committed)
        takeover.claim(
            self._commits.producers,
            consumer.member(),
            committed,
            instance_id=self._instance_id,
            now_ms=int(self._host.time() * 1000),
            partition_count=self._partition_count,
        )

    def _committed(
        self, numbers: Iterable[int], consumer: GroupConsumer, without: int
    ) -> dict[TopicPartition, int]:
        """The committed offset of each topic of these partitions, or `without` where there is none."""
        wanted = [(topic, number) for number in numbers for topic in self.topics]
        committed = consumer.committed(wanted, _COMMITTED_TIMEOUT_S)
        return {position: committed.get(position, without) for position in wanted}

    def _serve(self, partition: Partition, consumer: GroupConsumer) -> None:
        self._serving.begin(partition)
        consumer.resume([partition.number])
        seconds = self._host.monotonic() - self._assigned_at[partition.number]
        self._metrics.rebuild_seconds.observe(seconds)
        logger.info(
            "partition %s of %s is served: %s workflows after %.2f s",
            partition.number,
            self._namespace.name,
            len(partition.cells),
            seconds,
        )
