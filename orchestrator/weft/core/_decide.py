"""From a run and an input to events and effects. Changes nothing; `weft.core.apply` does.

Inputs are records that came in, `Due` when the clock reached something, and the commands that the workflow's code
answered with. Time and randomness come in as arguments. What does not fit the run (a result of an old attempt, a signal
with an ID seen before) gives a decision without events, with `dropped` saying why: the owner counts those.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from weft.core._apply import next_due_ms
from weft.core._children import (
    Answer,
    cancel_child,
    child_done,
    child_due,
    child_failed,
    child_running,
    schedule_child,
    send_signal,
    signal_outcome,
)
from weft.core._commands import (
    CancelActivity,
    CancelChild,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    DispatchActivity,
    Due,
    FailUpdate,
    FailWorkflow,
    LeaseExpired,
    PublishRecord,
    RecordPatch,
    ScheduleActivity,
    ScheduleChild,
    SendSignal,
    StartTimer,
    number_of,
)
from weft.core._retry import LOST_ATTEMPTS_MAX, is_retryable, retry_interval_ms
from weft.core._run import OpenActivity, Run
from weft.errors import InvariantViolation, LeaseLostError
from weft.records import (
    ActivityCancelled,
    ActivityCompleted,
    ActivityDispatched,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityScheduled,
    ActivityStarted,
    AttemptCompleted,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    AttemptUnreadable,
    Caller,
    CancelRequested,
    CancelWorkflow,
    ChildDone,
    ChildRunning,
    FailureInfo,
    HistoryEvent,
    RecordPublished,
    RunTrace,
    SignalDelivered,
    SignalOutcome,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
    TimerCancelled,
    TimerFired,
    TimerStarted,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowPatched,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
    next_run_id,
)

Input = (
    SignalWorkflow
    | UpdateWorkflow
    | CancelWorkflow
    | TerminateWorkflow
    | AttemptCompleted
    | AttemptFailed
    | AttemptStarted
    | AttemptReleased
    | AttemptUnreadable
    | ChildRunning
    | ChildDone
    | SignalOutcome
    | LeaseExpired
    | Due
)


class Decision(NamedTuple):
    """`events` follow the run's last one. `dropped` says why there are none."""

    events: Sequence[HistoryEvent] = ()
    effects: Sequence[DispatchActivity] = ()
    dropped: str = ""


LEASE_MS_MAX = 3_600_000
"""Anybody may write to the results topic: a lease that nobody would see expire is cut to an hour."""
_TIMEOUT_MS_MAX = 1000 * 365 * 24 * 3600 * 1000
_TRACEPARENT_LENGTH_MAX = 55
"""Of version 00; it stands in the record of every attempt, and anybody may write a start."""
_REASON_LENGTH_MAX = 8000
"""A reason stands in the head as long as the run, beside whatever else is there, and a head must fit its topic."""


def decide_start(
    record: StartWorkflow,
    *,
    run_id: str,
    version: str,
    now_ms: int,
    parent: Caller | None = None,
    trace: RunTrace | None = None,
) -> Decision:
    """The first event of a new run. `parent` and `trace` are a child's.

    Anybody may write a start: a timeout below zero is none, and one that no clock will see is cut to a millennium.
    """
    timeout_ms = min(max(record.timeout_ms, 0), _TIMEOUT_MS_MAX)
    return Decision(
        (
            WorkflowStarted(
                1,
                now_ms,
                run_id,
                record.workflow,
                version,
                record.input,
                timeout_ms,
                record.request_id,
                parent,
                traceparent=record.traceparent[:_TRACEPARENT_LENGTH_MAX],
                trace=trace,
            ),
        )
    )


def decide(run: Run, record: Input, *, now_ms: int, draw: float) -> Decision:
    """What a record or the clock means to a running run. `draw`, uniform in [0, 1), sets a retry's jitter."""
    if run.ended:
        return Decision(dropped="the run has ended")
    return _DECISIONS[type(record)](run, record, now_ms, draw)


def decide_commands(run: Run, commands: Sequence[Command], *, now_ms: int) -> Decision:
    """Events and effects of what the workflow's code asked for, in its order."""
    events: list[HistoryEvent] = []
    effects: list[DispatchActivity] = []
    event_id = run.last_event_id
    for command in commands:
        event_id += 1
        events.append(_COMMANDS[type(command)](run, command, event_id, now_ms))
        if type(command) is ScheduleActivity:
            effects.append(DispatchActivity(command.activity_id, 1))
    return Decision(events, effects)


