"""Recorded histories against the present code: the check after each turn of a test, and the gate before a deploy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.client import history_document
from weft.codec import MalformedError, decode_events, encode, is_stored, sealed_field, shorten
from weft.core import (
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    PublishRecord,
    ScheduleActivity,
    ScheduleChild,
    SendSignal,
)
from weft.errors import NondeterminismError, UsageError
from weft.records import (
    COMMANDS,
    ActivityScheduled,
    ChildScheduled,
    Event,
    HistoryEvent,
    Payload,
    RecordPublished,
    SignalSent,
    UpdateCompleted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowUnblocked,
)
from weft.workflow import Machine, Workflow, Workflows, workflows_of

_ANSWERS = (*COMMANDS, WorkflowCompleted, WorkflowContinued, WorkflowFailed, WorkflowCancelled)
"""The events that stand for what the code asked for."""
_ADVICE = (
    "Workers with this code would block the run. Let the code take the recorded path for runs that are under way, or "
    "let them end before it is deployed."
)
TEST_ADVICE = (
    "The code does not repeat itself: take times, random numbers and UUIDs from the context (ctx.now(), ctx.random(), "
    "ctx.uuid4()), keep state in the workflow's own variables, and do everything else in activities."
)


@dataclass(frozen=True, slots=True)
class History:
    """The recorded history of one run."""

    workflow_id: str
    run_id: str
    workflow: str
    events: Sequence[Event]
    source: str = ""
    """The file that it was read from."""

    @classmethod
    def of(cls, workflow_id: str, events: Sequence[Event], source: str = "") -> History:
        """Raises UsageError when these are no run's events from its start on."""
        if not events or not isinstance(events[0], WorkflowStarted):
            where = f"{source}: " if source else ""
            raise UsageError(
                f"{where}no history of a workflow: it does not begin with WorkflowStarted."
            )
        started = events[0]
        return cls(workflow_id, started.run_id, started.workflow, events, source)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """A file as `weft history ID --download FILE` writes it. Raises UsageError when it is something else."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{path} is no JSON: {error}") from None
        return cls.from_document(document, str(path))

    @classmethod
    def from_document(cls, document: Any, source: str = "") -> History:
        """The JSON document of `weft history ID --json`. Raises UsageError when it is something else."""
        try:
            events = decode_events(encode(document["events"]))
            return cls.of(str(document["workflow_id"]), events, source)
        except (KeyError, TypeError, MalformedError) as error:
            where = source or "The document"
            raise UsageError(
                f"{where} is no history as `weft history ID --download FILE` writes it: {error!r}"
            ) from None

    def to_document(self) -> dict[str, Any]:
        """What `from_document` reads."""
        return history_document(self.workflow_id, self.run_id, self.events)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that `load`, `replay` and `weft replay` read."""
        Path(path).write_bytes(encode(self.to_document()) + b"\n")


Recorded = History | Sequence[Event] | Mapping[str, Any] | str | os.PathLike[str]
"""A history, its events, its JSON document, or the file that holds it."""


def replay(
    histories: Recorded | Iterable[Recorded],
    workflow: Workflow[Any, Any] | Iterable[Workflow[Any, Any]],
) -> int:
    """Replay recorded histories against the present code; returns how many.

    A folder stands for the `.json` files in it. Raises NondeterminismError for the first that does not fit, naming
    workflow, run, event, expected and actual command and code line; UsageError for what is no history, for a history of
    a workflow that is not given, and when there is no history at all.
    """
    workflows = [workflow] if isinstance(workflow, Workflow) else list(workflow)
    known = Workflows(workflows)
    count = 0
    for history in read_histories(histories):
        check(history, known)
        count += 1
    return count


def read_histories(histories: Recorded | Iterable[Recorded]) -> Iterator[History]:
    """Every history that is meant. Raises UsageError for what is none and, at the end, when there was none at all."""
    count = 0
    for history in _read(histories):
        yield history
        count += 1
    if not count:
        raise UsageError(
            "There is no history to replay: a gate without histories lets everything pass."
        )


def _read(histories: Recorded | Iterable[Recorded]) -> Iterator[History]:
    if isinstance(histories, History):
        yield histories
    elif isinstance(histories, Mapping):
        yield History.from_document(histories)
    elif isinstance(histories, str | os.PathLike):
        path = Path(histories)
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        for file in files:
            yield History.load(file)
    else:
        several = list(histories)
        if several and isinstance(several[0], HistoryEvent):
            yield History.of("", several)  # type: ignore[arg-type]  # one event is as good as the type of all
            return
        for one in several:
            yield from _read(one)  # type: ignore[arg-type]  # no events, as was just looked at


