"""The topic of a store, on Kafka or on an embedded log: how it is made, written and read."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from weft.errors import FencedError, LogError, TopicError
from weft.executor import FencedStoreError, StoreError
from weft.log import FROM_START, Log, LogRecord, TopicInfo, TopicSpec, open_log
from weft.stores._kafka import Message
from weft.topics import partition_of

_TIMEOUT_S = 30.0
_READ_MAX = 1000
RECORD_BYTES_MAX = 8 * 1_048_576
"""A state holds its whole history. One that is larger is refused, not lost: it belongs into the engine's own log."""
_CONFIG = {
    "max.message.bytes": str(RECORD_BYTES_MAX),
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
    # Deleted and replaced states go soon, so that a rebuild reads little more than what counts.
    "segment.ms": "600000",
    "segment.bytes": str(64 * 1_048_576),
    "min.cleanable.dirty.ratio": "0.25",
    "max.compaction.lag.ms": "3600000",
}


def open_topic(
    kafka: str | None,
    log: Log | None,
    topic: str,
    *,
    partitions: int,
    replication: int,
    owner: str,
    kafka_config: Mapping[str, Any],
) -> tuple[TopicWriter, TopicReader]:
    """Blocks. Raises LogError, UsageError, and TopicError for a topic that is not compacted."""
    opened = log or open_log(kafka=kafka, kafka_config=kafka_config)
    try:
        admin = opened.admin()
        try:
            spec = TopicSpec(
                topic, partitions, compacted=True, replication=replication, config=_CONFIG
            )
            admin.create_topics([spec])
            info = admin.describe_topics([topic])[topic]
        finally:
            admin.close()
        _check_compacted(info)
        writer = TopicWriter(opened, topic, info.partitions, owner, owns_log=log is None)
        return writer, TopicReader(opened, topic, info.partitions)
    except BaseException:
        if log is None:
            opened.close()
        raise


def _check_compacted(info: TopicInfo) -> None:
    if not info.compacted:
        raise TopicError(
            f"Topic {info.name} is not compacted, so its states would be deleted one day: set cleanup.policy=compact."
        )


class TopicWriter:
    """Writes durably: each call is acknowledged by all replicas, or, with an owner, is a transaction of its own."""

    def __init__(
        self, log: Log, topic: str, partition_count: int, owner: str, *, owns_log: bool
    ) -> None:
        self._log = log
        self._topic = topic
        self._partition_count = partition_count
        self._owns_log = owns_log
        self._lock = threading.Lock()
        self._plain = None if owner else log.producer()
        self._transactional = None
        if owner:
            self._transactional = log.transactional_producer(f"{topic}-{owner}")
            self._transactional.fence(_TIMEOUT_S)

    async def write_messages(self, *messages: Message) -> builtins.list[Message]:
        placed = [
            message
            if 0 <= message.partition < self._partition_count
            else message._replace(partition=partition_of(message.key, self._partition_count))
            for message in messages
        ]
        write = self._write_plain if self._plain is not None else self._write_in_transaction
        return await asyncio.to_thread(write, placed)

    def _write_plain(self, messages: builtins.list[Message]) -> builtins.list[Message]:
        assert self._plain is not None, "chosen by write_messages"
        done = threading.Event()
        told: dict[int, LogError | int] = {}

        def tell(number: int, error: LogError | None, offset: int) -> None:
            told[number] = error if error is not None else offset
            if len(told) == len(messages):
                done.set()

        for number, message in enumerate(messages):
            self._plain.produce(
                self._topic,
                message.partition,
                message.key,
                message.value,
                on_delivery=lambda error, _, offset, number=number: tell(number, error, offset),  # type: ignore[misc]
            )
        waited_s = 0.0
        while not done.is_set() and waited_s < _TIMEOUT_S:
            # Whoever polls may serve the callbacks of others, so one that was served elsewhere is looked for as well.
            with self._lock:
                if not done.is_set():
                    self._plain.poll(0.05)
            waited_s += 0.05
        return [self._delivered(message, told.get(n)) for n, message in enumerate(messages)]

    def _delivered(self, message: Message, told: LogError | int | None) -> Message:
        if told is None:
            raise StoreError(
                f"kafka/save: {self._log.name} has not confirmed it for {_TIMEOUT_S:g} s"
            )
        if isinstance(told, LogError):
            raise told
        return message._replace(offset=told)

    def _write_in_transaction(self, messages: builtins.list[Message]) -> builtins.list[Message]:
        producer = self._transactional
        assert producer is not None, "chosen by write_messages"
        offsets: dict[int, int] = {}
        with self._lock:
            try:
                producer.begin()
                for number, message in enumerate(messages):
                    producer.append(
                        self._topic,
                        message.partition,
                        message.key,
                        message.value,
                        on_offset=lambda offset, number=number: offsets.update({number: offset}),  # type: ignore[misc]
                    )
                producer.commit(_TIMEOUT_S)
            except FencedError as error:
                raise FencedStoreError(
                    "kafka/save: another store has taken over as the owner of this topic; this one may not write any "
                    "more"
                ) from error
        return [
            message._replace(offset=offsets.get(number, -1))
            for number, message in enumerate(messages)
        ]

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            if self._plain is not None:
                self._plain.flush(_TIMEOUT_S)
                self._plain.close()
            if self._transactional is not None:
                self._transactional.close()
        if self._owns_log:
            self._log.close()


class TopicReader:
    """Reads every partition: first up to its end, then what is added."""

    def __init__(self, log: Log, topic: str, partition_count: int) -> None:
        self._reader = log.reader()
        self._offsets = {(topic, number): FROM_START for number in range(partition_count)}
        self._is_at_end = False
        self._waiting: deque[LogRecord] = deque()

    async def read_message(self) -> Message | None:
        if not self._waiting:
            self._waiting.extend(await asyncio.to_thread(self._more))
        if not self._waiting:
            return None
        record = self._waiting.popleft()
        return Message(record.key or b"", record.value, record.partition, record.offset)

    def _more(self) -> builtins.list[LogRecord]:
        if self._is_at_end:
            return self._reader.poll(_READ_MAX, 0.0)
        found = list(self._reader.read_to_end(self._offsets, _TIMEOUT_S))
        for record in found:
            self._offsets[record.topic, record.partition] = record.offset + 1
        self._reader.assign(self._offsets)
        self._is_at_end = True
        return found

    async def close(self) -> None:
        await asyncio.to_thread(self._reader.close)
