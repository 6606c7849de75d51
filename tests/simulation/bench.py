"""One simulated log on a bench: faults that happen when the test says so, and processes to kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.faults import Faults
from tests.simulation.log import Cluster, SimulatedLog
from tests.simulation.log._consumer import SimulatedGroupConsumer
from tests.simulation.log._transactional import SimulatedTransactionalProducer
from tests.simulation.scheduler import Process, Scheduler
from weft.errors import LogError
from weft.log import LogRecord, TopicSpec

TIMEOUT_S = 30.0


class Ordered(Faults):
    """Happen as often as `order` says, at the next visits of their sites."""

    def __init__(self) -> None:
        super().__init__(Random(0), armed=frozenset())
        self._counts: dict[str, int] = {}

    def order(self, name: str, count: int = 1) -> None:
        self._counts[name] = count

    def fires(self, name: str) -> bool:
        count = self._counts.get(name, 0)
        self._counts[name] = max(0, count - 1)
        return count > 0


class Bench:
    """A topic `orders` of two partitions, and `state`, a compacted one. Calls run from outside of any task."""

    def __init__(self, *, is_cooperative: bool = True) -> None:
        self.scheduler = Scheduler(seed=1)
        self.faults = Ordered()
        self.cluster = Cluster(self.scheduler, self.faults, is_cooperative=is_cooperative)
        self.log = self.connect("test")
        for name in ("orders", "state"):
            self.cluster.create_topic(TopicSpec(name, 2, compacted=name == "state"))

    def connect(self, name: str) -> SimulatedLog:
        return self.cluster.connect(Process(self.scheduler, name))

    def sleep(self, seconds: float) -> None:
        """Let everything go on for so long."""
        until_s = self.scheduler.now + seconds
        task = self.scheduler.call_later(seconds, lambda: None, "bench")
        assert self.scheduler.run(lambda: task.done, math.inf)
        assert self.scheduler.now >= until_s

    def producer(self, transactional_id: str = "owner") -> SimulatedTransactionalProducer:
        producer = self.log.transactional_producer(transactional_id)
        producer.fence(TIMEOUT_S)
        return producer

    def write(
        self, *values: bytes | None, key: bytes = b"key", topic: str = "orders"
    ) -> list[LogError | None]:
        """To partition 0; returns what the callbacks were told."""
        producer = self.log.producer()
        told: list[LogError | None] = []
        for value in values:
            producer.produce(
                topic, 0, key, value, on_delivery=lambda error, _p, _o: told.append(error)
            )
        assert producer.flush(TIMEOUT_S) == 0
        producer.close()
        return told

    def records(self, topic: str = "orders") -> list[LogRecord]:
        """What a committed reader sees in partition 0 now."""
        return self.cluster.inspect.committed_records(topic, 0)

    def values(self, topic: str = "orders") -> list[bytes | None]:
        return [record.value for record in self.records(topic)]

    def undecided_count(self) -> int:
        return len(self.cluster.inspect.partition("orders", 0).open)

    def member(
        self, log: SimulatedLog | None = None, instance_id: str | None = None
    ) -> BenchMember:
        return BenchMember(log or self.log, instance_id)

    def until_owned(self, *members: BenchMember) -> None:
        """Poll them in turn until they share the two partitions evenly."""
        for _ in range(1000):
            for member in members:
                member.poll()
            counts = [len(member.owned) for member in members]
            if sum(counts) == 2 and max(counts) - min(counts) <= 1:
                return
        raise AssertionError([member.told for member in members])


class BenchMember:
    def __init__(self, log: SimulatedLog, instance_id: str | None) -> None:
        self.told: list[tuple[str, list[int]]] = []
        self.owned: set[int] = set()
        self.when_revoked: Callable[[], object] = lambda: None
        self.consumer: SimulatedGroupConsumer = log.group_consumer(
            "group", ["orders"], self, instance_id=instance_id
        )

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.told.append(("assigned", list(partitions)))
        self.owned.update(partitions)
        self.consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self.told.append(("revoked", list(partitions)))
        self.when_revoked()
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self.told.append(("lost", list(partitions)))
        self.owned.difference_update(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        self.told.append(("stalled", list(partitions)))

    def poll(self) -> list[LogRecord]:
        return self.consumer.poll(100, 0.05)
