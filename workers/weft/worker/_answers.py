"""What an owner answers to clients, and what it tells the world about a run."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from weft.core import Run
from weft.records import (
    FailureInfo,
    HistoryEvent,
    LifecycleEvent,
    Payload,
    Reply,
    ReplyTo,
    UpdateCompleted,
    UpdateFailed,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowReset,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.worker._cell import Cell

LIFECYCLE: dict[type[HistoryEvent], str] = {
    WorkflowStarted: "started",
    WorkflowBlocked: "blocked",
    WorkflowSuspended: "suspended",
    WorkflowResumed: "resumed",
    WorkflowReset: "reset",
    WorkflowCompleted: "completed",
    WorkflowFailed: "failed",
    WorkflowCancelled: "cancelled",
    WorkflowTerminated: "terminated",
    WorkflowTimedOut: "timed_out",
    WorkflowContinued: "continued",
}
"""The events that are published on `ns.events`, by the last part of their CloudEvents type."""


def accepted(to: ReplyTo, cell: Cell) -> Reply:
    return Reply(to.request, "accepted", cell.run_id, cell.status)


def running(to: ReplyTo, cell: Cell) -> Reply:
    """Somebody is there and will answer at the end: no reason to look elsewhere."""
    return Reply(to.request, "running", cell.run_id, cell.status, reason=cell.reason)


def unknown(to: ReplyTo) -> Reply:
    return Reply(to.request, "unknown")


def refused(to: ReplyTo, cell: Cell, reason: str) -> Reply:
    return Reply(to.request, "refused", cell.run_id, cell.status, reason=reason)


def cancelled(to: ReplyTo, run_id: str, reason: str) -> Reply:
    """To the worker that runs an attempt: nobody waits for it any more."""
    return Reply(to.request, "cancelled", run_id, reason=reason)


def answered(to: ReplyTo, cell: Cell, answer: Payload) -> Reply:
    return Reply(to.request, "answered", cell.run_id, cell.status, answer)


def rejected(to: ReplyTo, cell: Cell, failure: FailureInfo | None) -> Reply:
    """An update that the code did not let pass; None: that it may take up if it is sent again."""
    return Reply(to.request, "rejected", cell.run_id, cell.status, failure=failure)


def update_ended(to: ReplyTo, cell: Cell, event: HistoryEvent) -> Reply:
    """What came of an update that was taken up."""
    if isinstance(event, UpdateCompleted):
        return answered(to, cell, event.result)
    assert isinstance(event, UpdateFailed), "the outcome of an update"
    return Reply(to.request, "failed", cell.run_id, cell.status, failure=event.failure)


def update_lost(to: ReplyTo, cell: Cell) -> Reply:
    """Its run has ended before its handler was done."""
    text = f"the workflow has ended ({cell.status}) before the update's handler was done"
    failure = FailureInfo("WorkflowEnded", text)
    return Reply(to.request, "failed", cell.run_id, cell.status, failure=failure)


def conflict(to: ReplyTo, cell: Cell) -> Reply:
    return Reply(to.request, "conflict", cell.run_id, cell.status, reason="already running")


def ended(to: ReplyTo, cell: Cell) -> Reply:
    """The end of a run: its result or its failure."""
    event = cell.last_event()
    reply = Reply(to.request, "ended", cell.run_id, cell.status)
    match event:
        case WorkflowCompleted():
            return Reply(to.request, "ended", cell.run_id, cell.status, result=event.result)
        case WorkflowFailed():
            return Reply(to.request, "ended", cell.run_id, cell.status, failure=event.failure)
        case WorkflowCancelled() | WorkflowTerminated():
            return Reply(to.request, "ended", cell.run_id, cell.status, reason=event.reason)
        case WorkflowTimedOut():
            reason = f"not done within {event.timeout_ms} ms"
            return Reply(to.request, "ended", cell.run_id, cell.status, reason=reason)
        case _:
            return reply


def lifecycle_event(namespace: str, run: Run, event: HistoryEvent, kind: str) -> LifecycleEvent:
    """What happened to a run, as a CloudEvent for whoever listens."""
    data: dict[str, object] = {
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": run.status,
    }
    if isinstance(event, WorkflowCompleted):
        data["result"] = event.result
    elif isinstance(event, WorkflowContinued):
        data["next_run_id"] = event.next_run_id
    elif isinstance(event, WorkflowStarted) and event.continued_from:
        data["continued_from"] = event.continued_from
    elif isinstance(event, WorkflowReset):
        data |= {
            "from_run_id": event.from_run_id,
            "to_event": event.to_event,
            "reason": event.reason,
        }
    elif isinstance(event, WorkflowFailed):
        data["failure"] = {"type": event.failure.type, "message": event.failure.message}
    elif run.reason:
        data["reason"] = run.reason
    return LifecycleEvent(
        id=f"{run.run_id}/{event.event_id}",
        source=f"/weft/{namespace}",
        type=f"weft.workflow.{kind}",
        subject=run.workflow_id,
        time=_as_text(event.time_ms),
        data=data,
    )


@lru_cache(maxsize=16)
def _as_text(time_ms: int) -> str:
    """All that a batch brings about happened at the same time."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()
