"""What clients ask of the workflows of a partition: what their code answers, and how they and their updates end."""

from __future__ import annotations

from weft.records import AwaitUpdate, QueriesRecord, QueryWorkflow, is_same_chain
from weft.worker import _answers as answers
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._code import Code
from weft.worker._held import why_not
from weft.worker._runs import Runs
from weft.worker._updates import Updates
from weft.worker._waiters import Waiters


class Queries:
    """Of one partition. They change nothing."""

    def __init__(self, runs: Runs, code: Code, *, updates: Updates, waiters: Waiters) -> None:
        self._runs = runs
        self._code = code
        self._updates = updates
        self._waiters = waiters

    def answer(self, workflow_id: str, query: QueriesRecord, batch: Batch) -> None:
        """With the batch or, where it is the end that is asked for, with the one that brings it about."""
        cell = self._runs.cells.get(workflow_id)
        to = query.reply_to
        if cell is None or (query.run_id and not is_same_chain(query.run_id, cell.run_id)):
            # A zombie does not know what was started since. Its other answers are true, if old, or asked for again.
            batch.needs_proof = True
            batch.reply(to, answers.unknown(to))
        elif isinstance(query, QueryWorkflow):
            self._ask_code(cell, query, batch)
        elif isinstance(query, AwaitUpdate):
            self._updates.ask(cell, query, batch)
        else:
            self._waiters.ask(cell, to, batch)
            if not cell.ended:
                batch.reply(to, answers.running(to, cell))

    def _ask_code(self, cell: Cell, query: QueryWorkflow, batch: Batch) -> None:
        # What a zombie tells may be long past: the answer waits for the proof that this is the owner.
        batch.needs_proof = True
        to = query.reply_to
        if cell.ended or cell.status == "blocked":
            batch.reply(to, answers.refused(to, cell, why_not(cell, "ask")))
            return
        self._runs.warm(cell, batch)
        answer, problem = self._code.query(cell, query)
        self._runs.cells.used(cell)
        batch.reply(
            to,
            answers.refused(to, cell, problem) if problem else answers.answered(to, cell, answer),
        )
