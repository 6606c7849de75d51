"""The bound on what a worker process keeps in memory of its workflows, over all partitions that it owns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from weft.errors import LogError
from weft.log import Log, LogRecord, Reader
from weft.metrics import WorkerMetrics
from weft.topics import Namespace

logger = logging.getLogger("weft.worker")

READ_BACK_MAX = 100
"""Workflows whose bodies are read back together."""
READ_BACK_BYTES_MAX = 16 * 1024 * 1024
"""Of the pages that are read back together, unless one workflow alone has more."""
_KEPT_SHARE = 15 / 16
"""What is left of the bound once it was passed: so that there is a while until the next time."""

_TIMEOUT_S = 10.0


class ReadAt(Protocol):
    """Reads records of the state topic."""

    def read_at(self, offsets: Mapping[int, Collection[int]]) -> list[LogRecord]:
        """By partition. Raises LogError."""

    def close(self) -> None: ...


class StateReader:
    """Implements ReadAt on a log, with a reader that is made when it is needed, and anew when it has failed."""

    def __init__(self, log: Log, namespace: Namespace) -> None:
        self._log = log
        self._topic = namespace.state
        self._reader: Reader | None = None

    def read_at(self, offsets: Mapping[int, Collection[int]]) -> list[LogRecord]:
        if self._reader is None:
            self._reader = self._log.reader()
        wanted = {(self._topic, number): at for number, at in offsets.items()}
        try:
            return self._reader.read_at(wanted, _TIMEOUT_S)
        except LogError:
            self.close()
            raise

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class Bounded(Protocol):
    """What has bodies in memory: the workflows of a partition."""

    @property
    def number(self) -> int: ...

    @property
    def kept_bytes(self) -> int: ...

    def drop_bodies(self, size_bytes: int) -> None:
        """Let bodies go that lie on the log, so many bytes of them if possible."""

    def offsets_of(self, workflow_ids: Iterable[str]) -> tuple[Sequence[str], Sequence[int]]:
        """Those that are absent, as many as may be read back together, and where all of their bodies lie."""

    def restore(self, workflow_ids: Sequence[str], records: Mapping[int, LogRecord]) -> None:
        """Take their bodies in, by offset."""


class Memory:
    """Of one worker process; used by its owner's thread."""

    def __init__(self, bytes_max: int, reader: ReadAt) -> None:
        self.bytes_max = bytes_max
        self.kept_bytes = 0
        """What is kept, by estimate where it is not known."""
        self.read_back_count = 0
        """Workflows whose bodies were read back."""
        self._reader = reader
        self._is_warned = False

    @property
    def is_full(self) -> bool:
        return self.kept_bytes >= self.bytes_max

    def read_back(self, wanted: Iterable[tuple[Bounded, Iterable[str]]]) -> None:
        """Have the bodies of these in memory, as many as are read together. Raises LogError."""
        absent: list[tuple[Bounded, Sequence[str]]] = []
        offsets: dict[int, Sequence[int]] = {}
        for bounded, workflow_ids in wanted:
            found, found_offsets = bounded.offsets_of(workflow_ids)
            if found:
                absent.append((bounded, found))
                offsets[bounded.number] = found_offsets
        if not absent:
            return
        records = self.read(offsets)
        for bounded, workflow_ids in absent:
            bounded.restore(workflow_ids, records[bounded.number])
            self.read_back_count += len(workflow_ids)

    def read(self, offsets: Mapping[int, Collection[int]]) -> dict[int, dict[int, LogRecord]]:
        """Records of the state topic: by partition, by offset. Raises LogError."""
        records: dict[int, dict[int, LogRecord]] = {number: {} for number in offsets}
        for record in self._reader.read_at(offsets):
            records[record.partition][record.offset] = record
        return records

    def trim(self, partitions: Collection[Bounded]) -> None:
        """Drop what is too much: of each in proportion, then wherever something is left to drop."""
        if self.kept_bytes <= self.bytes_max:
            self._is_warned = False
            return
        target_bytes = int(self.bytes_max * _KEPT_SHARE)
        over, kept = self.kept_bytes - target_bytes, max(self.kept_bytes, 1)
        for bounded in partitions:
            bounded.drop_bodies(over * bounded.kept_bytes // kept + 1)
        for bounded in partitions:
            if self.kept_bytes <= self.bytes_max:
                return
            bounded.drop_bodies(self.kept_bytes - target_bytes)
        if self.kept_bytes > self.bytes_max and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "workflows take %s bytes here, and --memory allows %s: what is left cannot leave memory (each takes "
                "some hundred bytes wherever its state is). Start more workers, or allow more.",
                f"{self.kept_bytes:,}",
                f"{self.bytes_max:,}",
            )

    def report(self, metrics: WorkerMetrics) -> None:
        """Add what was counted since the last report."""
        metrics.memory_bytes.set(self.kept_bytes)
        metrics.read_back.inc(self.read_back_count)
        self.read_back_count = 0

    def close(self) -> None:
        self._reader.close()
