"""Runs that are held: blocked until their code is mended, or suspended until somebody lets them go on.

What comes for a held run is kept in its history, and taken up in order when it goes on.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from weft.codec import decode_messages, decode_results, decode_signals
from weft.records import AttemptUnreadable, Payload, UpdateWorkflow
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._memory import READ_BACK_MAX
from weft.worker._register import Register
from weft.worker._results import Results
from weft.worker._room import Room
from weft.worker._runs import Runs
from weft.worker._turn import Turn
from weft.worker._updates import Updates


class HeldRuns:
    """Of one partition. Requests return why they could not be met; empty when they were."""

    def __init__(
        self, runs: Runs, turn: Turn, register: Register, *, updates: Updates, results: Results
    ) -> None:
        self._runs = runs
        self._turn = turn
        self._register = register
        self._updates = updates
        self._results = results
        self._to_try: deque[str] = deque()
        """Runs that were blocked when the partition was loaded."""

    def load(self, blocked: deque[str]) -> None:
        """Workflow IDs of the runs that a former owner left blocked."""
        self._to_try = blocked

    def resume_blocked(self, batch: Batch, now_ms: int, room: Room | None = None) -> bool:
        """Try every one that was left blocked again; False when `room` is used up before the last."""
        tried_count = 0
        cells = self._runs.cells
        while self._to_try and (room is None or room.is_left):
            if tried_count % READ_BACK_MAX == 0:
                cells.read_back(islice(self._to_try, READ_BACK_MAX))
            tried_count += 1
            cell = cells.get(self._to_try.popleft())
            if cell is not None and cell.status == "blocked":
                self._try_again(cell, batch, now_ms)
                self._runs.plan(batch)
        return not self._to_try

    def unblock(self, cell: Cell, batch: Batch, now_ms: int) -> str:
        if cell.status != "blocked":
            how = f"has ended ({cell.status})" if cell.ended else f"is {cell.status}, not blocked"
            return f"workflow {cell.workflow_id!r} {how}: there is nothing to unblock"
        if self._try_again(cell, batch, now_ms):
            return ""
        return f"workflow {cell.workflow_id!r} is still blocked: {cell.reason}"

    def suspend(self, cell: Cell, reason: str, batch: Batch, now_ms: int) -> str:
        """Asked twice, it is done once."""
        if cell.status != "running":
            return why_not(cell, "suspend")
        self._runs.warm(cell, batch)
        self._turn.suspend(cell, reason, batch, now_ms)
        self._runs.touch(cell)
        return ""

    def resume(self, cell: Cell, batch: Batch, now_ms: int) -> str:
        """Asked twice, it is done once."""
        if cell.status != "suspended":
            return why_not(cell, "resume")
        self._runs.warm(cell, batch)
        deferred = self._turn.resume(cell, batch, now_ms)
        self._runs.touch(cell)
        for event in deferred:
            self._take_up(cell, event.source, event.record, batch, now_ms)
        return "" if cell.ended else why_not(cell, "resume")

    def _try_again(self, cell: Cell, batch: Batch, now_ms: int) -> bool:
        """Bring a blocked run's code back by replay; where it fits, what came meanwhile is taken up.

        Returns whether the run goes on.
        """
        last_event_id = self._runs.warm(cell, batch).last_event_id
        deferred = self._turn.unblock(cell, batch, now_ms)
        if cell.warm().last_event_id != last_event_id:
            self._runs.touch(cell)
        for event in deferred:
            self._take_up(cell, event.source, event.record, batch, now_ms)
        self._register.note_unmatched(cell)
        return cell.status != "blocked"

    def _take_up(self, cell: Cell, source: str, record: Payload, batch: Batch, now_ms: int) -> None:
        """A record that came while the run was held."""
        request = decode_signals(record) if source == "signals" else None
        if isinstance(request, UpdateWorkflow):
            if self._updates.take(cell, request, batch, now_ms):
                self._runs.dropped["an update that was rejected"] += 1
        elif cell.ended:
            self._runs.dropped["the run has ended"] += 1
        elif source == "results":
            result = decode_results(record)
            if isinstance(result, AttemptUnreadable):
                self._runs.take(cell, source, result, batch, now_ms)
            else:
                self._results.take(cell, result, batch, now_ms)
        elif source == "messages":
            self._runs.take(cell, source, decode_messages(record), batch, now_ms)
        else:
            self._runs.take(cell, source, request, batch, now_ms)


def why_not(cell: Cell, wanted: str) -> str:
    """Why a run cannot be suspended, resumed or asked; empty when it can."""
    who = f"workflow {cell.workflow_id!r}"
    if cell.ended:
        return f"{who} has ended ({cell.status}): there is nothing to {wanted}"
    if cell.status == "blocked":
        return f"{who} is blocked, which must be mended first: {cell.reason}"
    return ""
