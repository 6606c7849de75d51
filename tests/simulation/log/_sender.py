"""The thread of a transactional producer: makes partitions part of the transaction, and sends their records."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._answers import Refusal, RefusedError
from tests.simulation.log._network import Connection
from tests.simulation.log._partition import Partition, PendingRecord
from weft.errors import CommitUnknownError, FencedError, LogError
from weft.log import OffsetCallback

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_UNTOLD = 0.05
"""Of the offsets that somebody asked for."""
_Pending = tuple[PendingRecord, OffsetCallback | None]
_Batch = dict[Partition, list[_Pending]]


class TransactionalSender:
    """One producer's records on their way, under one epoch. What is sent arrives, even if its process dies."""

    def __init__(  # who and where
        self,
        cluster: Cluster,
        connection: Connection,
        transactional_id: str,
        producer_id: int,
        epoch: int,
    ) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.error: LogError | None = None
        """What the brokers said that ends the producer."""
        self.has_requests = False
        """The coordinator may know of the open transaction."""
        self._cluster = cluster
        self._coordinator = cluster.transactions
        self._connection = connection
        self._transactional_id = transactional_id
        self._queue: _Batch = {}
        self._reports: list[tuple[OffsetCallback, int]] = []
        """Whom to tell which offset, when the transaction is committed."""
        self._on_their_way = 0
        self._work = connection.bell()
        self._answered = connection.bell()
        self._sent = connection.bell()
        self._closed = False
        connection.scheduler.spawn(connection.process, self._run, f"producer {transactional_id}")

    def add(
        self, partition: Partition, record: PendingRecord, on_offset: OffsetCallback | None = None
    ) -> None:
        self._queue.setdefault(partition, []).append((record, on_offset))
        self._work.ring()

    def tell_offsets(self) -> None:
        """Whoever asked for the offsets of the transaction's records learns them, though not every one."""
        reports, self._reports = self._reports, []
        for on_offset, offset in reports:
            if self._connection.network.random.random() >= _UNTOLD:
                on_offset(offset)

    def purge(self) -> None:
        """Forget what was not sent yet."""
        self._queue.clear()
        self._reports.clear()

    def wait_until_sent(self, deadline_s: float) -> bool:
        """Whether everything was answered before the deadline, or has failed."""
        return self._sent.wait_until(self._is_idle, deadline_s)

    def _is_idle(self) -> bool:
        return not (self._queue or self._on_their_way) or self.error is not None

    def close(self) -> None:
        self._closed = True
        self.purge()
        self._work.ring()

    def _run(self) -> None:
        while not self._closed:
            if not self._queue:
                self._work.wait()
                continue
            batch, self._queue = self._queue, {}
            self._on_their_way = len(batch)
            self.has_requests = True
            self._connection.network.later(functools.partial(self._register, batch))
            while self._on_their_way:
                self._answered.wait()

    def _register(self, batch: _Batch) -> None:
        """At the coordinator: these partitions take part."""
        network = self._connection.network
        away_s = self._coordinator.availability.away_s()
        if away_s > 0:
            network.timers.after(away_s, lambda: self._register(batch))
            return
        try:
            holder = self._coordinator.add(self._transactional_id, self.epoch, partitions=batch)
        except RefusedError as error:
            if error.refusal is Refusal.CONCURRENT:
                waiting = self._coordinator.holder(self._transactional_id).when_complete
                waiting.append(lambda: self._register(batch))
                return
            self._fail(error, len(batch))
            return
        assert holder.producer_id == self.producer_id
        for partition, records in batch.items():
            is_late = network.faults.fires(_menu.APPEND_LATE)
            delay_s = network.long_s(0.001, 5.0) if is_late else network.latency_s()
            network.timers.after(delay_s, functools.partial(self._arrive, partition, records))

    def _arrive(self, partition: Partition, pending: list[_Pending]) -> None:
        """At the partition's leader."""
        network = self._connection.network
        away_s = partition.leader.away_s()
        if away_s > 0:
            network.timers.after(away_s, lambda: self._arrive(partition, pending))
            return
        try:
            self._coordinator.verify(self._transactional_id, self.epoch, partition)
        except RefusedError as error:
            self._fail(error, 1)
            return
        records = [record for record, _ in pending]
        entries = partition.append(records, (self.producer_id, self.epoch))
        for (_, on_offset), entry in zip(pending, entries, strict=True):
            if on_offset is not None:
                self._reports.append((on_offset, entry.offset))
        for observer in self._cluster.observers:
            observer.appended(entries)
        network.later(lambda: self._note(1))

    def _fail(self, error: RefusedError, count: int) -> None:
        what = f"Transactional producer {self._transactional_id} of {self._cluster.name}"
        if error.refusal is Refusal.FENCED:
            failure: LogError = FencedError(f"{what} was fenced: another one took its ID.")
        else:
            failure = CommitUnknownError(f"{what} had records refused: {error}.")

        def note() -> None:
            self.error = failure
            self._note(count)

        self._connection.network.later(note)

    def _note(self, count: int) -> None:
        self._on_their_way -= count
        self._answered.ring()
        if self._is_idle():
            self._sent.ring()
