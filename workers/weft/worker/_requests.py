"""What clients want of the workflows of a partition: starts, signals, updates, and what operators ask for."""

from __future__ import annotations

from weft.records import (
    PurgeWorkflow,
    ReplyTo,
    ResetWorkflow,
    ResumeWorkflow,
    SignalsRecord,
    StartWorkflow,
    SuspendWorkflow,
    TerminateWorkflow,
    UnblockWorkflow,
    UpdateWorkflow,
    is_same_chain,
)
from weft.worker import _answers as answers
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._held import HeldRuns
from weft.worker._register import Register
from weft.worker._runs import Runs
from weft.worker._updates import Updates
from weft.worker._waiters import Waiters


class Requests:
    """Of one partition. Each is met or refused, and answered if its client asked for that."""

    def __init__(
        self,
        runs: Runs,
        register: Register,
        held: HeldRuns,
        *,
        updates: Updates,
        waiters: Waiters,
    ) -> None:
        self._runs = runs
        self._register = register
        self._held = held
        self._updates = updates
        self._waiters = waiters

    def take(self, workflow_id: str, request: SignalsRecord, batch: Batch, now_ms: int) -> str:
        """Returns why it could not be met; empty when it was."""
        cell = self._runs.cells.get(workflow_id)
        if isinstance(request, StartWorkflow):
            return self._start(cell or Cell(workflow_id), request, batch, now_ms)
        to = request.reply_to
        if cell is None:
            if to is not None:
                batch.reply(to, answers.unknown(to))
            return f"there is no workflow {workflow_id!r}"
        if isinstance(request, UpdateWorkflow):
            return self._updates.take(cell, request, batch, now_ms)
        if isinstance(request, PurgeWorkflow):
            reason = self._purge(cell, request, batch)
        elif isinstance(request, UnblockWorkflow):
            reason = self._held.unblock(cell, batch, now_ms)
        elif isinstance(request, SuspendWorkflow):
            reason = self._held.suspend(cell, request.reason, batch, now_ms)
        elif isinstance(request, ResumeWorkflow):
            reason = self._held.resume(cell, batch, now_ms)
        elif isinstance(request, ResetWorkflow):
            reason = self._register.resets.take(cell, request, batch, now_ms)
        elif cell.ended:
            reason = f"workflow {workflow_id!r} has ended ({cell.status})"
        else:
            self._runs.take(cell, "signals", request, batch, now_ms)
            reason = ""
        if to is not None:
            answer = answers.refused(to, cell, reason) if reason else answers.accepted(to, cell)
            batch.reply(to, answer)
        return reason

    def _start(self, cell: Cell, request: StartWorkflow, batch: Batch, now_ms: int) -> str:
        to = request.reply_to
        exists = cell.workflow_id in self._runs.cells
        if exists and request.request_id and cell.request_id == request.request_id:
            self._answer_start(cell, to, batch)
            return ""
        if exists and not cell.ended:
            if request.on_conflict == "use_existing":
                self._answer_start(cell, to, batch)
                return ""
            if request.on_conflict == "fail":
                if to is not None:
                    batch.reply(to, answers.conflict(to, cell))
                return f"workflow {cell.workflow_id!r} is running already"
            ending = TerminateWorkflow("replaced by a new run")
            self._runs.take(cell, "signals", ending, batch, now_ms)
        self._register.begin(cell, request, batch, now_ms)
        self._answer_start(cell, to, batch)
        return ""

    def _answer_start(self, cell: Cell, to: ReplyTo | None, batch: Batch) -> None:
        if to is None:
            return
        if to.until == "accepted":
            batch.reply(to, answers.accepted(to, cell))
        else:
            self._waiters.ask(cell, to, batch)

    def _purge(self, cell: Cell, request: PurgeWorkflow, batch: Batch) -> str:
        if request.run_id and not is_same_chain(request.run_id, cell.run_id):
            return f"workflow {cell.workflow_id!r} has a newer run, {cell.run_id}"
        if not cell.ended:
            return f"workflow {cell.workflow_id!r} is {cell.status}: only ended workflows can be purged"
        self._register.purge(cell, batch)
        return ""
