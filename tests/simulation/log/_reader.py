"""Reading chosen partitions outside of any group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._fetcher import Fetcher
from tests.simulation.log._network import Connection, call
from tests.simulation.log._partition import Partition
from weft.errors import LogUnavailableError
from weft.log import LogRecord, TopicPartition

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_BATCH_RECORDS_MAX = 1000


class SimulatedReader:
    """Implements `weft.log.Reader`. After `read_to_end` is through, `poll` goes on where it ended."""

    def __init__(self, cluster: Cluster, connection: Connection, *, committed: bool) -> None:
        self.connection = connection
        self._cluster = cluster
        self._committed = committed
        self._fetcher = self._new_fetcher()

    def _new_fetcher(self) -> Fetcher:
        return Fetcher(self._cluster, self.connection, committed=self._committed)

    @call
    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises `TopicError` when there is no such topic or partition."""
        self._fetcher = self._assigned(offsets)

    def _assigned(self, offsets: Mapping[TopicPartition, int]) -> Fetcher:
        if self.connection.network.faults.fires(_menu.ADMIN_FAILS):
            raise LogUnavailableError(f"{self._cluster.name} did not say where to read.")
        self._fetcher.clear()
        self.connection.travel()
        fetcher = self._new_fetcher()
        fetcher.activate([fetcher.add(place, offset) for place, offset in offsets.items()])
        self.connection.travel()
        return fetcher

    @call
    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        deadline_s = self.connection.now + timeout_s
        fetcher = self._fetcher
        fetcher.start_poll()
        while True:
            records = fetcher.fetch(records_max)
            if records or not fetcher.wait(deadline_s):
                return records

    def read_to_end(
        self, offsets: Mapping[TopicPartition, int], timeout_s: float, *, undecided_s: float = 0.0
    ) -> Iterator[LogRecord]:
        """Waits for nothing undecided, the worst that is allowed. Raises `TopicError` for an unknown partition."""
        self.assign(offsets)
        fetcher = self._fetcher
        places = [self._cluster.topics.partition(*place) for place in offsets]
        return self._read_to_end(fetcher, places, timeout_s)

    def _read_to_end(
        self, fetcher: Fetcher, unfinished: list[Partition], timeout_s: float
    ) -> Iterator[LogRecord]:
        while unfinished:
            yield from self._next_slice(fetcher, unfinished, timeout_s)

    @call
    def _next_slice(
        self, fetcher: Fetcher, unfinished: list[Partition], timeout_s: float
    ) -> list[LogRecord]:
        """The next records of unfinished partitions. Those that have ended are removed from the list, and wait."""
        deadline_s = self.connection.now + timeout_s
        fetcher.start_poll()
        while True:
            for partition in list(unfinished):
                is_through = fetcher.position(partition) >= partition.end(committed=self._committed)
                if is_through and not partition.is_away:
                    unfinished.remove(partition)
                    fetcher.deactivate([partition])
            if not unfinished:
                fetcher.activate(fetcher.partitions())
                return []
            records = fetcher.fetch(_BATCH_RECORDS_MAX)
            if records:
                return records
            if self.connection.now >= deadline_s:
                topic, number = unfinished[0].place
                raise LogUnavailableError(
                    f"Nothing came from {topic}-{number} of {self._cluster.name} within {timeout_s:g} s."
                )
            if any(partition.is_away for partition in unfinished):
                fetcher.wait(deadline_s)

    @call
    def read_at(
        self, offsets: Mapping[TopicPartition, Collection[int]], timeout_s: float
    ) -> list[LogRecord]:
        """Raises `TopicError` when there is no such topic or partition."""
        connection = self.connection
        deadline_s = connection.now + timeout_s
        if connection.network.faults.fires(_menu.POLL_FAILS):
            raise LogUnavailableError(f"Reading from {self._cluster.name} failed.")
        records: list[LogRecord] = []
        for place, wanted in offsets.items():
            partition = self._cluster.topics.partition(*place)
            connection.travel()
            while partition.leader.away_s() > 0:
                if connection.now >= deadline_s:
                    raise LogUnavailableError(
                        f"Nothing came from {place[0]}-{place[1]} of {self._cluster.name} within {timeout_s:g} s."
                    )
                connection.scheduler.sleep(0.05)
            connection.travel()
            records += partition.at(wanted)
        return records

    @call
    def close(self) -> None:
        self._fetcher.clear()
