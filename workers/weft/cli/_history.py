"""A history for people: one line an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from weft.cli._output import failure_text
from weft.codec import decode_reference, is_encoded, is_sealed, is_stored, shorten
from weft.payloads import text_of
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
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildScheduled,
    ChildStarted,
    Event,
    Payload,
    RecordDeferred,
    RecordPublished,
    SignalDelivered,
    SignalReceived,
    SignalSent,
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
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTerminated,
    WorkflowTimedOut,
)

_TEXT_MAX = 120


def history_rows(events: Sequence[Event]) -> Iterator[Sequence[object]]:
    """Rows of event ID, time, type, and what it was about."""
    names: dict[int, str] = {}
    for event in events:
        if isinstance(event, ActivityScheduled):
            names[event.activity_id] = event.activity
        elif isinstance(event, ChildScheduled):
            names[event.child_id] = event.workflow
        time = datetime.fromtimestamp(event.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[
            :-3
        ]
        yield event.event_id, time, type(event).__name__, _what(event, names)


def _what(event: Event, names: dict[int, str]) -> str:  # noqa: C901  # one case an event
    match event:
        case WorkflowStarted():
            before = f", continues run {event.continued_from}" if event.continued_from else ""
            return f"{event.workflow}({_short(event.input)}){before}"
        case WorkflowContinued():
            return f"({_short(event.input)}) as run {event.next_run_id}"
        case ActivityScheduled():
            arguments = _short(event.input)
            if not is_sealed(event.input):
                arguments = arguments[1:-1]
            return f"{event.activity}({arguments}), number {event.activity_id}"
        case ActivityCompleted():
            return f"{event.activity} -> {_short(event.result)}{_attempt(event.attempt)}"
        case ActivityFailed():
            return f"{event.activity}: {failure_text(event.failure)}{_attempt(event.attempt)}"
        case ActivityRetryScheduled():
            wait_ms = event.due_ms - event.time_ms
            return f"{event.activity}: {failure_text(event.failure)}; again in {wait_ms} ms{_attempt(event.attempt)}"
        case ActivityStarted() | ActivityDispatched():
            return f"{names.get(event.activity_id, '')}, attempt {event.attempt}"
        case ActivityLost():
            name = names.get(event.activity_id, "")
            return f"{name}, attempt {event.attempt}: {event.reason}"
        case ActivityCancelled():
            return names.get(event.activity_id, "")
        case TimerStarted():
            return f"number {event.timer_id}, due in {event.due_ms - event.time_ms} ms"
        case TimerFired() | TimerCancelled():
            return f"number {event.timer_id}"
        case WorkflowPatched():
            return event.patch_id
        case RecordPublished():
            if event.failure is not None:
                return f"{event.topic}: {failure_text(event.failure)}"
            return f"to {event.topic}, partition {event.partition}"
        case SignalReceived():
            return f"{event.name}({_short(event.payload)})"
        case UpdateAccepted():
            return f"{event.update}({_short(event.payload)}), ID {event.update_id}"
        case UpdateCompleted():
            return f"{event.update} -> {_short(event.result)}, ID {event.update_id}"
        case UpdateFailed():
            return f"{event.update}: {failure_text(event.failure)}, ID {event.update_id}"
        case WorkflowCompleted():
            return f"-> {_short(event.result)}"
        case WorkflowFailed():
            return failure_text(event.failure)
        case WorkflowTimedOut():
            return f"after {event.timeout_ms} ms"
        case WorkflowReset():
            why = f": {event.reason}" if event.reason else ""
            return f"as run {event.run_id}, from event {event.to_event} of run {event.from_run_id}{why}"
        case RecordDeferred():
            return f"{event.source}: {_short(event.record)}"
        case (
            CancelRequested()
            | WorkflowCancelled()
            | WorkflowTerminated()
            | WorkflowBlocked()
            | WorkflowSuspended()
        ):
            return event.reason
        case _:
            return _what_of_others(event, names)


def _what_of_others(event: Event, names: dict[int, str]) -> str:
    """Of events between this workflow and others."""
    match event:
        case ChildScheduled():
            where = f" in {event.namespace}" if event.namespace else ""
            return (
                f"{event.workflow}({_short(event.input)}) as {event.workflow_id}{where}, "
                f"number {event.child_id}"
            )
        case ChildStarted():
            return f"{names.get(event.child_id, '')}, run {event.run_id}{_attempt(event.attempt)}"
        case ChildCompleted():
            return f"{event.workflow} -> {_short(event.result)}{_attempt(event.attempt)}"
        case ChildFailed():
            what = f"{event.status}, {failure_text(event.failure)}"
            return f"{event.workflow}: {what}{_attempt(event.attempt)}"
        case ChildRetryScheduled():
            wait_ms = event.due_ms - event.time_ms
            what = f"{event.status}, {failure_text(event.failure)}"
            return f"{event.workflow}: {what}; again in {wait_ms} ms{_attempt(event.attempt)}"
        case ChildRestarted():
            return f"{names.get(event.child_id, '')}, attempt {event.attempt}"
        case ChildCancelRequested():
            name = names.get(event.child_id, "")
            return f"{name}: {event.reason}" if event.reason else name
        case SignalSent():
            where = f" in {event.namespace}" if event.namespace else ""
            return f"{event.name}({_short(event.payload)}) to {event.workflow_id}{where}"
        case SignalDelivered():
            return f"number {event.send_id}{f': {event.problem}' if event.problem else ''}"
        case _:
            return ""


def _short(payload: Payload) -> str:
    if is_stored(payload):
        stored = decode_reference(payload)
        return f"<{stored.bytes:,} bytes, stored as {stored.key}>"
    return f"<{text_of(payload)}>" if is_encoded(payload) else shorten(payload, _TEXT_MAX)


def _attempt(attempt: int) -> str:
    return f" (attempt {attempt})" if attempt > 1 else ""
