"""Replay's judge, which says whether the code asks for what its history holds.

Names, numbers and due times are compared; payloads and options (queue, timeouts, retry) are not: an input may change
its encoding between versions, and an activity its queue, without changing what was decided. Nor is the mark of a patch:
it answers the code's question, and code that does not ask any more takes the new way, which is compared.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from weft.workflow._machine import Machine

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


def check_command(machine: Machine, command: Command, event: HistoryEvent) -> None:
    """Raises NondeterminismError unless `command` is what led to `event`."""
    expected, actual = describe_event(event), describe_command(command)
    if expected != actual and not _was_refused(event, command):
        raise NondeterminismError(
            f"Replay of {machine.workflow_id} differs from its history {_place(event)}: the history has "
            f"{expected}, the code asked for {actual}{_line(machine)}. {_ADVICE}",
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


def refuse_missing(machine: Machine, event: HistoryEvent) -> NondeterminismError:
    """The history holds a command that the code did not ask for."""
    expected = describe_event(event)
    return NondeterminismError(
        f"Replay of {machine.workflow_id} differs from its history {_place(event)}: the history has "
        f"{expected}, the code asked for nothing{_line(machine)}. {_ADVICE}",
        event_id=event.event_id,
        expected=expected,
        actual="nothing",
    )


def refuse_unexpected(
    machine: Machine, command: Command, event: HistoryEvent | None
) -> NondeterminismError:
    """The code asked for a command that the history does not hold."""
    actual = describe_command(command)
    event_id = event.event_id if event else 0
    where = _place(event) if event else "at its end"
    return NondeterminismError(
        f"Replay of {machine.workflow_id} differs from its history {where}: the history has no further command there, "
        f"the code asked for {actual}{_line(machine)}. {_ADVICE}",
        event_id=event_id,
        expected="nothing",
        actual=actual,
    )


def describe_event(event: HistoryEvent) -> str:  # noqa: C901  # one case an event
    """A command event in words; equal words mean equal decisions."""
    match event:
        case ActivityScheduled():
            return f'ScheduleActivity "{event.activity}" (number {event.activity_id})'
        case ActivityCancelled():
            return f"CancelActivity number {event.activity_id}"
        case TimerStarted():
            return f"StartTimer number {event.timer_id}, due at {event.due_ms} ms"
        case TimerCancelled():
            return f"CancelTimer number {event.timer_id}"
        case ChildScheduled():
            return _child(event)
        case ChildCancelRequested():
            return f"CancelChild number {event.child_id}"
        case SignalSent():
            return _sent_signal(event)
        case RecordPublished():
            return f'PublishRecord to "{event.topic}" (number {event.publish_id})'
        case UpdateCompleted():
            return _update(event)
        case UpdateFailed():
            return f"{_update(event)} failed with {event.failure.type}"
        case WorkflowCompleted():
            return "CompleteWorkflow"
        case WorkflowFailed():
            return f"FailWorkflow with {event.failure.type}"
        case WorkflowCancelled():
            return "CancelWorkflow"
        case WorkflowContinued():
            return "ContinueAsNew"
        case _:
            return type(event).__name__


def describe_command(command: Command) -> str:  # noqa: C901  # one case a command
    """A command in the words of `describe_event`."""
    match command:
        case ScheduleActivity():
            return f'ScheduleActivity "{command.activity}" (number {command.activity_id})'
        case CancelActivity():
            return f"CancelActivity number {command.activity_id}"
        case StartTimer():
            return f"StartTimer number {command.timer_id}, due at {command.due_ms} ms"
        case CancelTimer():
            return f"CancelTimer number {command.timer_id}"
        case ScheduleChild():
            return _child(command)
        case CancelChild():
            return f"CancelChild number {command.child_id}"
        case SendSignal():
            return _sent_signal(command)
        case PublishRecord():
            return f'PublishRecord to "{command.topic}" (number {command.publish_id})'
        case CompleteUpdate():
            return _update(command)
        case FailUpdate():
            return f"{_update(command)} failed with {command.failure.type}"
        case CompleteWorkflow():
            return "CompleteWorkflow"
        case FailWorkflow():
            return f"FailWorkflow with {command.failure.type}"
        case CancelWorkflowDone():
            return "CancelWorkflow"
        case ContinueWorkflow():
            return "ContinueAsNew"
        case RecordPatch():
            return f'RecordPatch "{command.patch_id}"'


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


def _line(machine: Machine) -> str:
    """Where in the user's code the run waits now."""
    line = machine.code_line()
    return f" ({line})" if line else ""
