"""Updates as they come in, and the clients that wait for what comes of them.

An update is taken up once for its ID: the run's history says whether it was, and what came of it. Who waits is known in
memory alone; clients ask again. An answer goes out with the batch, so after the commit of what it tells.
"""

from __future__ import annotations

from weft.core import OF_A_FORMER_RUN
from weft.records import HELD, AwaitUpdate, ReplyTo, UpdateWorkflow
from weft.worker import _answers as answers
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._runs import Runs
from weft.worker._turn import Turn

WAITERS_MAX = 1000
"""Clients that wait for updates of one workflow: those that gave up are not told apart from those that wait."""


class Updates:
    """Of the workflows of one partition."""

    def __init__(self, runs: Runs, turn: Turn) -> None:
        self._runs = runs
        self._turn = turn
        self._waiters: dict[str, dict[str, tuple[str, ReplyTo]]] = {}
        """(update ID, client) by workflow and request."""

    def take(self, cell: Cell, request: UpdateWorkflow, batch: Batch, now_ms: int) -> str:
        """Returns why it was not taken up; empty when it was, is kept for later, or was taken up before."""
        to = request.reply_to
        if cell.ended:
            reason = f"workflow {cell.workflow_id!r} has ended ({cell.status})"
            if to is not None:
                batch.reply(to, answers.refused(to, cell, reason))
            return reason
        run = self._runs.warm(cell, batch)
        if request.id not in run.updates:
            if run.status not in HELD:
                failure = self._turn.validate(cell, request, batch, now_ms)
                if failure is not None:
                    if to is not None:
                        batch.reply(to, answers.rejected(to, cell, failure))
                    return f"update {request.update!r} was rejected: {failure.message}"
            if to is not None:
                # Before: a run that continues as another one in this turn tells those who wait for what it knows.
                self._wait(cell, request.id, to)
            self._runs.take(cell, "signals", request, batch, now_ms)
            if to is None or not self._is_waiting(cell, to):
                return ""
        if to is not None:
            self._tell(cell, request.id, to, batch)
        return ""

    def ask(self, cell: Cell, query: AwaitUpdate, batch: Batch) -> None:
        """A client asks what came of one that it knows to be taken up, or kept for later."""
        to = query.reply_to
        if cell.ended:
            reason = f"workflow {cell.workflow_id!r} has ended ({cell.status})"
            batch.reply(to, answers.refused(to, cell, reason))
            return
        self._runs.warm(cell, batch)
        self._tell(cell, query.id, to, batch)

    def answer(self, cell: Cell, batch: Batch) -> None:
        """Something has happened to this workflow: tell those who wait what they wait for. At its end, tell all."""
        waiters = self._waiters.pop(cell.workflow_id, None)
        for update_id, to in (waiters or {}).values():
            self._tell(cell, update_id, to, batch, is_waiting=True)

    def _tell(
        self, cell: Cell, update_id: str, to: ReplyTo, batch: Batch, *, is_waiting: bool = False
    ) -> None:
        """How this update stands. With `is_waiting`, only what is new to the client."""
        run = cell.run
        assert run is not None, (
            "an open run is warm here, and so is one that has ended in this batch"
        )
        outcome_id = run.updates.get(update_id)
        if outcome_id == OF_A_FORMER_RUN:
            reason = f"update {update_id!r} was taken up by a run that this one continues: its outcome is gone"
            batch.reply(to, answers.refused(to, cell, reason))
        elif outcome_id:
            batch.reply(to, answers.update_ended(to, cell, cell.event(outcome_id)))
        elif run.ended:
            reason = f"workflow {cell.workflow_id!r} has ended ({cell.status})"
            lost = outcome_id is not None
            batch.reply(
                to, answers.update_lost(to, cell) if lost else answers.refused(to, cell, reason)
            )
        elif outcome_id is None and run.status not in HELD:
            # It was kept for later and did not pass then; its answer is lost. Sent again it is asked for again.
            if not is_waiting:
                batch.reply(to, answers.rejected(to, cell, None))
        elif outcome_id is not None and to.until == "accepted":
            batch.reply(to, answers.accepted(to, cell))
        else:
            if not is_waiting:
                known = outcome_id is not None
                batch.reply(to, (answers.accepted if known else answers.running)(to, cell))
            self._wait(cell, update_id, to)

    def _is_waiting(self, cell: Cell, to: ReplyTo) -> bool:
        """Whether this client has not been told yet. It waits no more."""
        return self._waiters.get(cell.workflow_id, {}).pop(to.request, None) is not None

    def _wait(self, cell: Cell, update_id: str, to: ReplyTo) -> None:
        waiters = self._waiters.setdefault(cell.workflow_id, {})
        if to.request not in waiters and len(waiters) >= WAITERS_MAX:
            del waiters[next(iter(waiters))]  # who still waits asks again
        waiters[to.request] = (update_id, to)
