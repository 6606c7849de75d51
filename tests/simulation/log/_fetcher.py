"""Positions in partitions, and the records from there on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._network import Connection
from tests.simulation.log._partition import Partition
from weft.errors import LogUnavailableError, TopicError
from weft.log import FROM_END, FROM_START, LogRecord, TopicPartition, count_of_last

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_POLL_S = 0.00002
"""A loop that asks without waiting must not stop the clock."""
_ON_THE_WAY_S_MAX = 0.5


class Fetcher:
    """Only active partitions are read. Whoever waits does so at `bell`, which news in these partitions rings."""

    def __init__(self, cluster: Cluster, connection: Connection, *, committed: bool) -> None:
        self._cluster = cluster
        self._connection = connection
        self._committed = committed
        self._position: dict[Partition, int] = {}
        self._active: dict[Partition, None] = {}
        self._turn = 0
        self.bell = connection.bell()

    def add(self, place: TopicPartition, offset: int) -> Partition:
        """Watch a partition from an offset on; it is not read before `activate`."""
        partition = self._cluster.topics.partition(*place)
        self._position[partition] = self._resolved(partition, offset)
        return partition

    def _resolved(self, partition: Partition, offset: int) -> int:
        if offset == FROM_START:
            return partition.start_offset
        end = partition.end(committed=self._committed)
        if (count := count_of_last(offset)) is not None:
            return max(partition.start_offset, end - count)
        return end if offset == FROM_END else offset

    def seek(self, place: TopicPartition, offset: int) -> None:
        partition = self._cluster.topics.partition(*place)
        self._position[partition] = self._resolved(partition, offset)

    def position(self, partition: Partition) -> int:
        return self._position[partition]

    def partitions(self) -> list[Partition]:
        """All of them, active or not."""
        return list(self._position)

    def activate(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._active[partition] = None
            partition.bells[self.bell] = None

    def deactivate(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._active.pop(partition, None)
            partition.bells.pop(self.bell, None)

    def remove(self, partitions: Iterable[Partition]) -> None:
        gone = list(partitions)
        self.deactivate(gone)
        for partition in gone:
            self._position.pop(partition, None)

    def clear(self) -> None:
        self.remove(list(self._position))

    def start_poll(self) -> None:
        """Every poll takes a moment, and may fail."""
        connection = self._connection
        connection.scheduler.sleep(_POLL_S)
        if connection.network.faults.fires(_menu.POLL_FAILS):
            raise LogUnavailableError(f"Reading from {self._cluster.name} failed.")

    def wait(self, deadline_s: float) -> bool:
        """For news, until the deadline; False when that is over. News takes its time to come here."""
        connection = self._connection
        left_s = deadline_s - connection.now
        if left_s <= 0:
            return False
        self.bell.wait(left_s)
        if connection.network.faults.fires(_menu.FETCH_LATE):
            connection.scheduler.sleep(connection.network.long_s(0.005, 2.0))
        elif connection.now < deadline_s:
            connection.travel()
        return True

    def fetch(self, records_max: int) -> list[LogRecord]:
        """What is there from the positions on, at most `records_max`, shared out among partitions with news."""
        news = [partition for partition in self._active if self._has_news(partition)]
        if not news:
            return []
        network = self._connection.network
        if network.faults.fires(_menu.EMPTY_FETCH):
            network.timers.after(network.long_s(0.001, _ON_THE_WAY_S_MAX), self.bell.ring)
            return []
        if network.faults.fires(_menu.SHORT_FETCH):
            records_max = network.random.randint(1, records_max)
        if len(news) > 1:
            self._turn += 1
            turn = self._turn % len(news)
            news = news[turn:] + news[:turn]
        records: list[LogRecord] = []
        share = max(1, records_max // len(news))
        for limit in (share, records_max):
            for partition in news:
                room = min(limit, records_max - len(records))
                if room > 0 and self._has_news(partition):
                    records += self._read(partition, room)
        return records

    def _has_news(self, partition: Partition) -> bool:
        if partition.deleted:
            raise TopicError(f"Topic {partition.place[0]} of {self._cluster.name} was deleted.")
        end = partition.end(committed=self._committed)
        return end > self._position[partition] and not partition.is_away

    def _read(self, partition: Partition, records_max: int) -> list[LogRecord]:
        offset = max(self._position[partition], partition.start_offset)
        records, self._position[partition] = partition.read(
            offset, records_max, committed=self._committed
        )
        return records
