"""What a worker tells Prometheus. One object per process; the names are part of the public interface."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from weft.payloads import Payloads

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class WorkerMetrics:
    """Counters and gauges of a workflow worker and an activity worker."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.turns = Counter(
            "weft_turns", "Steps of workflows that were taken", registry=self.registry
        )
        self._count_activities()
        self._count_load()
        self._count_sizes()
        self.batch_records = Histogram(
            "weft_batch_records",
            "Records that came in per transaction",
            buckets=_RECORDS,
            registry=self.registry,
        )
        self.transaction_seconds = Histogram(
            "weft_transaction_seconds",
            "Time from begin to commit of a transaction",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.transaction_aborts = Counter(
            "weft_transaction_aborts",
            "Transactions that did not commit, by reason (fenced, unknown, aborted)",
            ["reason"],
            registry=self.registry,
        )
        self.rebuild_seconds = Histogram(
            "weft_rebuild_seconds",
            "Time from the assignment of a partition until it is served",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rebuild_records = Counter(
            "weft_rebuild_records", "State records read while rebuilding", registry=self.registry
        )
        self.runs = Gauge(
            "weft_runs",
            "Workflows on the owned partitions by status",
            ["status"],
            registry=self.registry,
        )
        self.workflows_unmatched = Gauge(
            "weft_workflows_unmatched",
            "Open runs whose workflow this worker does not have in their version: blocked once their code is needed",
            ["workflow", "version"],
            registry=self.registry,
        )
        self.partitions = Gauge(
            "weft_partitions", "Partitions that are owned and served", registry=self.registry
        )
        self.unserved_seconds = Gauge(
            "weft_unserved_seconds",
            "For how long the log has kept this worker from serving workflows; 0 while it serves",
            registry=self.registry,
        )
        self.dropped = Counter(
            "weft_dropped",
            "Records that changed nothing, by reason (late results, repeated signals)",
            ["reason"],
            registry=self.registry,
        )
        self.hook_failures = Counter(
            "weft_hook_failures", "Hooks of the users' that raised", registry=self.registry
        )
        self.deadletters = Counter(
            "weft_deadletters", "Records that were put aside", ["topic"], registry=self.registry
        )
        self.forwarded = Counter(
            "weft_forwarded", "Records that came on a wrong partition", registry=self.registry
        )

    def _count_activities(self) -> None:
        self.activities = Counter(
            "weft_activities",
            "Attempts of activities that ended here, by outcome (completed, failed, timed_out, cancelled)",
            ["activity", "outcome"],
            registry=self.registry,
        )
        self.activities_running = Gauge(
            "weft_activities_running",
            "Attempts of activities that run here now",
            registry=self.registry,
        )
        self.threads_abandoned = Gauge(
            "weft_activity_threads_abandoned",
            "Threads whose attempts ran out of time and whose functions have not returned yet",
            registry=self.registry,
        )
        self.leases = Gauge(
            "weft_leases", "Long attempts that run here under a lease", registry=self.registry
        )
        self.leases_lost = Counter(
            "weft_leases_lost",
            "Leased attempts that had to be run again, by reason (silent, released)",
            ["reason"],
            registry=self.registry,
        )
        self.answered_tasks = Counter(
            "weft_answered_tasks",
            "Tasks that were read again, and not run again: their results were on the log",
            registry=self.registry,
        )
        self.heartbeats = Counter(
            "weft_heartbeats",
            "Heartbeats that were written for leased attempts",
            registry=self.registry,
        )

    def _count_load(self) -> None:
        self.partition_records = Counter(
            "weft_partition_records",
            "Records that came in for workflows, by partition",
            ["partition"],
            registry=self.registry,
        )
        self.hot_key_share = Gauge(
            "weft_hot_key_share",
            "Part of what came in here that was one workflow's, in the last 10 s; 0 below 1,000 records",
            registry=self.registry,
        )

    def _count_sizes(self) -> None:
        self.history_events_max = Gauge(
            "weft_history_events_max",
            "Events of the longest history of an open run here (0: none has 1,000, or 1 MiB)",
            registry=self.registry,
        )
        self.history_bytes_max = Gauge(
            "weft_history_bytes_max",
            "Bytes of the largest history of an open run here (0: none has 1 MiB, or 1,000 events)",
            registry=self.registry,
        )
        self.memory_bytes = Gauge(
            "weft_memory_bytes",
            "Bytes that are kept of workflows, by estimate, where memory is bounded (--memory); else 0",
            registry=self.registry,
        )
        self.read_back = Counter(
            "weft_read_back",
            "Workflows whose state was read back from the log because memory is bounded",
            registry=self.registry,
        )
        self.payload_ratio = Gauge(
            "weft_payload_ratio",
            "The largest payload here since the start, as a part of what a record takes: above 1 it was not taken",
            registry=self.registry,
        )
        self.payloads = Counter(
            "weft_payloads",
            "Payloads that no record takes, by outcome (stored, fetched, refused: no store, failed: the store did)",
            ["outcome"],
            registry=self.registry,
        )

    def watch(self, payloads: Payloads) -> None:
        """Count what becomes of large payloads."""
        self.payload_ratio.set_function(lambda: payloads.largest_bytes / payloads.bytes_max)
        payloads.on_outcome = lambda outcome: self.payloads.labels(outcome).inc()
