"""Children of a run, and signals that it sends: what comes back of them, and how it is folded.

What goes out is no effect of these decisions: whoever appends an event that another workflow is to hear of writes that
message into the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from weft.core._retry import is_retryable, retry_interval_ms
from weft.core._run import OpenChild, Run
from weft.errors import InvariantViolation
from weft.records import (
    ChildCancelRequested,
    ChildCompleted,
    ChildDone,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildRunning,
    ChildScheduled,
    ChildStarted,
    ChildStatus,
    FailureInfo,
    HistoryEvent,
    SignalDelivered,
    SignalOutcome,
    SignalSent,
)

if TYPE_CHECKING:
    from weft.core._commands import CancelChild, ScheduleChild, SendSignal

Answer = tuple[HistoryEvent | None, str]
"""An event, or why there is none."""

_STALE = "the run does not wait for this child"
_RETRIED = frozenset({"failed", "timed_out"})
"""Whoever cancelled or terminated a child did not want it to run again."""


# From inputs to events.


def _open(run: Run, message: ChildRunning | ChildDone) -> OpenChild | None:
    """The child that the message speaks of, or None when the run no longer waits for that run of it."""
    if message.run_id != run.run_id:
        return None
    child = run.children.get(message.child_id)
    return None if child is None or child.waiting or child.attempt != message.attempt else child


def child_running(run: Run, message: ChildRunning, now_ms: int, _draw: float) -> Answer:
    child = _open(run, message)
    if child is None or child.run_id:
        return None, _STALE
    event_id = run.last_event_id + 1
    return (
        ChildStarted(event_id, now_ms, child.child_id, child.attempt, message.child_run_id),
        "",
    )


def child_done(run: Run, message: ChildDone, now_ms: int, draw: float) -> Answer:
    child = _open(run, message)
    if child is None:
        return None, _STALE
    event_id, run_id = run.last_event_id + 1, message.child_run_id
    if message.status == "completed":
        completed = ChildCompleted(
            event_id, now_ms, child.child_id, child.workflow, run_id, child.attempt, message.result
        )
        return completed, ""
    failure = message.failure or FailureInfo(message.status)
    if (
        message.status in _RETRIED
        and not child.cancel_requested
        and is_retryable(child.retry, failure, child.attempt)
    ):
        due_ms = now_ms + retry_interval_ms(child.retry, child.attempt, draw)
        scheduled = ChildRetryScheduled(
            event_id,
            now_ms,
            child.child_id,
            child.workflow,
            child.attempt,
            due_ms,
            message.status,
            failure,
        )
        return scheduled, ""
    return child_failed(run, child, message.status, failure, now_ms, run_id), ""


def child_failed(
    run: Run,
    child: OpenChild,
    status: ChildStatus,
    failure: FailureInfo,
    now_ms: int,
    run_id: str = "",
) -> ChildFailed:
    """For good: the workflow sees it."""
    return ChildFailed(
        run.last_event_id + 1,
        now_ms,
        child.child_id,
        child.workflow,
        run_id,
        child.attempt,
        status,
        failure,
    )


def child_due(run: Run, child: OpenChild, now_ms: int) -> HistoryEvent:
    """The pause before its next run is over, unless it was asked to end in it."""
    if child.cancel_requested:
        failure = FailureInfo("CancelledError", "it was cancelled before it was started again")
        return child_failed(run, child, "cancelled", failure, now_ms)
    return ChildRestarted(run.last_event_id + 1, now_ms, child.child_id, child.attempt)


def signal_outcome(run: Run, message: SignalOutcome, now_ms: int, _draw: float) -> Answer:
    if message.run_id != run.run_id or message.send_id not in run.sends:
        return None, "the run does not wait for what became of this signal"
    return SignalDelivered(run.last_event_id + 1, now_ms, message.send_id, message.problem), ""


# From commands to events.


def schedule_child(_run: Run, command: ScheduleChild, event_id: int, now_ms: int) -> HistoryEvent:
    return ChildScheduled(
        event_id,
        now_ms,
        command.child_id,
        command.workflow,
        command.workflow_id,
        command.input,
        command.namespace,
        command.timeout_ms,
        command.retry,
        command.parent_close,
        command.version,
    )


def cancel_child(run: Run, command: CancelChild, event_id: int, now_ms: int) -> HistoryEvent:
    if command.child_id not in run.children:
        raise InvariantViolation(
            f"{run.workflow_id}, run {run.run_id}: {command} is about a child that is not open"
        )
    return ChildCancelRequested(event_id, now_ms, command.child_id, command.reason)


def send_signal(_run: Run, command: SendSignal, event_id: int, now_ms: int) -> HistoryEvent:
    return SignalSent(
        event_id,
        now_ms,
        command.send_id,
        command.workflow_id,
        command.name,
        command.payload,
        command.namespace,
        command.child_id,
    )


# Folding.


def _scheduled(run: Run, event: ChildScheduled) -> None:
    run.children[event.child_id] = OpenChild(
        event.child_id,
        event.workflow,
        event.workflow_id,
        event.input,
        event.namespace,
        event.timeout_ms,
        event.retry,
        event.parent_close,
        event.version,
    )


def _started(run: Run, event: ChildStarted) -> None:
    run.children[event.child_id].run_id = event.run_id


def _ended(run: Run, event: ChildCompleted | ChildFailed) -> None:
    del run.children[event.child_id]


def _retry_scheduled(run: Run, event: ChildRetryScheduled) -> None:
    child = run.children[event.child_id]
    child.attempt += 1
    child.run_id = ""
    child.waiting = True
    _set_due(run, child, event.due_ms)


def _restarted(run: Run, event: ChildRestarted) -> None:
    child = run.children[event.child_id]
    child.waiting = False
    child.due_ms = 0


def _cancel_requested(run: Run, event: ChildCancelRequested) -> None:
    child = run.children[event.child_id]
    child.cancel_requested = True
    if child.waiting:
        _set_due(run, child, event.time_ms)


def _set_due(run: Run, child: OpenChild, due_ms: int) -> None:
    child.due_ms = due_ms
    heappush(run.due_heap, (due_ms, child.child_id))


def _sent(run: Run, event: SignalSent) -> None:
    run.sends.add(event.send_id)


def _delivered(run: Run, event: SignalDelivered) -> None:
    run.sends.discard(event.send_id)


CHILD_FOLDS: dict[type[HistoryEvent], Callable[[Run, Any], None]] = {
    ChildScheduled: _scheduled,
    ChildStarted: _started,
    ChildCompleted: _ended,
    ChildFailed: _ended,
    ChildRetryScheduled: _retry_scheduled,
    ChildRestarted: _restarted,
    ChildCancelRequested: _cancel_requested,
    SignalSent: _sent,
    SignalDelivered: _delivered,
}
