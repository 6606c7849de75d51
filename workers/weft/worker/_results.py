"""What comes of attempts, and what is lost of them: the side of activities of one partition's runs."""

from __future__ import annotations

from collections import Counter

from weft.core import LeaseExpired, decide
from weft.errors import PayloadDecodeError
from weft.records import (
    HELD,
    AttemptCompleted,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptReleased,
    AttemptStarted,
    AttemptUnreadable,
    ResultsRecord,
)
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._room import Room
from weft.worker._runs import Runs
from weft.worker._turn import Turn
from weft.worker._watch import NOT_WAITED_FOR, AttemptWatch


class Results:
    """Taken by the run that waits for the attempt, or dropped and counted."""

    def __init__(self, runs: Runs, turn: Turn, watch: AttemptWatch) -> None:
        self.lost: Counter[str] = Counter()
        """Leased attempts that were lost with their workers, by reason."""
        self._runs = runs
        self._turn = turn
        self._watch = watch

    def take(self, cell: Cell, result: ResultsRecord, batch: Batch, now_ms: int) -> None:
        if cell.run_id != result.run_id:
            self.drop(result, "result of an earlier run", batch)
        elif cell.ended:
            self.drop(result, "the run has ended", batch)
        elif isinstance(result, AttemptCompleted):  # nearly all of them
            if self._watch.running.by_workflow:
                self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt)
            self._runs.take(cell, "results", result, batch, now_ms)
        elif isinstance(result, AttemptUnreadable):
            self._hold_unread(cell, result, batch, now_ms)
        else:
            self._take_attempt(cell, result, batch, now_ms)

    def drop(self, result: ResultsRecord, reason: str, batch: Batch) -> None:
        """Nobody waits for it."""
        self._runs.dropped[reason] += 1
        self._watch.answer_stale(result, reason, batch)

    def watch_leases(
        self, batch: Batch, now_ms: int, passed_s: float, room: Room | None = None
    ) -> None:
        """So much time has passed for the workers that hold leases: what they lost goes to others.

        As far as there is room; the rest with the next batch.
        """
        running = self._watch.running
        if not running.pass_time(passed_s):
            return
        while (room is None or room.is_left) and (silent := running.next_silent()) is not None:
            workflow_id, attempt = silent
            cell = self._runs.cells.get(workflow_id)
            # A run that is held takes up nothing; it looks again after another lease's time.
            if cell is not None and not cell.ended and cell.status not in HELD:
                expired = LeaseExpired(attempt.activity_id, attempt.lease)
                if self._runs.expire(cell, expired, batch, now_ms):
                    self.lost["silent"] += 1
                self._runs.plan(batch)

    def _hold_unread(
        self, cell: Cell, result: AttemptUnreadable, batch: Batch, now_ms: int
    ) -> None:
        """No worker may act on what it cannot read: the run waits for one that can, with the attempt."""
        run = self._runs.warm(cell, batch)
        self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt)
        if run.status in HELD:
            self._runs.take(cell, "results", result, batch, now_ms)
        elif not decide(run, result, now_ms=now_ms, draw=0.0).events:
            self.drop(result, NOT_WAITED_FOR, batch)
        else:
            error = PayloadDecodeError(result.reason)
            self._turn.break_off(cell, error, batch, now_ms=now_ms, source="results", record=result)
            self._runs.touch(cell)

    def _take_attempt(
        self,
        cell: Cell,
        result: AttemptFailed | AttemptStarted | AttemptHeartbeat | AttemptReleased,
        batch: Batch,
        now_ms: int,
    ) -> None:
        """How an attempt gets on, or how it ended without success."""
        run = self._runs.warm(cell, batch)
        if isinstance(result, AttemptHeartbeat):
            if not self._watch.hear(cell.workflow_id, run, result):
                self.drop(result, NOT_WAITED_FOR, batch)
            return
        if isinstance(result, AttemptStarted):
            self._runs.take(cell, "results", result, batch, now_ms)
            self._watch.grant(cell.workflow_id, cell.warm(), result, batch)
            return
        lease = result.lease if isinstance(result, AttemptReleased) else None
        self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt, lease)
        self._watch.end(cell.workflow_id, run, result)
        is_taken = self._runs.take(cell, "results", result, batch, now_ms)
        if is_taken and isinstance(result, AttemptReleased):
            self.lost["released"] += 1
