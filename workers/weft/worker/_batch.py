"""What one transaction commits, and what may be told only after it."""

from __future__ import annotations

from collections.abc import Iterable

from weft.codec import encode
from weft.core import PublishRecord
from weft.executor import Fact
from weft.log import Headers, LogRecord, TopicPartition
from weft.records import ActivityTask, LifecycleEvent, Reply, ReplyTo
from weft.topics import Namespace
from weft.worker._bounds import DEADLETTER_BYTES_MAX, size_of
from weft.worker._deadletters import labelled

Write = tuple[str, int, bytes | None, bytes | None, Headers]
"""(topic, partition, key, value, headers)"""

AttemptKey = tuple[str, int, int]
"""(run ID, activity ID, attempt)"""
_KEY_BYTES_MAX = 1000


class Batch:
    """The effects of one poll's turns. The owner commits `writes` and `next_offsets` together, then sends `replies`."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._queue_topics: dict[str, str] = {}
        self.writes: list[Write] = []
        self.next_offsets: dict[TopicPartition, int] = {}
        self.partitions: set[int] = set()
        """Partitions that this batch changes; each must have offsets in the transaction."""
        self.replies: list[tuple[ReplyTo, Reply]] = []
        self.inline: list[tuple[int, str, ActivityTask]] = []
        """(partition, workflow ID, task) of activities to run in this process."""
        self.checkpointed: set[str] = set()
        """Workflows with results here that must be durable before anything else of theirs is run."""
        self.inline_stale: list[tuple[int, AttemptKey]] = []
        """(partition, attempt) of activities that need not run in this process any more."""
        self.record_count = 0
        self.needs_proof = False
        """It has an answer that only the present owner may give: a commit shows who that is."""
        self.planned_bytes = 0
        """What is written here, and what the states will take that changed and are written at the end."""
        self.facts: list[Fact] = []
        """What happened, for those who look on."""
        self.published: set[str] = set()
        """Topics of the users' that records here are for."""
        self.removals: list[tuple[str, list[str]]] = []
        """(workflow ID, keys) of payloads in the store that belong to nobody once this is committed."""

    def read(self, records: Iterable[LogRecord]) -> None:
        """Note that these are handled: their offsets go into the transaction."""
        offsets = self.next_offsets
        for record in records:
            offsets[record.topic, record.partition] = record.offset + 1
            self.record_count += 1

    def state(self, partition: int, key: bytes, value: bytes | None) -> None:
        self.writes.append((self._namespace.state, partition, key, value, ()))
        self.partitions.add(partition)

    def task(self, partition: int, key: bytes, queue: str, task: ActivityTask) -> None:
        topic = self._queue_topics.get(queue)
        if topic is None:
            topic = self._queue_topics[queue] = self._namespace.tasks(queue)
        self._add(topic, partition, key, encode(task))

    def event(self, partition: int, key: bytes, event: LifecycleEvent) -> None:
        self._add(self._namespace.events, partition, key, encode(event))

    def publish(self, record: PublishRecord) -> None:
        """A record of a workflow's code's own. Its partition has been looked up."""
        self._add(record.topic, record.partition, record.key, record.value, record.headers)
        self.published.add(record.topic)

    def forward(
        self, source_partition: int, partition: int, key: bytes, value: bytes, headers: Headers
    ) -> None:
        self._add(self._namespace.messages, partition, key, value, headers)
        self.partitions.add(source_partition)

    def message(
        self, source_partition: int, topic: str, partition: int, key: bytes, value: bytes
    ) -> None:
        """To another workflow, of this namespace or of another."""
        self._add(topic, partition, key, value)
        self.partitions.add(source_partition)

    def deadletter(self, partition: int, record: LogRecord, reason: str) -> None:
        """Put a record aside as it came, on a partition of ours, with where it came from and why it is here.

        One that is too large even for that leaves its value and its own headers behind.
        """
        size_bytes = size_of(record)
        if size_bytes > DEADLETTER_BYTES_MAX:
            record = _emptied(record)
            reason += f" (its {size_bytes:,} bytes are too many for this topic: without its value)"
        headers = labelled(record, reason)
        self._add(self._namespace.deadletters, partition, record.key, record.value, headers)
        self.partitions.add(partition)

    def _add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        self.writes.append((topic, partition, key, value, headers))
        self.planned_bytes += len(value or b"")

    def reply(self, to: ReplyTo | None, reply: Reply) -> None:
        if to is not None:
            self.replies.append((to, reply))


def _emptied(record: LogRecord) -> LogRecord:
    """A record that fits wherever its place must be told."""
    return LogRecord(
        record.topic,
        record.partition,
        record.offset,
        (record.key or b"")[:_KEY_BYTES_MAX],
        None,
        record.timestamp_ms,
    )
