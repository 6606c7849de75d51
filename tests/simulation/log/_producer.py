"""The plain producer: a thread of its own sends what was queued, batch after batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._network import Connection, call
from tests.simulation.log._partition import Entry, Partition, PendingRecord
from weft.errors import LogError, LogUnavailableError, TopicError, UsageError
from weft.log import DeliveryCallback, Headers

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

QUEUE_RECORDS_MAX = 1_000_000
_BATCH_RECORDS_MAX = 10_000
_CLOSE_TIMEOUT_S = 10.0


@dataclass(slots=True)
class _Queued:
    partition: Partition
    record: PendingRecord
    on_delivery: DeliveryCallback | None


_Delivery = tuple[DeliveryCallback | None, LogError | None, int, int]


class SimulatedProducer:
    """Implements `weft.log.Producer`."""

    def __init__(
        self, cluster: Cluster, connection: Connection, *, is_idempotent: bool = True
    ) -> None:
        self.connection = connection
        self._cluster = cluster
        self._is_idempotent = is_idempotent
        self._queue: list[_Queued] = []
        self._undelivered_count = 0
        self._deliveries: list[_Delivery] = []
        self._work = connection.bell()
        self._done = connection.bell()
        self._answered = connection.bell()
        self._on_their_way = 0
        self._closed = False
        connection.scheduler.spawn(connection.process, self._send, "producer")

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        """Raises `TopicError` at once too: when there is no such topic or partition. Takes no time."""
        self.connection.check()
        if self._closed:
            raise UsageError(f"A producer of {self._cluster.name} was used after it was closed.")
        self._cluster.topics.check_size(topic, key, value, headers)
        found = self._cluster.topics.partition(topic, partition)
        if self._undelivered_count >= QUEUE_RECORDS_MAX or self._fires(_menu.QUEUE_FULL):
            raise LogUnavailableError(
                f"The queue of a producer of {self._cluster.name} takes no more. The record was not queued."
            )
        self._queue.append(_Queued(found, (key, value, tuple(headers)), on_delivery))
        self._undelivered_count += 1
        self._work.ring()

    def _fires(self, fault: str) -> bool:
        return self.connection.network.faults.fires(fault)

    @call
    def poll(self, timeout_s: float) -> int:
        # A loop that asks without waiting must not stop the clock.
        self.connection.scheduler.sleep(0.00001)
        if not self._deliveries and timeout_s > 0:
            deadline_s = self.connection.now + timeout_s
            self._done.wait_until(lambda: bool(self._deliveries), deadline_s)
        return self._serve()

    def _serve(self) -> int:
        deliveries, self._deliveries = self._deliveries, []
        served = 0
        for on_delivery, error, partition, offset in deliveries:
            if on_delivery is not None:
                served += 1
                on_delivery(error, partition, offset)
        return served

    @call
    def flush(self, timeout_s: float) -> int:
        deadline_s = self.connection.now + timeout_s
        self.connection.scheduler.sleep(0.00001)
        while True:
            self._serve()
            if not self._undelivered_count or self.connection.now >= deadline_s:
                return self._undelivered_count
            self._done.wait_until(lambda: bool(self._deliveries), deadline_s)

    @call
    def close(self) -> None:
        """Write what is queued (for 10 s at most); the callbacks of what could not be written get an error."""
        if self._closed:
            return
        self._closed = True
        self.flush(_CLOSE_TIMEOUT_S)
        given_up, self._queue = self._queue, []
        error = LogUnavailableError(f"A producer of {self._cluster.name} was closed first.")
        self._deliveries += [
            (queued.on_delivery, error, queued.partition.place[1], -1) for queued in given_up
        ]
        self._serve()
        self._work.ring()

    # The thread.

    def _send(self) -> None:
        while not self._closed or self._queue:
            if not self._queue:
                self._work.wait()
                continue
            batch, self._queue = self._queue[:_BATCH_RECORDS_MAX], self._queue[_BATCH_RECORDS_MAX:]
            by_partition: dict[Partition, list[_Queued]] = {}
            for queued in batch:
                by_partition.setdefault(queued.partition, []).append(queued)
            self._on_their_way = len(by_partition)
            for partition, part in by_partition.items():
                self._dispatch(partition, part)
            while self._on_their_way:
                self._answered.wait()

    def _dispatch(self, partition: Partition, part: list[_Queued]) -> None:
        """Have it arrive, whatever becomes of the process meanwhile."""
        network = self.connection.network
        late = network.faults.fires(_menu.DELIVERY_LATE)
        delay_s = network.long_s(0.001, 5.0) if late else network.latency_s()
        network.timers.after(delay_s, lambda: self._arrive(partition, part))

    def _arrive(self, partition: Partition, part: list[_Queued]) -> None:
        away_s = partition.leader.away_s()
        network = self.connection.network
        if away_s > 0:
            network.timers.after(away_s, lambda: self._arrive(partition, part))
            return
        error: LogError | None = None
        entries: Sequence[Entry] = ()
        if partition.deleted:
            error = TopicError(f"Topic {partition.place[0]} of {self._cluster.name} was deleted.")
        elif network.faults.fires(_menu.DELIVERY_FAILED):
            error = self._not_delivered(partition)
        else:
            entries = self._append(partition, part)
            if network.faults.fires(_menu.DELIVERY_UNKNOWN):
                error = self._not_delivered(partition)
        network.later(lambda: self._note(partition, part, entries, error))

    def _append(self, partition: Partition, part: list[_Queued]) -> Sequence[Entry]:
        records = [queued.record for queued in part]
        entries = partition.append(records)
        for observer in self._cluster.observers:
            observer.appended(entries)
        if not self._is_idempotent and self.connection.network.faults.fires(_menu.DUPLICATE):
            again = partition.append(records)
            for observer in self._cluster.observers:
                observer.appended(again)
        return entries

    def _not_delivered(self, partition: Partition) -> LogError:
        topic, number = partition.place
        return LogUnavailableError(f"A record for {topic}-{number} was not written in time.")

    def _note(
        self,
        partition: Partition,
        part: list[_Queued],
        entries: Sequence[Entry],
        error: LogError | None,
    ) -> None:
        number = partition.place[1]
        for index, queued in enumerate(part):
            offset = -1 if error else entries[index].offset
            self._deliveries.append((queued.on_delivery, error, number, offset))
        self._undelivered_count -= len(part)
        self._on_their_way -= 1
        self._answered.ring()
        self._done.ring()
