"""What an owner's metrics say of the partitions that it serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from weft.host import HOST, Host
from weft.metrics import WorkerMetrics
from weft.records import STATUSES
from weft.worker._memory import Memory
from weft.worker._partition import Partition

_REPORT_S = 0.5
_UNMATCHED_MAX = 100
_LABEL_LENGTH_MAX = 100


class Report:
    """Made now and then, whoever asks."""

    def __init__(self, metrics: WorkerMetrics, memory: Memory | None, host: Host = HOST) -> None:
        self._metrics = metrics
        self._memory = memory
        self._host = host
        self._due_s = 0.0

    def make(self, serving: Collection[Partition]) -> None:
        """If it is time for one: of the partitions that are served."""
        now_s = self._host.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _REPORT_S
        partitions = list(serving)
        self._metrics.partitions.set(len(partitions))
        if self._memory is not None:
            self._memory.report(self._metrics)
        for status in STATUSES:
            count = sum(partition.statuses[status] for partition in partitions)
            self._metrics.runs.labels(status).set(count)
        self._report_unmatched(partitions)
        for partition in partitions:
            partition.report(self._metrics)
        self._metrics.history_events_max.set(
            max((partition.long.events_max for partition in partitions), default=0)
        )
        self._metrics.history_bytes_max.set(
            max((partition.long.bytes_max for partition in partitions), default=0)
        )

    def _report_unmatched(self, partitions: Collection[Partition]) -> None:
        """A start may name anything: of names and versions only so many are shown, and only so much of each."""
        runs = Counter(one for partition in partitions for one in partition.unmatched.values())
        gauge = self._metrics.workflows_unmatched
        gauge.clear()
        for (workflow, version), count in runs.most_common(_UNMATCHED_MAX):
            gauge.labels(workflow[:_LABEL_LENGTH_MAX], version[:_LABEL_LENGTH_MAX]).set(count)
