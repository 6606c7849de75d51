"""A small system that needs everything a log promises: processes that copy each record of a topic exactly once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.faults import ARMED, Faults
from tests.simulation.log import Cluster
from tests.simulation.scheduler import Process, Scheduler
from weft.errors import FencedError, LogError, LogUnavailableError
from weft.log import FROM_START, GroupConsumer, Log, LogRecord, TopicSpec, TransactionalProducer

SOURCE = "source"
TARGET = "target"
GROUP = "copiers"
PARTITIONS = 4
_TIMEOUT_S = 30.0
_PAUSE_S = 0.1


class Copier:
    """One process of the group: offsets and copies in one transaction, and whatever is unknown is asked again."""

    def __init__(self, scheduler: Scheduler, log: Log, name: str, everybody: Sequence[str]) -> None:
        self.owned: set[int] = set()
        self.errors: list[LogError] = []
        self._scheduler = scheduler
        self._log = log
        self._name = name
        self._everybody = everybody
        self._consumer: GroupConsumer | None = None
        self._producer: TransactionalProducer | None = None

    def run(self) -> None:
        """Returns when another process has this one's instance ID."""
        self._patiently(self._start)
        while True:
            try:
                self._step()
            except LogUnavailableError as error:
                self._note(error)

    def _start(self) -> None:
        self._producer = self._new_producer()
        self._consumer = self._log.group_consumer(GROUP, [SOURCE], self, instance_id=self._name)

    def _step(self) -> None:
        assert self._consumer is not None
        records = self._consumer.poll(50, 0.5)
        if not records:
            return
        try:
            self._copy(records)
        except LogError as error:
            self._note(error)
            self._patiently(self._start_over)

    def _copy(self, records: Sequence[LogRecord]) -> None:
        assert self._consumer is not None
        assert self._producer is not None
        member = self._consumer.member()
        producer = self._producer
        producer.begin()
        for record in records:
            producer.append(TARGET, record.partition, record.key, record.value)
        offsets = {(SOURCE, record.partition): record.offset + 1 for record in records}
        producer.send_offsets(offsets, member)
        producer.commit(_TIMEOUT_S)

    def _start_over(self) -> None:
        assert self._consumer is not None
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        self._producer = self._new_producer()
        places = [(SOURCE, number) for number in sorted(self.owned)]
        committed = self._consumer.committed(places, _TIMEOUT_S)
        for topic, number in places:
            self._consumer.seek(topic, number, committed.get((topic, number), FROM_START))

    def _new_producer(self) -> TransactionalProducer:
        producer = self._log.transactional_producer(self._name)
        producer.fence(_TIMEOUT_S)
        return producer

    def _patiently(self, attempt: Callable[[], None]) -> None:
        while True:
            try:
                attempt()
                return
            except LogUnavailableError as error:
                self._note(error)

    def _note(self, error: LogError) -> None:
        self.errors.append(error)
        self._scheduler.sleep(_PAUSE_S)

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.owned.update(partitions)
        assert self._consumer is not None
        self._consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        for name in self._everybody:
            if name != self._name:
                producer = self._log.transactional_producer(name)
                try:
                    producer.fence(_TIMEOUT_S)
                except LogUnavailableError as error:
                    self._note(error)
                producer.close()


class Run:
    """One run: copiers that are killed, stopped and started again while a client writes."""

    def __init__(self, seed: int, *, armed: frozenset[str] | None = None) -> None:
        self.scheduler = Scheduler(seed)
        # Chance of their own: what else is on the menu, and was imported, must not change the run.
        random = Random(seed)
        drawn = frozenset(name for name in sorted(Cluster.menu()) if random.random() < ARMED)
        self.faults = Faults(random, armed=drawn if armed is None else armed)
        random.seed(seed)
        self.cluster = Cluster(self.scheduler, self.faults)
        self.written: list[bytes] = []
        self.names = [f"copier-{number}" for number in range(3)]
        self.processes: dict[str, Process] = {}
        self.copiers: list[Copier] = []
        for topic in (SOURCE, TARGET):
            self.cluster.create_topic(TopicSpec(topic, PARTITIONS))

    def start(self, name: str) -> None:
        process = Process(self.scheduler, name)
        copier = Copier(self.scheduler, self.cluster.connect(process), name, self.names)
        self.copiers.append(copier)
        self.processes[name] = process
        task = self.scheduler.spawn(process, copier.run, name)
        task.on_done.append(lambda: self._check_ended(name, process, task.error))

    def _check_ended(self, name: str, process: Process, error: BaseException | None) -> None:
        if isinstance(error, FencedError) and process.alive:
            process.kill()
            self.scheduler.call_later(1.0, lambda: self.start(name), "supervisor")
        elif error is not None:
            raise error

    def write(self, count: int) -> None:
        """Plain records, from outside: also those whose delivery failed or is unknown may be there, once."""
        producer = self.cluster.connect(self.scheduler.outside).producer()
        for _ in range(count):
            value = b"%d" % len(self.written)
            try:
                producer.produce(SOURCE, len(self.written) % PARTITIONS, b"key", value)
            except LogUnavailableError:
                self.scheduler.sleep(_PAUSE_S)
                continue
            self.written.append(value)
            self.scheduler.sleep(self.scheduler.random.uniform(0.0, 0.1))
        producer.flush(60.0)

    def disturb(self) -> None:
        """One of: kill and start again, stop for a while."""
        random = self.scheduler.random
        name = random.choice(self.names)
        process = self.processes[name]
        self.scheduler.sleep(random.uniform(0.0, 5.0))
        if random.random() < 0.5:
            process.kill()
            self.scheduler.sleep(random.choice([0.01, 1.0, 8.0]))
            self.start(name)
        else:
            process.stop()
            self.scheduler.sleep(random.choice([0.1, 2.0, 9.0, 20.0]))
            process.go_on()

    def play(self, writes: int = 300, disturbances: int = 6) -> None:
        for name in self.names:
            self.start(name)
        self.cluster.compact_for_ever(5.0, tombstone_delay_s=10.0)
        writer = self.scheduler.spawn(self.scheduler.outside, lambda: self.write(writes), "writer")

        def trouble() -> None:
            for _ in range(disturbances):
                self.disturb()

        troubles = self.scheduler.spawn(self.scheduler.outside, trouble, "trouble")
        assert self.scheduler.run(lambda: writer.done and troubles.done, 10_000.0)
        for task in (writer, troubles):
            if task.error is not None:
                raise task.error
        self.faults.heal()
        self.scheduler.run(self.is_copied, self.scheduler.now + 400.0)

    def there(self, topic: str) -> list[bytes]:
        """The values that a committed reader sees, partition by partition."""
        return [
            record.value or b""
            for number in range(PARTITIONS)
            for record in self.cluster.inspect.committed_records(topic, number)
        ]

    def is_copied(self) -> bool:
        return len(self.there(TARGET)) >= len(self.there(SOURCE))