def decide_refusal(
    run: Run, command: Command, failure: FailureInfo, *, now_ms: int
) -> HistoryEvent | None:
    """What was asked for and cannot be brought out fails for good; None when the code has given it up since."""
    number = number_of(command)
    activity, child = run.activities.get(number), run.children.get(number)
    if activity is not None:
        return _failed(run, activity, failure, now_ms)
    if child is not None:
        return child_failed(run, child, "not_started", failure, now_ms)
    if number in run.sends:
        return SignalDelivered(run.last_event_id + 1, now_ms, number, failure.message)
    return None


def _signal(run: Run, record: SignalWorkflow, now_ms: int, _draw: float) -> Decision:
    if record.id and record.id in run.signal_ids:
        return Decision(dropped="a signal with this ID was received before")
    event_id = run.last_event_id + 1
    return Decision((SignalReceived(event_id, now_ms, record.signal, record.payload, record.id),))


def _update(run: Run, record: UpdateWorkflow, now_ms: int, _draw: float) -> Decision:
    """Its code has let the value pass: whoever brings it in has asked."""
    if record.id in run.updates:
        return Decision(dropped="an update with this ID was accepted before")
    event_id = run.last_event_id + 1
    return Decision((UpdateAccepted(event_id, now_ms, record.update, record.id, record.payload),))


def _cancel(run: Run, record: CancelWorkflow, now_ms: int, _draw: float) -> Decision:
    if run.cancel_requested:
        return Decision(dropped="its cancellation was asked for before")
    return Decision(
        (CancelRequested(run.last_event_id + 1, now_ms, record.reason[:_REASON_LENGTH_MAX]),)
    )


def _terminate(run: Run, record: TerminateWorkflow, now_ms: int, _draw: float) -> Decision:
    return Decision(
        (WorkflowTerminated(run.last_event_id + 1, now_ms, record.reason[:_REASON_LENGTH_MAX]),)
    )


def _attempt(
    run: Run,
    record: AttemptCompleted | AttemptFailed | AttemptStarted | AttemptReleased | AttemptUnreadable,
) -> OpenActivity | None:
    """The open activity that the record speaks of, or None when the run no longer waits for that attempt."""
    if record.run_id != run.run_id:
        return None
    activity = run.activities.get(record.activity_id)
    if activity is None or activity.attempt != record.attempt or activity.waiting:
        return None
    return activity


_STALE = "the run does not wait for this attempt"


def _attempt_completed(run: Run, record: AttemptCompleted, now_ms: int, _draw: float) -> Decision:
    activity = _attempt(run, record)
    if activity is None:
        return Decision(dropped=_STALE)
    event_id = run.last_event_id + 1
    return Decision(
        (
            ActivityCompleted(
                event_id, now_ms, record.activity_id, activity.name, record.attempt, record.result
            ),
        )
    )


def _attempt_failed(run: Run, record: AttemptFailed, now_ms: int, draw: float) -> Decision:
    activity = _attempt(run, record)
    if activity is None:
        return Decision(dropped=_STALE)
    return _fail_attempt(run, activity, record.failure, now_ms, draw)


def _attempt_started(run: Run, record: AttemptStarted, now_ms: int, _draw: float) -> Decision:
    activity = _attempt(run, record)
    if activity is None or activity.started_ms:
        return Decision(dropped=_STALE)
    started = ActivityStarted(
        run.last_event_id + 1,
        now_ms,
        record.activity_id,
        record.attempt,
        max(1, min(record.started_ms, now_ms)),  # the worker's clock may be ahead of ours
        min(max(record.lease_ms, 0), LEASE_MS_MAX),
        record.lease,
    )
    return Decision((started,))


def _attempt_unreadable(run: Run, record: AttemptUnreadable, now_ms: int, _draw: float) -> Decision:
    """Its worker could not read it, and had run nothing: the same attempt goes out again."""
    activity = _attempt(run, record)
    if activity is None:
        return Decision(dropped=_STALE)
    again = ActivityDispatched(run.last_event_id + 1, now_ms, record.activity_id, record.attempt)
    return Decision((again,), (DispatchActivity(record.activity_id, record.attempt),))


def _attempt_released(run: Run, record: AttemptReleased, now_ms: int, draw: float) -> Decision:
    activity = _attempt(run, record)
    if activity is None or (activity.lease_ms and activity.lease != record.lease):
        return Decision(dropped=_STALE)
    return _lose_attempt(run, activity, "its worker stopped and gave it up", now_ms, draw)


def _lease_expired(run: Run, expired: LeaseExpired, now_ms: int, draw: float) -> Decision:
    activity = run.activities.get(expired.activity_id)
    if activity is None or not activity.lease_ms or activity.lease != expired.lease:
        return Decision(dropped=_STALE)
    reason = f"its worker was not heard of for {activity.lease_ms} ms"
    return _lose_attempt(run, activity, reason, now_ms, draw)


