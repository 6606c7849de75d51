"""Fold events into a run. Live steps and rebuilds both come through here and nowhere else.

If the two ever differed, a restart would change the past; `rebuild(events) == live run` is held by a property test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

from weft.core._children import CHILD_FOLDS
from weft.core._run import OF_A_FORMER_RUN, OpenActivity, Run
from weft.errors import InvariantViolation
from weft.records import (
    ActivityCancelled,
    ActivityCompleted,
    ActivityDispatched,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityScheduled,
    ActivityStarted,
    CancelRequested,
    HistoryEvent,
    RecordDeferred,
    RecordPublished,
    SignalReceived,
    TimerCancelled,
    TimerFired,
    TimerStarted,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowPatched,
    WorkflowReset,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowUnblocked,
)

_REASON_LENGTH_MAX = 500


def apply(run: Run, event: HistoryEvent) -> Run:
    """Fold one history event into the run, in place.

    Raises InvariantViolation when `event` does not follow `run.last_event_id`: the log or our code is broken.
    """
    if event.event_id != run.last_event_id + 1:
        raise InvariantViolation(
            f"Event {event.event_id} ({type(event).__name__}) of {run.workflow_id}, run {run.run_id} follows event "
            f"{run.last_event_id}: a part of the history is missing or stands twice. The partition is not served."
        )
    if run.ended:
        raise InvariantViolation(
            f"Event {event.event_id} ({type(event).__name__}) of {run.workflow_id}, run {run.run_id} comes after the "
            f"run ended as {run.status}."
        )
    run.last_event_id = event.event_id
    run.updated_ms = event.time_ms
    _FOLDS[type(event)](run, event)
    return run


def rebuild(workflow_id: str, events: Iterable[HistoryEvent]) -> Run:
    """A run from its whole history."""
    run = Run(workflow_id)
    for event in events:
        apply(run, event)
    return run


def next_due_ms(run: Run) -> int:
    """When the run must be looked at next; 0 is never. Drops what is no longer true from the heap's top."""
    heap = run.due_heap
    while heap:
        due_ms, item_id = heap[0]
        if is_due_item(run, due_ms, item_id):
            return due_ms
        heappop(heap)
    return 0


def is_due_item(run: Run, due_ms: int, item_id: int) -> bool:
    """Whether a heap entry still stands for something that the run waits for."""
    if run.ended:
        return False
    if item_id == 0:
        return run.deadline_ms == due_ms
    if item_id in run.timers:
        return run.timers[item_id] == due_ms
    item = run.activities.get(item_id) or run.children.get(item_id)
    return item is not None and item.due_ms == due_ms


def _started(run: Run, event: WorkflowStarted) -> None:
    run.run_id = event.run_id
    run.workflow = event.workflow
    run.version = event.version
    run.request_id = event.request_id
    run.traceparent = event.traceparent
    run.trace = event.trace
    run.carried_count = event.carried_count
    run.parent = event.parent
    run.created_ms = event.time_ms
    run.signal_ids = dict.fromkeys(event.signal_ids)
    run.updates = dict.fromkeys(event.update_ids, OF_A_FORMER_RUN)
    run.timeout_ms = event.timeout_ms
    if event.timeout_ms:
        run.deadline_ms = event.deadline_ms or event.time_ms + event.timeout_ms
        heappush(run.due_heap, (run.deadline_ms, 0))


def _activity_scheduled(run: Run, event: ActivityScheduled) -> None:
    activity = run.activities[event.activity_id] = OpenActivity(
        event.activity_id,
        event.activity,
        event.input,
        event.queue,
        event.inline,
        event.start_to_close_ms,
        event.retry,
        event.heartbeat_timeout_ms,
        event.schedule_to_start_ms,
        event.schedule_to_close_ms,
    )
    activity.scheduled_ms = activity.attempt_ms = event.time_ms
    run.open_inline_count += event.inline
    if event.schedule_to_close_ms:
        activity.close_due_ms = event.time_ms + event.schedule_to_close_ms
    if event.schedule_to_start_ms or event.schedule_to_close_ms:
        _wait_for_start(run, activity, event.time_ms)


