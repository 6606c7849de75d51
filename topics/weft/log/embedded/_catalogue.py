"""The topics of the file, as every object of one open log looks them up, from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec

from weft.errors import RecordTooLargeError, TopicError, UsageError
from weft.log._api import Headers, TopicInfo
from weft.log.embedded._checksum import row_checksum
from weft.log.embedded._database import Database, Row, Shared

_encode_headers = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it stands in the file. Its partitions have consecutive IDs."""

    topic_id: int
    name: str
    partitions: int
    compacted: bool
    retention_ms: int | None
    replication: int
    record_bytes_max: int
    first_partition_id: int

    def partition_id(self, partition: int) -> int:
        """Raises `TopicError` when the topic has no such partition."""
        if 0 <= partition < self.partitions:
            return self.first_partition_id + partition
        raise TopicError(
            f"Topic {self.name} has {self.partitions} partitions (0 to {self.partitions - 1}), "
            f"and partition {partition} was asked for. Writers and readers of a namespace must "
            "agree on its partition count."
        )

    def info(self) -> TopicInfo:
        return TopicInfo(
            self.name,
            self.partitions,
            self.compacted,
            self.retention_ms,
            self.replication,
            self.record_bytes_max,
        )


_COLUMNS = (
    "topic_id, name, partitions, compacted, retention_ms, replication, record_bytes_max, "
    "first_partition_id, checksum"
)


def read_topics(database: Database) -> list[Topic]:
    """All topics, by name."""
    rows = database.query(f"SELECT {_COLUMNS} FROM topics ORDER BY name")
    return [_topic(database, row) for row in rows]


def _topic(database: Database, row: Row) -> Topic:
    """Raises `LogError` for a row that is damaged: its numbers say where the topic's records are."""
    topic_id, name, partitions, compacted, *rest, checksum = row
    if row_checksum(name, partitions, compacted, *rest) != checksum:
        raise database.damaged(f"what it says about topic {name} does not fit its checksum")
    return Topic(topic_id, name, partitions, bool(compacted), *rest)


class Catalogue:
    """Topics that were looked up are remembered; topics never change, only come and go."""

    def __init__(self, shared: Shared) -> None:
        self.log_name = shared.name
        self._lock = threading.Lock()
        self._database = Database(shared)
        self._topics: dict[str, Topic] = {}

    def topic(self, name: str) -> Topic:
        """Raises `TopicError` when there is none of this name."""
        topic = self._topics.get(name)
        return topic if topic is not None else self._look_up(name)

    def _look_up(self, name: str) -> Topic:
        with self._lock:
            rows = self._database.query(f"SELECT {_COLUMNS} FROM topics WHERE name = ?", (name,))
            if not rows:
                raise TopicError(
                    f"Topic {name} does not exist in {self.log_name}. Make the topics of the "
                    "namespace first: `weft topics create`."
                )
            topic = self._topics[name] = _topic(self._database, rows[0])
            return topic

    def forget(self, name: str) -> None:
        """The topic turned out to be gone; look again next time."""
        self._topics.pop(name, None)

    def close(self) -> None:
        self._database.close()


def encoded_headers(headers: Headers) -> bytes | None:
    return _encode_headers(headers) if headers else None


def check_record(
    topic: Topic, key: bytes | None, value: bytes | None, headers: bytes | None
) -> int:
    """The record's size in bytes.

    Raises `RecordTooLargeError`, or `UsageError` for a record without a key on a compacted topic.
    """
    size_bytes = 0
    if key is not None:
        size_bytes = len(key)
    elif topic.compacted:
        raise UsageError(
            f"A record for the compacted topic {topic.name} has no key; compaction could not tell "
            "it from others."
        )
    if value is not None:
        size_bytes += len(value)
    if headers is not None:
        size_bytes += len(headers)
    if size_bytes > topic.record_bytes_max:
        raise RecordTooLargeError(
            f"A record of {size_bytes} bytes is too large for topic {topic.name}, which takes "
            f"{topic.record_bytes_max}. It was not written. Make the payload smaller, or store it "
            "elsewhere and pass a reference."
        )
    return size_bytes