def _lose_attempt(
    run: Run, activity: OpenActivity, reason: str, now_ms: int, draw: float
) -> Decision:
    """A worker's end is no failure of the activity's, unless it is one every time."""
    if activity.lost_count >= LOST_ATTEMPTS_MAX:
        failure = FailureInfo(
            LeaseLostError.__name__, f"{reason}; {activity.lost_count} attempts were lost so before"
        )
        return _fail_attempt(run, activity, failure, now_ms, draw)
    attempt, activity_id = activity.attempt, activity.activity_id
    lost = ActivityLost(run.last_event_id + 1, now_ms, activity_id, attempt, reason)
    return Decision((lost,), (DispatchActivity(activity_id, attempt + 1),))


def _fail_attempt(
    run: Run, activity: OpenActivity, failure: FailureInfo, now_ms: int, draw: float
) -> Decision:
    if not is_retryable(activity.retry, failure, activity.tries):
        return _fail_activity(run, activity, failure, now_ms)
    due_ms = now_ms + retry_interval_ms(activity.retry, activity.tries, draw)
    if activity.close_due_ms and due_ms >= activity.close_due_ms:
        text = f"its schedule-to-close timeout of {activity.schedule_to_close_ms} ms leaves no time for another attempt"
        out_of_time = FailureInfo("TimeoutError", text, cause=failure)
        return _fail_activity(run, activity, out_of_time, now_ms)
    scheduled = ActivityRetryScheduled(
        run.last_event_id + 1,
        now_ms,
        activity.activity_id,
        activity.name,
        activity.attempt,
        due_ms,
        failure,
    )
    return Decision((scheduled,))


def _fail_activity(run: Run, activity: OpenActivity, failure: FailureInfo, now_ms: int) -> Decision:
    return Decision((_failed(run, activity, failure, now_ms),))


def _failed(run: Run, activity: OpenActivity, failure: FailureInfo, now_ms: int) -> ActivityFailed:
    """For good: the workflow sees it."""
    return ActivityFailed(
        run.last_event_id + 1,
        now_ms,
        activity.activity_id,
        activity.name,
        activity.attempt,
        failure,
    )


def _due(run: Run, _record: Due, now_ms: int, draw: float) -> Decision:
    due_ms = next_due_ms(run)
    if not due_ms or due_ms > now_ms:
        return Decision(dropped="nothing is due")
    item_id = run.due_heap[0][1]
    event_id = run.last_event_id + 1
    if item_id == 0:
        return Decision((WorkflowTimedOut(event_id, now_ms, run.timeout_ms),))
    if item_id in run.timers:
        return Decision((TimerFired(event_id, now_ms, item_id),))
    if item_id in run.children:
        return Decision((child_due(run, run.children[item_id], now_ms),))
    return _activity_due(run, run.activities[item_id], now_ms, draw)


def _activity_due(run: Run, activity: OpenActivity, now_ms: int, draw: float) -> Decision:
    """The pause before a retry is over, or one of the timeouts. The time on a queue is no attempt's fault: no retry."""
    if activity.close_due_ms and activity.close_due_ms <= now_ms:
        failure = _out_of_time("not done", "schedule-to-close", activity.schedule_to_close_ms)
        return _fail_activity(run, activity, failure, now_ms)
    if activity.waiting:
        activity_id, attempt = activity.activity_id, activity.attempt
        dispatched = ActivityDispatched(run.last_event_id + 1, now_ms, activity_id, attempt)
        return Decision((dispatched,), (DispatchActivity(activity_id, attempt),))
    if not activity.started_ms:
        failure = _out_of_time(
            "not begun by any worker", "schedule-to-start", activity.schedule_to_start_ms
        )
        return _fail_activity(run, activity, failure, now_ms)
    failure = _out_of_time("not done", "start-to-close", activity.start_to_close_ms)
    return _fail_attempt(run, activity, failure, now_ms, draw)


def _out_of_time(what: str, timeout: str, timeout_ms: int) -> FailureInfo:
    return FailureInfo("TimeoutError", f"{what} within its {timeout} timeout of {timeout_ms} ms")


def _schedule_activity(
    _run: Run, command: ScheduleActivity, event_id: int, now_ms: int
) -> HistoryEvent:
    return ActivityScheduled(
        event_id,
        now_ms,
        command.activity_id,
        command.activity,
        command.input,
        command.queue,
        command.inline,
        command.start_to_close_ms,
        command.retry,
        command.heartbeat_timeout_ms,
        command.schedule_to_start_ms,
        command.schedule_to_close_ms,
    )


