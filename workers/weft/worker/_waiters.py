"""The clients that wait for the ends of a partition's workflows. They are known in memory alone; clients ask again."""

from __future__ import annotations

from weft.records import ReplyTo
from weft.worker import _answers as answers
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._runs import Runs

WAITERS_MAX = 1000
"""Clients that one workflow remembers as waiting: those that gave up are not told apart from those that wait."""


class Waiters:
    """Of one partition. Each cell keeps its own."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def ask(self, cell: Cell, to: ReplyTo, batch: Batch) -> None:
        """Answer at once when the end is on the log already, else with the batch that brings it there."""
        if cell.ended and cell.workflow_id not in self._runs.changed:
            batch.reply(to, answers.ended(to, cell))
            return
        if to.request not in cell.waiters and len(cell.waiters) >= WAITERS_MAX:
            del cell.waiters[next(iter(cell.waiters))]  # who still waits asks again
        cell.waiters[to.request] = to

    def answer(self, cell: Cell, batch: Batch) -> None:
        """It has ended: tell all who wait."""
        for to in cell.waiters.values():
            batch.reply(to, answers.ended(to, cell))
        cell.waiters.clear()