def _wait_for_start(run: Run, activity: OpenActivity, now_ms: int) -> None:
    """The attempt is brought out, and nobody has reported that it began."""
    start_due_ms = now_ms + activity.schedule_to_start_ms if activity.schedule_to_start_ms else 0
    _set_due(run, activity, start_due_ms)


def _set_due(run: Run, activity: OpenActivity, due_ms: int) -> None:
    """The activity is due then, or when its time as a whole is over, if that is sooner."""
    close_due_ms = activity.close_due_ms
    if close_due_ms and (not due_ms or close_due_ms < due_ms):
        due_ms = close_due_ms
    activity.due_ms = due_ms
    if due_ms:
        heappush(run.due_heap, (due_ms, activity.activity_id))


def _activity_started(run: Run, event: ActivityStarted) -> None:
    activity = run.activities[event.activity_id]
    activity.started_ms = event.started_ms
    activity.lease_ms, activity.lease = event.lease_ms, event.lease
    run.leased_count += event.lease_ms > 0
    _set_due(run, activity, event.started_ms + activity.start_to_close_ms)


def _activity_retry_scheduled(run: Run, event: ActivityRetryScheduled) -> None:
    activity = run.activities[event.activity_id]
    _next_attempt(run, activity)
    activity.waiting = True
    run.open_inline_count -= activity.inline
    _set_due(run, activity, event.due_ms)


def _activity_lost(run: Run, event: ActivityLost) -> None:
    activity = run.activities[event.activity_id]
    _next_attempt(run, activity)
    activity.lost_count += 1
    activity.attempt_ms = event.time_ms
    _wait_for_start(run, activity, event.time_ms)


def _next_attempt(run: Run, activity: OpenActivity) -> None:
    _forget_worker(run, activity)
    activity.attempt += 1


def _forget_worker(run: Run, activity: OpenActivity) -> None:
    run.leased_count -= activity.lease_ms > 0
    activity.started_ms = activity.lease_ms = 0
    activity.lease = ""


def _activity_dispatched(run: Run, event: ActivityDispatched) -> None:
    """For the first time, or once more after a worker that could not read it."""
    activity = run.activities[event.activity_id]
    run.open_inline_count += activity.inline and activity.waiting
    activity.waiting = False
    activity.attempt_ms = event.time_ms
    _forget_worker(run, activity)
    _wait_for_start(run, activity, event.time_ms)


def _activity_ended(
    run: Run, event: ActivityCompleted | ActivityFailed | ActivityCancelled
) -> None:
    activity = run.activities.pop(event.activity_id)
    run.open_inline_count -= activity.inline and not activity.waiting
    run.leased_count -= activity.lease_ms > 0


def _timer_started(run: Run, event: TimerStarted) -> None:
    run.timers[event.timer_id] = event.due_ms
    heappush(run.due_heap, (event.due_ms, event.timer_id))


def _timer_ended(run: Run, event: TimerFired | TimerCancelled) -> None:
    del run.timers[event.timer_id]


def _patched(run: Run, event: WorkflowPatched) -> None:
    run.patches.append(event.patch_id)


def _published(_run: Run, _event: RecordPublished) -> None:
    """Nothing of it is the run's: the record is on its topic."""


def _signal_received(run: Run, event: SignalReceived) -> None:
    if event.signal_id:
        run.signal_ids[event.signal_id] = None


def _update_accepted(run: Run, event: UpdateAccepted) -> None:
    run.updates[event.update_id] = 0


def _update_ended(run: Run, event: UpdateCompleted | UpdateFailed) -> None:
    run.updates[event.update_id] = event.event_id


