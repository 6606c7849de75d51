"""Resets: a run gives way to a next one, whose history begins as its own did, up to an event that an operator names.

All of it is one step of one transaction: the former run's pages go, the next one's history, with what it is told again
and what its code asks for then, is there instead. What is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weft.core import Decision
from weft.records import (
    HELD,
    Event,
    HistoryEvent,
    ResetWorkflow,
    WorkflowReset,
    WorkflowStarted,
    next_run_id,
)
from weft.tracing import trace_after
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._cut import Cut, Told, cut
from weft.worker._next_run import unneeded
from weft.worker._reasons import writable
from weft.worker._runs import Runs
from weft.worker._turn import Turn

RESET_BYTES_MAX = 4 * 1024 * 1024
"""Of the events that a reset keeps: they are written anew, in one transaction."""


class Resets:
    """Of one partition."""

    def __init__(self, runs: Runs, turn: Turn) -> None:
        self._runs = runs
        self._turn = turn

    def take(self, cell: Cell, request: ResetWorkflow, batch: Batch, now_ms: int) -> str:
        """Returns why it could not be met; empty when it was, now or before."""
        who = f"workflow {cell.workflow_id!r}"
        newer = f"{who} has a newer run, {cell.run_id}, whose events are others"
        if cell.ended and cell.page_count:
            if request.run_id != cell.run_id:
                return newer
            return (
                f"{who} has ended ({cell.status}) with a history of {cell.event_count:,} events, the first of which "
                "its owner no longer has at hand: of an ended run only a short history can be gone back in"
            )
        if not cell.ended:
            self._runs.warm(cell, batch)
        history = cell.history()
        if request.run_id != cell.run_id:
            return "" if _is_done(request, history) else newer
        found = cut(history, request.to_event, run_id=next_run_id(cell.run_id))
        events = () if found.problem else _beginning(cell, found, request, now_ms)
        problem = found.problem or self._turn.why_not_from(
            cell.workflow_id, events, begins_anew=found.begins_anew, bytes_max=RESET_BYTES_MAX
        )
        if problem:
            return (
                f"{who}, run {cell.run_id}, cannot be reset to event {request.to_event}: {problem}"
            )
        self._replace(cell, events, found, batch, now_ms)
        return ""

    def _replace(
        self, cell: Cell, events: Sequence[HistoryEvent], found: Cut, batch: Batch, now_ms: int
    ) -> None:
        """From here on nothing is refused: what breaks blocks the next run, as it does any."""
        run_id = next_run_id(cell.run_id)
        self._turn.give_way(cell, run_id, batch, now_ms)
        needed = [*events, *(told.what for told in found.again)]
        self._turn.clear_away(cell, batch, unneeded(cell.stored, needed))
        cell.new_run()
        self._runs.cells[cell.workflow_id] = cell
        self._turn.begin_from(cell, events, batch, begins_anew=found.begins_anew)
        activities = () if found.begins_anew else cell.warm().activities.values()
        to_bring_out = [(one.activity_id, one.attempt) for one in activities if not one.waiting]
        for told in found.again:
            self._tell(cell, told, run_id, batch, now_ms)
        if cell.run_id == run_id and not cell.ended:
            self._turn.bring_out(cell, to_bring_out, batch)
        self._runs.touch(cell)

    def _tell(self, cell: Cell, told: Told, run_id: str, batch: Batch, now_ms: int) -> None:
        """What came to the former run. A run that its code has continued meanwhile takes what is for any run."""
        what = told.what
        if isinstance(what, HistoryEvent):
            run = cell.warm()
            if run.run_id == run_id and not run.ended and run.status not in HELD:
                event = msgspec.structs.replace(
                    what, event_id=run.last_event_id + 1, time_ms=now_ms
                )
                self._turn.take(cell, Decision((event,)), batch)
        elif not cell.ended:
            self._runs.take(cell, told.source, what, batch, now_ms)


def _is_done(request: ResetWorkflow, history: Sequence[Event]) -> bool:
    return any(
        isinstance(event, WorkflowReset) and event.request_id == request.request_id
        for event in history
    )


def _beginning(
    cell: Cell, found: Cut, request: ResetWorkflow, now_ms: int
) -> Sequence[HistoryEvent]:
    """The events that the next run begins with, the reset last. Its time counts anew."""
    started = found.kept[0]
    assert isinstance(started, WorkflowStarted), "every history begins with it"
    kept: list[HistoryEvent] = list(found.kept)
    if found.begins_anew:
        kept = [msgspec.structs.replace(event, time_ms=now_ms) for event in kept]
    kept[0] = msgspec.structs.replace(
        started,
        time_ms=kept[0].time_ms,
        run_id=next_run_id(cell.run_id),
        version=started.version or (cell.version if found.begins_anew else ""),
        deadline_ms=now_ms + started.timeout_ms if started.timeout_ms else 0,
        trace=trace_after(started),
        seed_run_id="" if found.begins_anew else started.seed_run_id or started.run_id,
    )
    reset = WorkflowReset(
        len(kept) + 1,
        now_ms,
        next_run_id(cell.run_id),
        cell.run_id,
        request.to_event,
        request.request_id,
        writable(request.reason),
    )
    return [*kept, reset]
