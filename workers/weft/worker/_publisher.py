"""Where the records go that workflows publish: which topics there are, what they take, and which partition is a key's.

Looked up before a record is appended, since a record that the log refuses would take its whole transaction with it.
What is wrong with a record is told to the workflow's code; what is wrong with a topic (it is missing, or may not be
written to) is a matter of whoever runs Weft, and blocks the run until it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from weft.core import PublishRecord
from weft.errors import FencedError, LogError, LogUnavailableError, TopicError
from weft.host import HOST, Host
from weft.log import Admin, Log, TopicInfo
from weft.records import FailureInfo
from weft.topics import Namespace, partition_of

FRESH_S = 300.0
"""How long what is known of a topic counts: a client of Java's takes as long to see that partitions were added."""
FAILURES_MAX = 3
"""Transactions with records for a topic that may fail, one after the other, before the topic is taken for the cause."""
REFUSED_S = 60.0
_LOOKUP_TIMEOUT_S = 10.0
_OVERHEAD_BYTES = 100
_HEADER_BYTES = 10
"""What a record may need besides its key, value and headers, and besides each header: as the logs count."""
_ENGINE_ENDINGS = (
    "signals", "results", "messages", "state", "owners", "events", "deadletters", "queries", "replies",
)  # fmt: skip

Describe = Callable[[str], TopicInfo | None]
_RECORD_BYTES_MAX = 1_048_588


def any_topic(topic: str) -> TopicInfo | None:
    """Where there is no log: every topic exists, with one partition and Kafka's own limit, but no other namespace."""
    if topic.endswith(".owners"):
        return None
    return TopicInfo(topic, 1, False, None, 1, _RECORD_BYTES_MAX)  # noqa: FBT003  # as a topic is described


class Publisher:
    """Of one owner, or of one test. Used by one thread."""

    def __init__(
        self, namespace: Namespace, describe: Describe = any_topic, host: Host = HOST
    ) -> None:
        self._namespace = namespace
        self._describe = describe
        self._host = host
        self._known: dict[str, tuple[float, TopicInfo]] = {}
        """When a topic was looked at, and how it was."""
        self._failures: dict[str, int] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        """Until when nothing is published on a topic, and why."""

    def place(self, workflow_id: str, record: PublishRecord) -> PublishRecord:
        """The record with its partition, or with the failure that its workflow is told.

        Raises TopicError when the topic is missing or may not be written to, LogUnavailableError when nobody knows.
        """
        topic = record.topic
        if self._is_engines(topic):
            text = f"{topic} is a topic of Weft's own: what is written there would be taken for its records."
            return _refused(record, "UsageError", text)
        info = self._topic(topic)
        if info.compacted and record.key is None:
            text = f"{topic} is compacted, and a record without a key could not be told from others there."
            return _refused(record, "UsageError", text)
        size_bytes = _size_of(record)
        if size_bytes > info.record_bytes_max:
            # It may have been raised since.
            info = self._topic(topic, look_again=True)
        if size_bytes > info.record_bytes_max:
            text = (
                f"A record of {size_bytes:,} bytes, with its wrapping, is larger than topic {topic} takes "
                f"({info.record_bytes_max:,}). Publish less, or raise `max.message.bytes` of the topic."
            )
            return _refused(record, "RecordTooLargeError", text)
        key = workflow_id.encode() if record.key is None else record.key
        return msgspec.structs.replace(record, partition=partition_of(key, info.partitions))

    def note_failure(self, topics: Collection[str], error: LogError) -> bool:
        """A transaction with records for these topics failed; whether that may be because of them.

        They are looked at again. A topic that looks well and goes on failing is refused for a while.
        """
        if isinstance(error, FencedError):
            return False
        for topic in topics:
            self._known.pop(topic, None)
            self._failures[topic] = self._failures.get(topic, 0) + 1
            if self._failures[topic] >= FAILURES_MAX:
                self._refused[topic] = (self._host.monotonic() + REFUSED_S, str(error))
        return bool(topics)

    def note_success(self, topics: Collection[str]) -> None:
        for topic in topics:
            self._failures.pop(topic, None)

    def _topic(self, topic: str, *, look_again: bool = False) -> TopicInfo:
        now_s = self._host.monotonic()
        until_s, reason = self._refused.get(topic, (0.0, ""))
        if now_s < until_s:
            raise TopicError(f"Records for topic {topic} could not be written: {reason}")
        self._refused.pop(topic, None)
        looked_s, known = self._known.get(topic, (0.0, None))
        if known is not None and now_s - looked_s < FRESH_S and not look_again:
            return known
        info = self._look(topic, known)
        if not info.is_writable:
            raise TopicError(
                f"This worker may not write to topic {topic}. Allow it (kafka-acls.sh --add --operation Write --topic "
                f"{topic} ...); then try the run again (`weft unblock`)."
            )
        self._known[topic] = (now_s, info)
        return info

    def _look(self, topic: str, known: TopicInfo | None) -> TopicInfo:
        try:
            info = self._describe(topic)
        except LogUnavailableError:
            if known is not None:
                return known  # as good as what a client of Java's would go by
            raise
        except LogError as error:
            raise TopicError(f"Topic {topic} cannot be published to: {error}") from error
        if info is None:
            self._known.pop(topic, None)
            raise TopicError(
                f"There is no topic {topic} to publish to. Make it (`weft topics create --topic {topic}`, or with "
                "Kafka's tools); then try the run again (`weft unblock`)."
            )
        return info

    def _is_engines(self, topic: str) -> bool:
        if topic.startswith(f"{self._namespace.name}."):
            return True
        namespace, _, ending = topic.rpartition(".")
        if ".tasks." in topic:
            namespace = topic.partition(".tasks.")[0]
        elif ending not in _ENGINE_ENDINGS:
            return False
        # Another namespace's, if there is one of that name.
        return bool(namespace) and self._exists(f"{namespace}.owners")

    def _exists(self, topic: str) -> bool:
        try:
            return self._describe(topic) is not None
        except LogUnavailableError:
            raise
        except LogError:
            return False


class TopicLook:
    """Looks topics up on a log, which is asked the first time that a workflow publishes something."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._admin: Admin | None = None

    def __call__(self, topic: str) -> TopicInfo | None:
        if self._admin is None:
            self._admin = self._log.admin()
        return self._admin.describe_topics([topic], _LOOKUP_TIMEOUT_S).get(topic)

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()


def _refused(record: PublishRecord, kind: str, text: str) -> PublishRecord:
    return msgspec.structs.replace(record, failure=FailureInfo(kind, text))


def _size_of(record: PublishRecord) -> int:
    size_bytes = _OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
    return size_bytes + sum(
        len(name.encode()) + len(content) + _HEADER_BYTES for name, content in record.headers
    )
