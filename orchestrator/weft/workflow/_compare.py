"""Replay's judge, which says whether the code asks for what its history holds.

Names, numbers and due times are compared; payloads and options (queue, timeouts, retry) are not: an input may change
its encoding between versions, and an activity its queue, without changing what was decided. Nor is the mark of a patch:
it answers the code's question, and code that does not ask any more takes the new way, which is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from weft.core import (
    CancelActivity,
    CancelChild,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    FailUpdate,
    FailWorkflow,
    PublishRecord,
    RecordPatch,
    ScheduleActivity,
    ScheduleChild,
    SendSignal,
    StartTimer,
)
from weft.errors import NondeterminismError, PayloadTooLargeError
from weft.records import (
    ActivityCancelled,
    ActivityScheduled,
    ChildCancelRequested,
    ChildScheduled,
    HistoryEvent,
    RecordPublished,
    SignalSent,
    TimerCancelled,
    TimerStarted,
    UpdateCompleted,
    UpdateFailed,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
)

COMMAND_EVENTS = (
    ActivityScheduled,
    ActivityCancelled,
    TimerStarted,
    TimerCancelled,
    ChildScheduled,
    ChildCancelRequested,
    SignalSent,
    RecordPublished,
    UpdateCompleted,
    UpdateFailed,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
    WorkflowContinued,
)

_ADVICE = (
    "The workflow's code changed under a running execution, or it is not deterministic (`weft lint` finds what is not)."
    " Deploy code that takes the recorded path; `ctx.patched` lets it take a new one as well. The run continues by "
    "itself then. Before the next deploy, `weft replay` tells which recorded histories would not fit."
)


class Replayed(Protocol):
    """Whose replay it is."""

    workflow_id: str

    def code_line(self) -> str:
        """Where in the user's code the run waits now."""


def check_command(run: Replayed, command: Command, event: HistoryEvent) -> None:
    """Raises NondeterminismError unless `command` is what led to `event`."""
    expected, actual = describe(event), describe(command)
    if expected != actual and not _was_refused(event, command):
        raise NondeterminismError(
            f"Replay of {run.workflow_id} differs from its history {_place(event)}: the history has "
            f"{expected}, the code asked for {actual}{_line(run)}. {_ADVICE}",
            event_id=event.event_id,
            expected=expected,
            actual=actual,
        )


def _was_refused(event: HistoryEvent, command: Command) -> bool:
    """The code gave a result that was too large for its worker: another one may have a payload store."""
    is_ending = isinstance(command, CompleteWorkflow | ContinueWorkflow)
    if is_ending and isinstance(event, WorkflowFailed):
        return event.failure.type == PayloadTooLargeError.__name__
    return (
        isinstance(command, CompleteUpdate)
        and isinstance(event, UpdateFailed)
        and event.update_id == command.update_id
        and event.failure.type == PayloadTooLargeError.__name__
    )


def refuse_missing(run: Replayed, event: HistoryEvent) -> NondeterminismError:
    """The history holds a command that the code did not ask for."""
    expected = describe(event)
    return NondeterminismError(
        f"Replay of {run.workflow_id} differs from its history {_place(event)}: the history has "
        f"{expected}, the code asked for nothing{_line(run)}. {_ADVICE}",
        event_id=event.event_id,
        expected=expected,
        actual="nothing",
    )


def refuse_unexpected(
    run: Replayed, command: Command, event: HistoryEvent | None
) -> NondeterminismError:
    """The code asked for a command that the history does not hold."""
    actual = describe(command)
    event_id = event.event_id if event else 0
    where = _place(event) if event else "at its end"
    return NondeterminismError(
        f"Replay of {run.workflow_id} differs from its history {where}: the history has no further command there, "
        f"the code asked for {actual}{_line(run)}. {_ADVICE}",
        event_id=event_id,
        expected="nothing",
        actual=actual,
    )


def describe(what: HistoryEvent | Command) -> str:
    """A command, or the event that it becomes, in words; equal words mean equal decisions."""
    return _WORDS[type(what)](what)


def _child(child: ChildScheduled | ScheduleChild) -> str:
    where = f" in namespace {child.namespace}" if child.namespace else ""
    return (
        f'StartChild "{child.workflow}" as {child.workflow_id!r}{where} (number {child.child_id})'
    )


def _sent_signal(signal: SignalSent | SendSignal) -> str:
    where = f" in namespace {signal.namespace}" if signal.namespace else ""
    return f'SendSignal "{signal.name}" to {signal.workflow_id!r}{where} (number {signal.send_id})'


def _update(about: UpdateCompleted | UpdateFailed | CompleteUpdate | FailUpdate) -> str:
    return f'AnswerUpdate "{about.update}" (ID {about.update_id})'


def _place(event: HistoryEvent) -> str:
    """Which event, and when it was."""
    at = datetime.fromtimestamp(event.time_ms / 1000, UTC)
    return f"at event {event.event_id} ({at:%Y-%m-%d %H:%M:%S} UTC)"


def _line(run: Replayed) -> str:
    """Where in the user's code the run waits now."""
    line = run.code_line()
    return f" ({line})" if line else ""


_WORDS: dict[type, Callable[[Any], str]] = {
    kind: words
    for kinds, words in (
        (
            (ActivityScheduled, ScheduleActivity),
            lambda one: f'ScheduleActivity "{one.activity}" (number {one.activity_id})',
        ),
        (
            (ActivityCancelled, CancelActivity),
            lambda one: f"CancelActivity number {one.activity_id}",
        ),
        (
            (TimerStarted, StartTimer),
            lambda one: f"StartTimer number {one.timer_id}, due at {one.due_ms} ms",
        ),
        ((TimerCancelled, CancelTimer), lambda one: f"CancelTimer number {one.timer_id}"),
        ((ChildScheduled, ScheduleChild), _child),
        ((ChildCancelRequested, CancelChild), lambda one: f"CancelChild number {one.child_id}"),
        ((SignalSent, SendSignal), _sent_signal),
        (
            (RecordPublished, PublishRecord),
            lambda one: f'PublishRecord to "{one.topic}" (number {one.publish_id})',
        ),
        ((RecordPatch,), lambda one: f'RecordPatch "{one.patch_id}"'),
        ((UpdateCompleted, CompleteUpdate), _update),
        ((UpdateFailed, FailUpdate), lambda one: f"{_update(one)} failed with {one.failure.type}"),
        ((WorkflowCompleted, CompleteWorkflow), lambda _: "CompleteWorkflow"),
        ((WorkflowFailed, FailWorkflow), lambda one: f"FailWorkflow with {one.failure.type}"),
        ((WorkflowCancelled, CancelWorkflowDone), lambda _: "CancelWorkflow"),
        ((WorkflowContinued, ContinueWorkflow), lambda _: "ContinueAsNew"),
    )
    for kind in kinds
}
"""Of each command, and of the event that it becomes. A table, since a replay asks it for each of them, twice."""
