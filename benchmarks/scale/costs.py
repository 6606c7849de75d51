"""What a step costs: read from what was measured, and the rest fitted to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import Line

TRANSACTIONS = Path(__file__).with_name("transactions.jsonl")
RECORDS_PER_STEP = 1.2
"""That a workflow worker reads in W1: the results of five steps, and a start."""

FOLLOWER_SHARE = 0.25
"""Of the leader's work, that a copy of it costs. Not measured: a follower only fetches and appends."""
SERIAL_SHARE = 0.5
"""Of what a transaction's offsets cost, that the one partition with the group's offsets does, one after the other: the
rest is the transaction's coordinator's. Not measured."""
DISK_BYTES_PER_S = 1e9
"""That a broker writes at most. Assumed."""
REBUILT_PER_S = 100_000
"""Heads that a worker reads again in a second (W7, once it is measured)."""
TAKEOVER_S = 6.1
RESTART_S = 1.2
"""Until a partition is served again, with next to no state: by another worker, by the same (W6)."""
MEMORY_BYTES = 200
"""Of an open workflow in its owner, beyond its head (W7)."""


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU, but for `trip_s`."""

    worker_transaction: float
    worker_record: float
    activity_batch: float
    activity_step: float
    client_workflow: float
    broker_record: float
    """Of a record that a workflow worker reads, with all that follows from it: tasks, results, fetches."""
    broker_transaction: float
    """At the transaction's coordinator."""
    broker_offsets: float
    """Of a transaction, at the coordinator of the workers' group."""
    broker_partition: float
    """Of each partition that a transaction writes."""
    broker_write: float
    """Of a plain write to a partition."""
    trip_s: float
    """From one process to another and back: network, threads that wake up."""


def broker_costs(lines: list[Line]) -> Mapping[str, float]:
    """Seconds, of the lines that `benchmarks.scale.transactions` gave."""
    us = {
        (line["partitions"], line["records"], line["has_offsets"], line["is_plain"]): line[
            "broker_us"
        ]
        for line in lines
    }
    few, many = us[4, 1, True, False], us[16, 1, True, False]
    partition = (many - few) / 12
    return {
        "broker_transaction": (us[1, 1, False, False] - partition) / 1e6,
        "broker_offsets": (us[1, 1, True, False] - us[1, 1, False, False]) / 1e6,
        "broker_partition": partition / 1e6,
        "broker_write": us[1, 1, False, True] / 1e6,
    }


def line_of(lines: list[Line], workload: str, variant: str) -> Line | None:
    """What Kafka did there, if it was measured."""
    return next(
        (
            line
            for line in lines
            if (line["workload"], line["variant"], line["backend"]) == (workload, variant, "kafka")
        ),
        None,
    )