def _cancel_activity(run: Run, command: CancelActivity, event_id: int, now_ms: int) -> HistoryEvent:
    _require_open(run.activities, command.activity_id, run, command)
    return ActivityCancelled(event_id, now_ms, command.activity_id)


def _start_timer(_run: Run, command: StartTimer, event_id: int, now_ms: int) -> HistoryEvent:
    return TimerStarted(event_id, now_ms, command.timer_id, command.due_ms)


def _cancel_timer(run: Run, command: CancelTimer, event_id: int, now_ms: int) -> HistoryEvent:
    _require_open(run.timers, command.timer_id, run, command)
    return TimerCancelled(event_id, now_ms, command.timer_id)


def _record_patch(_run: Run, command: RecordPatch, event_id: int, now_ms: int) -> HistoryEvent:
    return WorkflowPatched(event_id, now_ms, command.patch_id)


def _publish(_run: Run, command: PublishRecord, event_id: int, now_ms: int) -> HistoryEvent:
    return RecordPublished(
        event_id,
        now_ms,
        command.publish_id,
        command.topic,
        command.partition,
        command.digest,
        command.failure,
    )


def _complete_update(run: Run, command: CompleteUpdate, event_id: int, now_ms: int) -> HistoryEvent:
    _require_under_way(run, command.update_id, command)
    return UpdateCompleted(event_id, now_ms, command.update, command.update_id, command.result)


def _fail_update(run: Run, command: FailUpdate, event_id: int, now_ms: int) -> HistoryEvent:
    _require_under_way(run, command.update_id, command)
    return UpdateFailed(event_id, now_ms, command.update, command.update_id, command.failure)


def _complete(_run: Run, command: CompleteWorkflow, event_id: int, now_ms: int) -> HistoryEvent:
    return WorkflowCompleted(event_id, now_ms, command.result)


def _continue(run: Run, command: ContinueWorkflow, event_id: int, now_ms: int) -> HistoryEvent:
    return WorkflowContinued(
        event_id,
        now_ms,
        next_run_id(run.run_id),
        command.input,
        command.keep_signals,
        command.cancel_requested,
    )


def _fail(_run: Run, command: FailWorkflow, event_id: int, now_ms: int) -> HistoryEvent:
    return WorkflowFailed(event_id, now_ms, command.failure)


def _cancelled(run: Run, _command: CancelWorkflowDone, event_id: int, now_ms: int) -> HistoryEvent:
    return WorkflowCancelled(event_id, now_ms, run.cancel_reason)


def _require_open(open_ids: Container[int], item_id: int, run: Run, command: Command) -> None:
    if item_id not in open_ids:
        raise InvariantViolation(
            f"{run.workflow_id}, run {run.run_id}: {command} is about something that is not open"
        )


def _told(
    answer: Callable[[Run, Any, int, float], Answer],
) -> Callable[[Run, Any, int, float], Decision]:
    """What another workflow says: at most one event."""

    def decision(run: Run, message: Any, now_ms: int, draw: float) -> Decision:
        event, dropped = answer(run, message, now_ms, draw)
        return Decision(dropped=dropped) if event is None else Decision((event,))

    return decision


def _require_under_way(run: Run, update_id: str, command: Command) -> None:
    if run.updates.get(update_id) != 0:
        raise InvariantViolation(
            f"{run.workflow_id}, run {run.run_id}: {command} is about an update that is not under way"
        )


_DECISIONS: dict[type, Callable[[Run, Any, int, float], Decision]] = {
    SignalWorkflow: _signal,
    UpdateWorkflow: _update,
    CancelWorkflow: _cancel,
    TerminateWorkflow: _terminate,
    AttemptCompleted: _attempt_completed,
    AttemptFailed: _attempt_failed,
    AttemptStarted: _attempt_started,
    AttemptReleased: _attempt_released,
    AttemptUnreadable: _attempt_unreadable,
    ChildRunning: _told(child_running),
    ChildDone: _told(child_done),
    SignalOutcome: _told(signal_outcome),
    LeaseExpired: _lease_expired,
    Due: _due,
}

_COMMANDS: dict[type, Callable[[Run, Any, int, int], HistoryEvent]] = {
    ScheduleActivity: _schedule_activity,
    CancelActivity: _cancel_activity,
    StartTimer: _start_timer,
    CancelTimer: _cancel_timer,
    ScheduleChild: schedule_child,
    CancelChild: cancel_child,
    SendSignal: send_signal,
    RecordPatch: _record_patch,
    PublishRecord: _publish,
    CompleteUpdate: _complete_update,
    FailUpdate: _fail_update,
    CompleteWorkflow: _complete,
    ContinueWorkflow: _continue,
    FailWorkflow: _fail,
    CancelWorkflowDone: _cancelled,
}
