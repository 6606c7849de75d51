"""What the tests of the log contract share: topics of their own, members that take notes, child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import pytest

from tests.log_contract.children import Child
from tests.log_contract.patience import PATIENCE_S, SHORT_S, until
from tests.simulation.faults import Faults
from tests.simulation.log import Cluster, SimulatedLog
from tests.simulation.scheduler import Process, Scheduler
from weft.errors import LogError
from weft.log import (
    FROM_START,
    Headers,
    Log,
    LogRecord,
    Producer,
    Reader,
    TopicSpec,
    TransactionalProducer,
    open_log,
)
from weft.log.embedded import EmbeddedLog
from weft.log.kafka import KafkaLog

__all__ = [
    "PATIENCE_S",
    "REAL",
    "SHORT_S",
    "Child",
    "Kit",
    "Member",
    "needs_processes",
    "settle",
    "until",
]

_UNDECIDED_S = 2.0
"""How long what was confirmed may take to be shown to readers. Tests whose transactions are open are kept so long."""
REAL = ("embedded", pytest.param("kafka", marks=pytest.mark.kafka))
needs_processes = pytest.mark.parametrize("kit", REAL, indirect=True)
"""For tests that kill other processes: these can share a real log only."""


class Member:
    """A group member that notes what its listener is told, and what it reads."""

    def __init__(
        self,
        kit: Kit,
        group: str,
        topics: Sequence[str],
        *,
        instance_id: str | None = None,
        auto_resume: bool = True,
    ) -> None:
        self.auto_resume = auto_resume
        self.told: list[tuple[str, list[int]]] = []
        self.owned: set[int] = set()
        self.records: list[LogRecord] = []
        self.when_revoked: Callable[[], None] = lambda: None
        self.when_stalled: Callable[[], object] = lambda: None
        self.consumer = kit.log.group_consumer(group, topics, self, instance_id=instance_id)
        kit.closes(self.consumer.close)

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.told.append(("assigned", sorted(partitions)))
        self.owned.update(partitions)
        if self.auto_resume:
            self.consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self.told.append(("revoked", sorted(partitions)))
        self.when_revoked()
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self.told.append(("lost", sorted(partitions)))
        self.owned.difference_update(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        self.told.append(("stalled", sorted(partitions)))
        self.when_stalled()

    def poll(self, timeout_s: float = 0.02) -> list[LogRecord]:
        records = self.consumer.poll(100, timeout_s)
        self.records += records
        return records

    def until_owns(self, partitions: Iterable[int]) -> None:
        expected = set(partitions)

        def owns() -> bool:
            self.poll()
            return self.owned == expected

        until(owns, f"one member to own {sorted(expected)}")

    def until_owns_so_many(self, count: int) -> None:
        def owns() -> bool:
            self.poll()
            return len(self.owned) == count

        until(owns, f"one member to own {count} partitions")

    def until_records(self, count: int) -> None:
        def enough() -> bool:
            self.poll()
            return len(self.records) >= count

        until(enough, f"{count} records")


class Kit:
    """One test's view of one backend. Whatever is made through it is closed after the test.

    `address` is the file of the embedded log, or Kafka's `host:port`. The simulated log has none, and a clock of its
    own: on it each call takes as long as it would take, and no time here.
    """

    def __init__(self, backend: str, address: str, prefix: str, stack: ExitStack) -> None:
        self.backend = backend
        self.address = address
        self.prefix = prefix
        self._stack = stack
        if backend == "simulated":
            self._scheduler = Scheduler(seed=1)
            without_faults = Faults(self._scheduler.random, armed=frozenset())
            self._cluster = Cluster(self._scheduler, without_faults)
        self.log = self.open_again()
        self._admin = self.log.admin()
        self.closes(self._admin.close)
        self._producer: Producer | None = None
        self._reader: Reader | None = None

    def closes(self, close: Callable[[], object]) -> None:
        self._stack.callback(close)

    def open_again(self) -> Log:
        log = self._opened()
        self.closes(log.close)
        return log

    def _opened(self) -> Log:
        if self.backend == "simulated":
            return self._cluster.connect(Process(self._scheduler, "test"))
        if self.backend == "kafka":
            return open_log(kafka=self.address)
        return open_log(embedded=self.address)

    def name(self, suffix: str) -> str:
        """A name that no other test uses."""
        return f"{self.prefix}.{suffix}"

    def topic(
        self,
        suffix: str,
        *,
        partitions: int = 1,
        compacted: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> str:
        """Make a topic; returns its name."""
        name = self.name(suffix)
        spec = TopicSpec(name, partitions, compacted=compacted, config=config or {})
        assert self._admin.create_topics([spec]) == [name]
        return name

    def producer(self) -> Producer:
        producer = self.log.producer()
        self.closes(producer.close)
        return producer

    def transactional(self, suffix: str = "producer") -> TransactionalProducer:
        """A transactional producer that has taken its ID."""
        log, transactional_id = self.log, self.name(suffix)
        if isinstance(log, KafkaLog | SimulatedLog):
            # Nothing here shall depend on how long a test takes on a busy machine.
            producer: TransactionalProducer = log.transactional_producer(
                transactional_id, timeout_s=60.0
            )
        else:
            producer = log.transactional_producer(transactional_id)
        self.closes(producer.close)
        producer.fence(PATIENCE_S)
        return producer

    def reader(self) -> Reader:
        reader = self.log.reader()
        self.closes(reader.close)
        return reader

    def member(
        self,
        topics: Sequence[str],
        group: str = "group",
        *,
        instance_id: str | None = None,
        auto_resume: bool = True,
    ) -> Member:
        return Member(
            self,
            self.name(group),
            topics,
            instance_id=instance_id,
            auto_resume=auto_resume,
        )

    def child(self, *arguments: str) -> Child:
        child = Child([self.backend, self.address, *arguments])
        self.closes(child.stop)
        return child

    def write(
        self,
        topic: str,
        *values: bytes | None,
        key: bytes | None = b"key",
        partition: int = 0,
        headers: Headers = (),
    ) -> list[int]:
        """Write plain records and wait for them; returns their offsets."""
        if self._producer is None:
            self._producer = self.producer()
        offsets: list[int] = []

        def delivered(error: LogError | None, _partition: int, offset: int) -> None:
            assert error is None, error
            offsets.append(offset)

        for value in values:
            self._producer.produce(topic, partition, key, value, headers, delivered)
        assert self._producer.flush(PATIENCE_S) == 0
        assert len(offsets) == len(values)
        return offsets

    def read(self, topic: str, *partitions: int) -> list[LogRecord]:
        """All records of the topic's partitions (default: the first), up to the present end."""
        if self._reader is None:
            self._reader = self.reader()
        wanted = {(topic, partition): FROM_START for partition in partitions or (0,)}
        return list(self._reader.read_to_end(wanted, PATIENCE_S, undecided_s=_UNDECIDED_S))

    def values(self, topic: str, *partitions: int) -> list[bytes | None]:
        return [record.value for record in self.read(topic, *partitions)]

    def clean(self) -> None:
        """Have the log cleaned, where that does not happen by itself."""
        if isinstance(self.log, EmbeddedLog):
            self.log.compact(tombstone_delay_s=0.0, dirty_ratio_min=0.0)
        if isinstance(self.log, SimulatedLog):
            self.log.cluster.compact(tombstone_delay_s=0.0)

    def now_ms(self) -> int:
        """The clock that timestamps are from."""
        if isinstance(self.log, SimulatedLog):
            return self.log.cluster.now_ms()
        return time.time_ns() // 1_000_000


def settle(members: Sequence[Member], partitions: int) -> None:
    """Poll the members in turn until they own all partitions, each once, evenly to within one."""

    def settled() -> bool:
        for member in members:
            member.poll()
        owned = sorted(partition for member in members for partition in member.owned)
        counts = [len(member.owned) for member in members]
        return owned == list(range(partitions)) and max(counts) - min(counts) <= 1

    until(settled, f"{len(members)} members to share {partitions} partitions evenly")
