"""The brokers. They live outside of every process; what a process does with them goes through its own log."""

from __future__ import annotations

from tests.simulation.faults import Faults
from tests.simulation.log import _menu
from tests.simulation.log._compaction import clean, expire
from tests.simulation.log._groups import Group
from tests.simulation.log._inspect import Inspection
from tests.simulation.log._log import SimulatedLog
from tests.simulation.log._network import Connection, Network
from tests.simulation.log._observer import Observer
from tests.simulation.log._partition import Partition
from tests.simulation.log._topics import RECORD_BYTES_MAX, Topic, Topics
from tests.simulation.log._transactions import TransactionCoordinator
from tests.simulation.scheduler import Process, Scheduler
from weft.log import TopicSpec

TRANSACTION_TIMEOUT_S = 10.0
"""As Weft asks Kafka for."""
WALL_START_S = 1_760_000_000.0
TOMBSTONE_DELAY_S = 24 * 3600.0


class Cluster:
    """Topics, transactions and groups, on the scheduler's clock."""

    def __init__(
        self,
        scheduler: Scheduler,
        faults: Faults,
        *,
        transaction_timeout_s: float = TRANSACTION_TIMEOUT_S,
        is_cooperative: bool = True,
        wall_start_s: float = WALL_START_S,
        name: str = "simulated",
    ) -> None:
        self.name = name
        self.transaction_timeout_s = transaction_timeout_s
        self.is_cooperative = is_cooperative
        self.wall_start_s = wall_start_s
        """What the brokers' clock says at the scheduler's 0."""
        self.observers: list[Observer] = []
        self.network = Network(scheduler, faults)
        self.topics = Topics(name)
        self.groups: dict[str, Group] = {}
        self.transactions = TransactionCoordinator(self.network, self.observers)
        self.inspect = Inspection(self)

    def connect(self, process: Process) -> SimulatedLog:
        """The log as one process has it."""
        return SimulatedLog(self, Connection(self.network, process))

    def now_ms(self) -> int:
        """The brokers' clock."""
        return int((self.wall_start_s + self.network.now) * 1000)

    def group(self, name: str) -> Group:
        """The group; it is made if there is none."""
        found = self.groups.get(name)
        if found is None:
            found = self.groups[name] = Group(
                self.network, name, self.observers, is_cooperative=self.is_cooperative
            )
        return found

    def create_topic(self, spec: TopicSpec) -> bool:
        """False when it is there already."""
        if spec.name in self.topics.by_name:
            return False
        partitions = tuple(
            Partition(self.network, spec.name, number, self.wall_start_s)
            for number in range(spec.partitions)
        )
        bytes_max = int(spec.config.get("max.message.bytes", RECORD_BYTES_MAX))
        self.topics.by_name[spec.name] = Topic(spec, partitions, bytes_max)
        return True

    def delete_topic(self, name: str) -> bool:
        """False when there is none. Its committed offsets go too."""
        topic = self.topics.by_name.pop(name, None)
        if topic is None:
            return False
        for partition in topic.partitions:
            partition.deleted = True
            partition.ring()
        for group in self.groups.values():
            for place in [place for place in group.offsets.committed if place[0] == name]:
                del group.offsets.committed[place]
        return True

    def compact(
        self, *, tombstone_delay_s: float = TOMBSTONE_DELAY_S, is_whole: bool = True
    ) -> int:
        """Clean every partition as its topic's policy says; returns how many records went.

        Not `is_whole`: each one up to a point of its own, as a broker that is early or late, or is interrupted.
        """
        removed_count = 0
        for topic in self.topics.by_name.values():
            for partition in topic.partitions:
                if topic.spec.compacted:
                    share = 1.0 if is_whole else self.network.random.random()
                    removed_count += clean(
                        partition, self.network.now, tombstone_delay_s, share=share
                    )
                retention_ms = topic.info().retention_ms
                if retention_ms is not None:
                    removed_count += expire(partition, self.now_ms() - retention_ms)
        return removed_count

    def compact_for_ever(self, every_s: float, *, tombstone_delay_s: float) -> None:
        """From now on clean by itself, at any moment: on average so often, a part at a time."""

        def again() -> None:
            self.compact(tombstone_delay_s=tombstone_delay_s, is_whole=False)
            plan()

        def plan() -> None:
            delay_s = self.network.random.expovariate(1.0 / every_s)
            self.network.timers.after(delay_s, again)

        plan()

    def take_leader_away(self, topic: str, partition: int, seconds: float) -> None:
        """For tests of one outage; the menu has `leader_away` for chance ones."""
        self.topics.partition(topic, partition).leader.go(seconds)

    @staticmethod
    def menu() -> frozenset[str]:
        """The names of the faults that a cluster knows."""
        return frozenset(
            value
            for name, value in vars(_menu).items()
            if name.isupper() and isinstance(value, str)
        )
