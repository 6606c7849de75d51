"""Which transitions a run went through: what no run ever reached, no run has ever tested."""

from __future__ import annotations

from typing import get_args

from tests.simulation.histories import Histories
from tests.simulation.world import World
from weft.metrics import WorkerMetrics
from weft.records import STATUSES, Event, WorkflowContinued, WorkflowReset, run_number

REPLIES = (
    "accepted",
    "ended",
    "running",
    "conflict",
    "unknown",
    "refused",
    "answered",
    "rejected",
    "cancelled",
)
DROPPED = (
    "no such workflow",
    "result of an earlier run",
    "the run has ended",
    "the run does not wait for this attempt",
    "a signal with this ID was received before",
    "its cancellation was asked for before",
    "child was started before",
    "message for a child that is not there",
    "message for a run that is not there",
    "the run does not wait for this child",
    "the run does not wait for what became of this signal",
)
"""Reasons why an owner drops a record: those that a simulation can bring about."""
_ELSEWHERE = (WorkflowContinued, WorkflowReset)
"""The first is overwritten by the next run; resets have crash tests of their own."""
LOST = ("silent", "released")
ABORTS = ("fenced", "unknown", "unavailable")


def every_transition() -> set[str]:
    """All that there is to reach."""
    return {
        *(f"event {kind.__name__}" for kind in get_args(Event) if kind not in _ELSEWHERE),
        *(f"status {status}" for status in STATUSES),
        *(f"reply {outcome}" for outcome in REPLIES),
        *(f"dropped: {reason}" for reason in DROPPED),
        *(f"commit {reason}" for reason in ABORTS),
        *(f"lease lost: {reason}" for reason in LOST),
        "history with pages",
        "workflow continued",  # the event itself is overwritten by the next run
        "record forwarded",
        "record put aside",
        "workflow purged",
        "workflow run again",
    }


def transitions_of(world: World, histories: Histories) -> set[str]:
    """All that this run reached."""
    reached = {f"reply {outcome}" for outcome in world.recorder.reply_outcomes}
    reached |= {f"status {status}" for status in world.recorder.statuses}
    ids: set[str] = set()
    for run in histories.runs.values():
        reached.update(f"event {type(event).__name__}" for event in run.events())
        if run.head is not None and run.head.page_count:
            reached.add("history with pages")
        if run_number(run.run_id) > 1:
            reached.add("workflow continued")
        if run.purged:
            reached.add("workflow purged")
        if run.workflow_id in ids:
            reached.add("workflow run again")
        ids.add(run.workflow_id)
    for metrics in world.metrics:
        reached |= _counted(metrics)
    return reached & every_transition()


def _counted(metrics: WorkerMetrics) -> set[str]:
    """What only the workers themselves saw."""
    reached = set()
    for family in metrics.registry.collect():
        for sample in family.samples:
            if not sample.value:
                continue
            if sample.name == "weft_dropped_total":
                reached.add(f"dropped: {sample.labels['reason']}")
            elif sample.name == "weft_transaction_aborts_total":
                reached.add(f"commit {sample.labels['reason']}")
            elif sample.name == "weft_leases_lost_total":
                reached.add(f"lease lost: {sample.labels['reason']}")
            elif sample.name == "weft_forwarded_total":
                reached.add("record forwarded")
            elif sample.name == "weft_deadletters_total":
                reached.add("record put aside")
    return reached