def _cancel_requested(run: Run, event: CancelRequested) -> None:
    run.cancel_requested = True
    run.cancel_reason = run.reason = event.reason


def _blocked(run: Run, event: WorkflowBlocked) -> None:
    run.status = "blocked"
    run.reason = event.reason


def _suspended(run: Run, event: WorkflowSuspended) -> None:
    run.status = "suspended"
    run.reason = event.reason


def _deferred(run: Run, event: RecordDeferred) -> None:
    run.deferred.append(event)


def _taken_up(run: Run, event: WorkflowUnblocked | WorkflowResumed) -> None:
    if isinstance(event, WorkflowUnblocked) and event.version:
        run.version = event.version
    run.status = "running"
    run.reason = run.cancel_reason
    run.deferred = []


def _reset(run: Run, event: WorkflowReset) -> None:
    """What the former run brought out is no longer waited for: each open activity begins anew, its time too."""
    for activity in run.activities.values():
        if activity.schedule_to_close_ms:
            activity.close_due_ms = event.time_ms + activity.schedule_to_close_ms
        activity.scheduled_ms = activity.attempt_ms = event.time_ms
        _forget_worker(run, activity)
        if activity.waiting:
            _set_due(run, activity, event.time_ms)
        else:
            _wait_for_start(run, activity, event.time_ms)


def _completed(run: Run, event: WorkflowCompleted) -> None:
    run.result = event.result
    _end(run, "completed")


def _continued(run: Run, _event: WorkflowContinued) -> None:
    _end(run, "continued")


def _failed(run: Run, event: WorkflowFailed) -> None:
    run.failure = event.failure
    run.reason = f"{event.failure.type}: {event.failure.message}"[:_REASON_LENGTH_MAX]
    _end(run, "failed")


def _cancelled(run: Run, event: WorkflowCancelled) -> None:
    run.reason = event.reason
    _end(run, "cancelled")


def _terminated(run: Run, event: WorkflowTerminated) -> None:
    run.reason = event.reason
    _end(run, "terminated")


def _timed_out(run: Run, event: WorkflowTimedOut) -> None:
    run.reason = f"not done within {event.timeout_ms} ms"
    _end(run, "timed_out")


def _end(run: Run, status: Any) -> None:
    run.status = status
    run.activities = {}
    run.open_inline_count = run.leased_count = 0
    run.timers = {}
    run.children = {}
    run.sends = set()
    run.due_heap = []
    run.deferred = []


_FOLDS: dict[type[HistoryEvent], Callable[[Run, Any], None]] = {
    WorkflowStarted: _started,
    ActivityScheduled: _activity_scheduled,
    ActivityStarted: _activity_started,
    ActivityLost: _activity_lost,
    ActivityRetryScheduled: _activity_retry_scheduled,
    ActivityDispatched: _activity_dispatched,
    ActivityCompleted: _activity_ended,
    ActivityFailed: _activity_ended,
    ActivityCancelled: _activity_ended,
    TimerStarted: _timer_started,
    TimerFired: _timer_ended,
    TimerCancelled: _timer_ended,
    **CHILD_FOLDS,
    WorkflowPatched: _patched,
    RecordPublished: _published,
    SignalReceived: _signal_received,
    UpdateAccepted: _update_accepted,
    UpdateCompleted: _update_ended,
    UpdateFailed: _update_ended,
    CancelRequested: _cancel_requested,
    WorkflowBlocked: _blocked,
    RecordDeferred: _deferred,
    WorkflowUnblocked: _taken_up,
    WorkflowSuspended: _suspended,
    WorkflowResumed: _taken_up,
    WorkflowReset: _reset,
    WorkflowCompleted: _completed,
    WorkflowContinued: _continued,
    WorkflowFailed: _failed,
    WorkflowCancelled: _cancelled,
    WorkflowTerminated: _terminated,
    WorkflowTimedOut: _timed_out,
}
