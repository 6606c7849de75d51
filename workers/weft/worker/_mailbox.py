"""What other workflows send to those of a partition: starts and ends of children, stops, signals.

A message is taken by the run that it names or by none: of the parent it names the run and the command, of a child the
run that started it. Everything else is late, and dropped and counted.
"""

from __future__ import annotations

from weft.records import (
    Caller,
    CancelWorkflow,
    ChildDone,
    ChildRunning,
    FailureInfo,
    SignalFrom,
    SignalOutcome,
    SignalWorkflow,
    StartChild,
    StartWorkflow,
    StopChild,
    TerminateWorkflow,
)
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._messenger import Messenger
from weft.worker._register import Register
from weft.worker._runs import Runs

Message = StartChild | ChildRunning | ChildDone | StopChild | SignalFrom | SignalOutcome
_NO_RUN = "message for a run that is not there"
_NO_CHILD = "message for a child that is not there"


class Mailbox:
    """Of one partition."""

    def __init__(self, runs: Runs, register: Register, messenger: Messenger) -> None:
        self._runs = runs
        self._register = register
        self._messenger = messenger

    def take(self, workflow_id: str, message: Message, batch: Batch, now_ms: int) -> None:
        """One message that came in."""
        if isinstance(message, StartChild):
            self._start(workflow_id, message, batch, now_ms)
        elif isinstance(message, StopChild):
            self._stop(workflow_id, message, batch, now_ms)
        elif isinstance(message, SignalFrom):
            self._signal(workflow_id, message, batch, now_ms)
        else:
            cell = self._runs.cells.get(workflow_id)
            if cell is None or cell.ended or cell.run_id != message.run_id:
                self._runs.dropped[_NO_RUN] += 1
            else:
                self._runs.take(cell, "messages", message, batch, now_ms)

    def _start(self, workflow_id: str, message: StartChild, batch: Batch, now_ms: int) -> None:
        cell = self._runs.cells.get(workflow_id)
        if cell is not None and _was_started(cell.parent, message.parent):
            self._runs.dropped["child was started before"] += 1
            return
        if cell is not None and not cell.ended:
            text = (
                f"its ID {workflow_id!r} belongs to a workflow that is {cell.status} (run {cell.run_id}). Give the "
                "child another one, or wait for the end of that."
            )
            failure = FailureInfo("AlreadyStartedError", text, non_retryable=True)
            self._messenger.not_started(message.parent, failure, batch)
            return
        request = StartWorkflow(
            message.workflow,
            message.request_id,
            message.input,
            message.timeout_ms,
            traceparent=message.traceparent,
        )
        self._register.begin(
            cell or Cell(workflow_id),
            request,
            batch,
            now_ms,
            parent=message.parent,
            trace=message.trace,
            version=message.version,
            is_version_required=message.is_version_required,
        )

    def _stop(self, workflow_id: str, message: StopChild, batch: Batch, now_ms: int) -> None:
        cell = self._child(workflow_id, message.run_id, message.child_id)
        if cell is None:
            self._runs.dropped[_NO_CHILD] += 1
            return
        cancel = message.how == "cancel"
        request = CancelWorkflow(message.reason) if cancel else TerminateWorkflow(message.reason)
        self._runs.take(cell, "signals", request, batch, now_ms)

    def _signal(self, workflow_id: str, message: SignalFrom, batch: Batch, now_ms: int) -> None:
        sender = message.sender
        problem = self._refused(workflow_id, message, sender)
        if not problem:
            cell = self._runs.cells[workflow_id]
            signal = SignalWorkflow(message.signal, message.payload, message.signal_id)
            self._runs.take(cell, "signals", signal, batch, now_ms)
        self._messenger.answer_signal(sender, problem, batch)

    def _refused(self, workflow_id: str, message: SignalFrom, sender: Caller) -> str:
        """Why the workflow cannot have the signal; empty when it can."""
        if message.child_id:
            if self._child(workflow_id, sender.run_id, message.child_id) is None:
                return f"child {workflow_id!r} does not run any more"
            return ""
        cell = self._runs.cells.get(workflow_id)
        if cell is None:
            return f"there is no workflow {workflow_id!r}"
        return f"workflow {workflow_id!r} has ended ({cell.status})" if cell.ended else ""

    def _child(self, workflow_id: str, run_id: str, child_id: int) -> Cell | None:
        """The workflow, if it is open and that child of that run."""
        cell = self._runs.cells.get(workflow_id)
        if cell is None or cell.ended:
            return None
        parent = cell.parent
        is_meant = parent is not None and (parent.run_id, parent.number) == (run_id, child_id)
        return cell if is_meant else None


def _was_started(known: Caller | None, asked: Caller) -> bool:
    """Whether the workflow's run is the one that is asked for, or a later attempt of that child."""
    return (
        known is not None
        and (known.run_id, known.number) == (asked.run_id, asked.number)
        and known.attempt >= asked.attempt
    )
