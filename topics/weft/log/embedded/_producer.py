"""The plain producer: callers queue, one thread commits whatever has queued up meanwhile.

So a lone record waits for one commit, and a thousand records queued during a commit share the next.
"""

from __future__ import annotations

import threading
import time
from itertools import accumulate

from weft.errors import (
    CommitUnknownError,
    LogError,
    LogUnavailableError,
    TopicError,
    UsageError,
    WeftError,
)
from weft.log._api import DeliveryCallback, Headers
from weft.log.embedded._append import PendingRecord, append_records
from weft.log.embedded._catalogue import Catalogue, Topic, check_record, encoded_headers
from weft.log.embedded._database import Database, Shared

QUEUE_RECORDS_MAX = 100_000
QUEUE_BYTES_MAX = 256 * 1024 * 1024
_COMMIT_RECORDS_MAX = 2_000
_COMMIT_BYTES_MAX = 8 * 1024 * 1024
"""More would keep other writers waiting for tens of milliseconds."""
_CLOSE_TIMEOUT_S = 10.0

_Queued = tuple[Topic, int, PendingRecord, int, DeliveryCallback | None]
"""(topic, partition, record, size in bytes, callback)"""
_Delivery = tuple[DeliveryCallback, LogError | None, int, int]


class EmbeddedProducer:
    """Implements `weft.log.Producer`."""

    def __init__(self, shared: Shared, catalogue: Catalogue) -> None:
        self._shared = shared
        self._catalogue = catalogue
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._queue: list[_Queued] = []
        self._queue_bytes = 0
        self._undelivered_count = 0
        self._deliveries: list[_Delivery] = []
        self._closing = False
        self._database = Database(shared)
        self._thread = threading.Thread(
            target=self._run, name="weft-embedded-producer", daemon=True
        )
        self._thread.start()

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        found = self._catalogue.topic(topic)
        found.partition_id(partition)
        encoded = encoded_headers(headers)
        size_bytes = check_record(found, key, value, encoded)
        queued: _Queued = (found, partition, (key, encoded, value), size_bytes, on_delivery)
        with self._work:
            if self._closing:
                raise UsageError(f"A producer of {self._shared.name} was used after it was closed.")
            if (
                self._undelivered_count >= QUEUE_RECORDS_MAX
                or self._queue_bytes + size_bytes > QUEUE_BYTES_MAX
            ):
                raise self._queue_full()
            if not self._queue:
                self._work.notify()
            self._queue.append(queued)
            self._queue_bytes += size_bytes
            self._undelivered_count += 1

    def _queue_full(self) -> LogUnavailableError:
        return LogUnavailableError(
            f"{self._undelivered_count} records wait to be written to {self._shared.name}, and "
            "the queue takes no more. The record was not queued: wait with poll() or flush() and "
            "produce it again."
        )

    def poll(self, timeout_s: float) -> int:
        deadline_s = time.monotonic() + timeout_s
        with self._done:
            while not self._deliveries:
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    return 0
                self._done.wait(remaining_s)
            deliveries, self._deliveries = self._deliveries, []
        for callback, error, partition, offset in deliveries:
            callback(error, partition, offset)
        return len(deliveries)

    def flush(self, timeout_s: float) -> int:
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.poll(0)
            with self._done:
                if not self._deliveries:
                    remaining_s = deadline_s - time.monotonic()
                    if not self._undelivered_count or remaining_s <= 0:
                        return self._undelivered_count
                    self._done.wait(remaining_s)

    def close(self) -> None:
        """Write what is queued (for 10 s at most), serve the callbacks, end the thread."""
        self.flush(_CLOSE_TIMEOUT_S)
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._queue and not self._closing:
                    self._work.wait()
                batch = _first_of(self._queue)
                del self._queue[: len(batch)]
            if not batch:
                self._database.close()
                return
            deliveries = self._commit(batch)
            with self._done:
                self._undelivered_count -= len(batch)
                self._queue_bytes -= sum(queued[3] for queued in batch)
                self._deliveries += deliveries
                self._done.notify_all()

    def _commit(self, batch: list[_Queued]) -> list[_Delivery]:
        records_by_partition: dict[int, list[PendingRecord]] = {}
        for topic, partition, record, _size_bytes, _callback in batch:
            partition_id = topic.first_partition_id + partition
            records_by_partition.setdefault(partition_id, []).append(record)
        try:
            with self._database.write():
                next_offset_by_partition = append_records(self._database, records_by_partition)
        # Whatever went wrong, it belongs to these records, and this thread must live on.
        except Exception as error:  # noqa: BLE001
            return _failed(batch, _log_error(error))
        self._shared.commits.notify()
        return self._delivered(batch, next_offset_by_partition)

    def _delivered(
        self, batch: list[_Queued], next_offset_by_partition: dict[int, int]
    ) -> list[_Delivery]:
        deliveries: list[_Delivery] = []
        for topic, partition, _record, _size_bytes, callback in batch:
            partition_id = topic.first_partition_id + partition
            offset = next_offset_by_partition.get(partition_id)
            if offset is not None:
                next_offset_by_partition[partition_id] = offset + 1
                if callback is not None:
                    deliveries.append((callback, None, partition, offset))
                continue
            self._catalogue.forget(topic.name)
            if callback is not None:
                gone = TopicError(
                    f"Topic {topic.name} was deleted before a record for it was written; the "
                    "record is lost."
                )
                deliveries.append((callback, gone, partition, -1))
        return deliveries


def _first_of(queue: list[_Queued]) -> list[_Queued]:
    """What is committed next: one record at least, and no more than others should wait for."""
    first = queue[:_COMMIT_RECORDS_MAX]
    sizes = accumulate(size_bytes for _topic, _partition, _record, size_bytes, _callback in first)
    fitting_count = sum(size_bytes <= _COMMIT_BYTES_MAX for size_bytes in sizes)
    return first[: max(1, fitting_count)]


def _failed(batch: list[_Queued], error: LogError) -> list[_Delivery]:
    return [
        (callback, error, partition, -1)
        for _topic, partition, _record, _size_bytes, callback in batch
        if callback is not None
    ]


def _log_error(error: Exception) -> LogError:
    if isinstance(error, LogError):
        return error
    if isinstance(error, WeftError):
        return LogError(str(error))
    return CommitUnknownError(f"Writing a batch of records failed: {type(error).__name__}: {error}")
