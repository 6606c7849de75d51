"""What the tests of the activity worker share: a log with one queue's topics, tasks, and what came of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import Consumer, TopicPartition

from weft.activity import Activity
from weft.codec import decode_results, encode, encode_payload
from weft.log import FROM_START, Log, LogRecord, open_log
from weft.metrics import WorkerMetrics
from weft.records import (
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    Reply,
    ReplyTo,
    ResultsRecord,
)
from weft.topics import Namespace, catalogue, create
from weft.worker._activities import ActivityWorker
from weft.worker._attempt import AttemptRunner

R = TypeVar("R")

PARTITIONS = 4
PATIENCE_S = 30.0
QUEUE = "default"


async def until(condition: Callable[[], bool], what: str) -> None:
    """Look until it holds, in small steps; fails after `PATIENCE_S`."""
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


@dataclass
class Result:
    """A record of the results topic, with where it stands."""

    partition: int
    workflow_id: str
    record: ResultsRecord


class Place:
    """One namespace on one log."""

    def __init__(self, backend: str, address: str, namespace: str) -> None:
        self.backend = backend
        self.address = address
        self.namespace = Namespace(namespace)
        self.log = self.open()
        admin = self.log.admin()
        create(admin, catalogue(self.namespace, partitions=PARTITIONS))
        admin.close()

    def open(self) -> Log:
        if self.backend == "kafka":
            return open_log(kafka=self.address)
        return open_log(embedded=self.address)

    def close(self) -> None:
        self.log.close()

    def add(self, tasks: Iterable[tuple[str, str, object]], *, partition: int = 0) -> None:
        """Put (workflow ID, activity, argument) on the queue, durably."""
        values = [
            (workflow_id.encode(), encode(ActivityTask("run", 1, 1, name, encode_payload([value]))))
            for workflow_id, name, value in tasks
        ]
        self.write(values, partition=partition)

    def write(self, records: Iterable[tuple[bytes | None, bytes]], *, partition: int = 0) -> None:
        """Put records as they are on the queue."""
        producer = self.log.producer()
        for key, value in records:
            producer.produce(self.namespace.tasks(QUEUE), partition, key, value)
        assert producer.flush(PATIENCE_S) == 0
        producer.close()

    def answer(self, attempts: Iterable[tuple[str, str, int]], *, partition: int = 0) -> None:
        """Put results of (workflow ID, run ID, attempt) on the log, as another worker would have."""
        producer = self.log.producer()
        for workflow_id, run_id, attempt in attempts:
            result = encode(AttemptCompleted(run_id, 1, attempt, encode_payload(None)))
            producer.produce(self.namespace.results, partition, workflow_id.encode(), result)
        assert producer.flush(PATIENCE_S) == 0
        producer.close()

    def records(self, kind: type[R]) -> list[R]:
        """All records of one kind on the results topic."""
        return [result.record for result in self.results() if isinstance(result.record, kind)]

    def cancel(self, lease: ReplyTo) -> None:
        """Answer as an owner that does not wait for the attempt any more."""
        producer = self.log.producer()
        reply = Reply(lease.request, "cancelled")
        key = lease.client.encode()
        producer.produce(self.namespace.replies, lease.partition, key, encode(reply))
        assert producer.flush(PATIENCE_S) == 0
        producer.close()

    def results(self) -> list[Result]:
        """All that is on the results topic, in the order of each partition."""
        return [
            Result(record.partition, (record.key or b"").decode(), decode_results(record.value))
            for record in self._read(self.namespace.results)
        ]

    def completed(self) -> list[str]:
        """The workflow IDs of completed attempts."""
        return [
            result.workflow_id
            for result in self.results()
            if isinstance(result.record, AttemptCompleted)
        ]

    def failed(self) -> dict[str, str]:
        """The types of failures, by workflow ID."""
        return {
            result.workflow_id: result.record.failure.type
            for result in self.results()
            if isinstance(result.record, AttemptFailed)
        }

    def task_offsets(self, partition: int = 0) -> list[int]:
        """Where the tasks of a partition stand."""
        return [
            record.offset
            for record in self._read(self.namespace.tasks(QUEUE))
            if record.partition == partition
        ]

    def committed(self, partition: int = 0) -> int | None:
        """The queue's committed offset, seen from outside: another member of the group would be given partitions."""
        topic = self.namespace.tasks(QUEUE)
        group = self.namespace.activity_group(QUEUE)
        if self.backend == "kafka":
            return _committed_on_kafka(self.address, group, topic, partition)
        return _committed_in_file(self.address, group, topic, partition)

    def _read(self, topic: str) -> list[LogRecord]:
        reader = self.log.reader()
        wanted = {(topic, number): FROM_START for number in range(PARTITIONS)}
        records = list(reader.read_to_end(wanted, PATIENCE_S))
        reader.close()
        return records

    @asynccontextmanager
    async def worker(
        self,
        *activities: Activity[..., Any],
        concurrency: int = 100,
        instance_id: str = "worker-1",
        drain_s: float = PATIENCE_S,
        session_timeout_s: float = 6.0,
        lease_s: float = 10.0,
        metrics: WorkerMetrics | None = None,
    ) -> AsyncIterator[ActivityWorker]:
        """A worker of the queue that serves, and is drained afterwards."""
        metrics = metrics or WorkerMetrics()
        named = {activity.name: activity for activity in activities}
        runner = AttemptRunner(named, metrics, threads_max=concurrency)
        worker = ActivityWorker(
            self.log,
            self.namespace,
            QUEUE,
            runner,
            metrics,
            instance_id=instance_id,
            concurrency=concurrency,
            session_timeout_s=session_timeout_s,
            lease_s=lease_s,
            partition_count=PARTITIONS,
        )
        worker.start()
        try:
            await until(lambda: worker.ready or worker.error is not None, "the worker to be ready")
            yield worker
        finally:
            await worker.drain(drain_s)
            runner.close()


@contextmanager
def open_place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """A namespace of its own on the log that `request.param` names."""
    if request.param == "embedded":
        place = Place("embedded", str(folder / "log.weft"), "test")
    else:
        address = request.getfixturevalue("kafka_address")
        place = Place("kafka", address, request.getfixturevalue("namespace"))
    with closing(place):
        yield place


def _committed_on_kafka(address: str, group: str, topic: str, partition: int) -> int | None:
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    (found,) = consumer.committed([TopicPartition(topic, partition)], PATIENCE_S)
    consumer.close()
    return found.offset if found.offset >= 0 else None


def _committed_in_file(path: str, group: str, topic: str, partition: int) -> int | None:
    database = sqlite3.connect(path)
    try:
        found = database.execute(
            "SELECT next_offset FROM offsets JOIN groups USING (group_id)"
            " JOIN topics ON offsets.partition_id = topics.first_partition_id + ?"
            " WHERE groups.name = ? AND topics.name = ?",
            (partition, group, topic),
        ).fetchone()
    finally:
        database.close()
    return None if found is None else found[0]
