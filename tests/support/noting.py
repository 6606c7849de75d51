"""A log that notes every transaction: what was written in it, and how far it had read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.log import (
    GroupMember,
    Headers,
    Log,
    OffsetCallback,
    TopicPartition,
    TransactionalProducer,
)


@dataclass
class Transaction:
    """One that was committed."""

    writes: list[tuple[str, bytes | None]] = field(default_factory=list)
    """(topic, key)"""
    size_bytes: int = 0
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def keys(self, topic: str) -> set[bytes | None]:
        """What was written to this topic."""
        return {key for written, key in self.writes if written == topic}


class NotingProducer:
    """Implements `weft.log.TransactionalProducer` on another one."""

    def __init__(self, producer: TransactionalProducer, committed: list[Transaction]) -> None:
        self._producer = producer
        self._committed = committed
        self._now = Transaction()
        self.transactional_id = producer.transactional_id
        self.fence = producer.fence
        self.abort = producer.abort
        self.close = producer.close

    def begin(self) -> None:
        self._now = Transaction()
        self._producer.begin()

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        self._producer.append(topic, partition, key, value, headers, on_offset)
        self._now.writes.append((topic, key))
        self._now.size_bytes += len(value or b"")

    def send_offsets(self, next_offsets: Mapping[TopicPartition, int], member: GroupMember) -> None:
        self._producer.send_offsets(next_offsets, member)
        self._now.next_offsets.update(next_offsets)

    def commit(self, timeout_s: float) -> None:
        self._producer.commit(timeout_s)
        self._committed.append(self._now)


class NotingLog:
    """Implements `weft.log.Log` on another one."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.transactions: list[Transaction] = []
        self.name = log.name

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        return NotingProducer(self._log.transactional_producer(transactional_id), self.transactions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def next_offset(self, topic: str, partition: int = 0) -> int:
        """How far the topic's partition is read, by what is committed."""
        for transaction in reversed(self.transactions):
            if (topic, partition) in transaction.next_offsets:
                return transaction.next_offsets[topic, partition]
        return 0

    def record_counts(self, topic: str, partition: int = 0) -> list[int]:
        """How many records of the topic's partition each transaction handled."""
        place, before, counts = (topic, partition), 0, []
        for transaction in self.transactions:
            now = transaction.next_offsets.get(place, before)
            counts.append(now - before)
            before = now
        return counts
