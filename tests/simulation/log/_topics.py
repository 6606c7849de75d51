"""The topics of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.log._partition import Partition
from weft.errors import RecordTooLargeError, TopicError
from weft.log import Headers, TopicInfo, TopicSpec

RECORD_BYTES_MAX = 1_048_588
RETENTION_MS = 7 * 24 * 3_600_000
"""Kafka's defaults."""
_OVERHEAD_BYTES = 100
_HEADER_BYTES = 10


@dataclass(frozen=True, slots=True)
class Topic:
    spec: TopicSpec
    partitions: tuple[Partition, ...]
    record_bytes_max: int

    def info(self) -> TopicInfo:
        spec = self.spec
        retention_ms = spec.retention_ms
        if spec.compacted:
            retention_ms = None
        elif retention_ms is None:
            retention_ms = RETENTION_MS
        return TopicInfo(
            spec.name,
            len(self.partitions),
            spec.compacted,
            retention_ms,
            spec.replication,
            self.record_bytes_max,
        )


class Topics:
    """By name, and what a record must be like to be taken."""

    def __init__(self, log_name: str) -> None:
        self.by_name: dict[str, Topic] = {}
        self._log_name = log_name

    def topic(self, name: str) -> Topic:
        """Raises `TopicError` when there is none."""
        found = self.by_name.get(name)
        if found is None:
            raise TopicError(f"There is no topic {name} on {self._log_name}.")
        return found

    def partition(self, name: str, number: int) -> Partition:
        """Raises `TopicError` when there is no such topic or partition."""
        partitions = self.topic(name).partitions
        if not 0 <= number < len(partitions):
            raise TopicError(
                f"{name}-{number} of {self._log_name} does not exist: the topic has {len(partitions)} partitions."
            )
        return partitions[number]

    def check_size(
        self, name: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Raises `RecordTooLargeError`, or `TopicError` when there is no such topic."""
        size_bytes = _OVERHEAD_BYTES + len(key or b"") + len(value or b"")
        for header, content in headers:
            size_bytes += len(header) + len(content) + _HEADER_BYTES
        if size_bytes > self.topic(name).record_bytes_max:
            raise RecordTooLargeError(
                f"A record of {size_bytes - _OVERHEAD_BYTES} bytes for {name} is larger than the topic takes "
                f"({self.topic(name).record_bytes_max} bytes)."
            )