def check(
    history: History, workflows: Mapping[str, Workflow[Any, Any]], *, is_same_code: bool = False
) -> None:
    """Replay one history. `is_same_code`: it was written by this very code, so payloads must be equal too.

    Raises NondeterminismError, UsageError.
    """
    workflow = _definition_of(history, workflows_of(workflows))
    if any(sealed_field(event) for event in history.events) and not is_same_code:
        raise UsageError(
            f"{_who(history)} holds encoded payloads, or references to a payload store: download it anew with "
            "`weft history ID --download FILE`, which fetches and decodes them."
        )
    machine = _Judge(workflow, history, is_same_code=is_same_code)
    advice = TEST_ADVICE if is_same_code else _ADVICE
    try:
        machine.replay(history.events)
    except NondeterminismError as error:
        where = f"at event {error.event_id}" if error.event_id else "at its end"
        line = machine.code_line()
        raise NondeterminismError(
            f"{_who(history)} of workflow {history.workflow!r} is not what its code does {where}: the history has "
            f"{error.expected}, the code asked for {error.actual}{f' ({line})' if line else ''}. {advice}",
            event_id=error.event_id,
            expected=error.expected,
            actual=error.actual,
        ) from None
    # Code that ends its process, or breaks the engine, blocks its run in production too.
    except (Exception, SystemExit) as error:
        line = machine.line_of(error)
        raise NondeterminismError(
            f"{_who(history)} of workflow {history.workflow!r} cannot be replayed: its code broke with "
            f"{type(error).__name__}: {error}{f' ({line})' if line else ''}. {advice}",
            expected="no error",
            actual=type(error).__name__,
        ) from error
    finally:
        machine.close()


def _definition_of(history: History, workflows: Workflows) -> Workflow[Any, Any]:
    """What its run is driven by. Raises UsageError when that is not there."""
    events = history.events
    given = (event.version for event in events if isinstance(event, WorkflowUnblocked))
    version = next(filter(None, given), getattr(events[0], "version", ""))
    workflow = workflows.find(history.workflow, version)
    if workflow is not None:
        return workflow
    what = f"{_who(history)} is of workflow {history.workflow!r}"
    versions = ", ".join(repr(one.version) for one in workflows.versions(history.workflow))
    if versions:
        raise UsageError(
            f"{what} in version {version!r}, which is not there (there is: {versions})."
        )
    known = ", ".join(sorted(workflows)) or "none"
    raise UsageError(f"{what}, which is not there (there is: {known}).")


def untaken_signals(history: History, workflow: Workflow[Any, Any]) -> list[str]:
    """The names of signals that came and that the code never received."""
    machine = Machine(workflow, history.workflow_id)
    try:
        machine.replay(history.events)
        return machine.untaken_signals
    finally:
        machine.close()


class _Judge(Machine):
    """Compares what a replay compares and, of histories of the same code, the payloads too."""

    def __init__(
        self, workflow: Workflow[Any, Any], history: History, *, is_same_code: bool
    ) -> None:
        super().__init__(workflow, history.workflow_id)
        self._answers = iter(
            [event for event in history.events if is_same_code and isinstance(event, _ANSWERS)]
        )

    def activate(self, event: HistoryEvent) -> list[Command]:
        commands = super().activate(event)
        for command in commands:
            self._compare(command, next(self._answers, None))
        return commands

    def _compare(self, command: Command, event: HistoryEvent | None) -> None:
        """What is of another kind is the replay's own matter."""
        if isinstance(command, ScheduleActivity) and isinstance(event, ActivityScheduled):
            if command.activity == event.activity:
                what = f'ScheduleActivity "{event.activity}" with'
                _compare_payload(what, event, event.input, command.input)
        elif isinstance(command, PublishRecord) and isinstance(event, RecordPublished):
            _compare_record(command, event)
        elif isinstance(command, ScheduleChild) and isinstance(event, ChildScheduled):
            if (command.workflow, command.workflow_id) == (event.workflow, event.workflow_id):
                what = f'StartChild "{event.workflow}" with'
                _compare_payload(what, event, event.input, command.input)
        elif isinstance(command, SendSignal) and isinstance(event, SignalSent):
            if (command.name, command.workflow_id) == (event.name, event.workflow_id):
                what = f'SendSignal "{event.name}" with'
                _compare_payload(what, event, event.payload, command.payload)
        elif isinstance(command, CompleteUpdate) and isinstance(event, UpdateCompleted):
            if command.update_id == event.update_id:
                what = f'CompleteUpdate "{event.update}" (ID {event.update_id}) with'
                _compare_payload(what, event, event.result, command.result)
        elif isinstance(command, ContinueWorkflow) and isinstance(event, WorkflowContinued):
            _compare_payload("ContinueAsNew with", event, event.input, command.input)
        elif isinstance(command, CompleteWorkflow) and isinstance(event, WorkflowCompleted):
            _compare_payload("CompleteWorkflow with", event, event.result, command.result)


def _compare_record(command: PublishRecord, event: RecordPublished) -> None:
    if command.topic == event.topic and command.digest != event.digest:
        raise NondeterminismError(
            "its record differs",
            event_id=event.event_id,
            expected=f'PublishRecord to "{event.topic}" with another key, value or header',
            actual=f"PublishRecord with {shorten(Payload(command.value or b'null'))}",
        )


def _compare_payload(what: str, event: HistoryEvent, expected: Payload, actual: Payload) -> None:
    if bytes(expected) != bytes(actual) and not is_stored(expected):
        raise NondeterminismError(
            "its payload differs",
            event_id=event.event_id,
            expected=f"{what} {shorten(expected)}",
            actual=f"{what} {shorten(actual)}",
        )


def _who(history: History) -> str:
    source = f"{history.source}: " if history.source else ""
    return f"{source}The history of {history.workflow_id or 'a workflow'} (run {history.run_id})"
