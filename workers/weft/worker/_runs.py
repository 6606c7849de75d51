"""The runs of a partition: each takes up what is for it, and those that changed are written with the batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from weft.core import Decision, Due, Input, Run, decide
from weft.host import HOST, Host
from weft.payloads import Payloads
from weft.records import HELD, TerminateWorkflow
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._cells import HOT_MAX, Cells
from weft.worker._due import DueClock
from weft.worker._long import LongHistories
from weft.worker._shelf import Shelf
from weft.worker._turn import Turn
from weft.worker._watch import AttemptWatch


class Runs:
    """What is in memory of one partition's workflows, and how a record becomes a turn of one."""

    def __init__(
        self,
        turn: Turn,
        watch: AttemptWatch,
        payloads: Payloads,
        *,
        hot_max: int = HOT_MAX,
        shelf: Shelf | None = None,
        host: Host = HOST,
    ) -> None:
        """With a shelf, what is kept is bounded."""
        self.cells = Cells(hot_max, shelf, self._may_leave)
        self.clock = DueClock(self.cells)
        self.long = LongHistories()
        self.changed: dict[str, Cell] = {}
        """What the present batch has yet to write, by workflow ID."""
        self.dropped: Counter[str] = Counter()
        """Records that changed nothing, by reason, since the owner last asked."""
        self._turn = turn
        self._watch = watch
        self._payloads = payloads
        self._host = host
        self._grown_bytes = 0
        """How much more the changed states will take than the batch knows."""

    # A turn.

    def take(self, cell: Cell, source: str, record: Input | Any, batch: Batch, now_ms: int) -> bool:
        """Whether the run took it; what is kept for later, or says nothing new, it did not take."""
        run = self.warm(cell, batch)
        if run.status in HELD and not isinstance(record, TerminateWorkflow):
            self._turn.defer(cell, source, record, now_ms)
            self.touch(cell)
            return False
        decision = self._decide(cell, record, batch, now_ms, source)
        if decision is None:
            return False
        if decision.events:
            self._turn.take(cell, decision, batch, source=source, record=record)
            self.touch(cell)
            return True
        self.dropped[decision.dropped] += 1
        return False

    def expire(self, cell: Cell, record: Input, batch: Batch, now_ms: int) -> bool:
        """What this process itself has seen happen to an open run that is not held; whether that meant anything."""
        self.warm(cell, batch)
        decision = self._decide(cell, record, batch, now_ms)
        if decision is None or not decision.events:
            return False
        self._turn.take(cell, decision, batch)
        self.touch(cell)
        return True

    def fire(self, cell: Cell, batch: Batch, now_ms: int) -> None:
        """Something of it is due."""
        run = self.warm(cell, batch)
        if run.status in HELD:
            if run.deadline_ms and run.deadline_ms <= now_ms:
                self._turn.time_out(cell, batch, now_ms)
                self.touch(cell)
                return
        else:
            decision = self._decide(cell, Due(), batch, now_ms)
            if decision is None:
                return
            if decision.events:
                self._turn.take(cell, decision, batch)
                self.touch(cell)
                return
        self.clock.set(cell, self._turn.next_look_ms(cell))

    def _decide(
        self, cell: Cell, record: Input, batch: Batch, now_ms: int, source: str = ""
    ) -> Decision | None:
        """What the record means to the run; None when that broke the core: this run is blocked, the others go on."""
        try:
            return decide(cell.warm(), record, now_ms=now_ms, draw=self._host.random())
        except Exception as error:  # noqa: BLE001  # a bug of ours must not stop a partition
            kept = record if source else None
            self._turn.break_off(cell, error, batch, now_ms=now_ms, source=source, record=kept)
            self.touch(cell)
            return None

    # In memory.

    def warm(self, cell: Cell, batch: Batch) -> Run:
        """The run. When only its head was in memory, its inline activities are nowhere: they are run again.

        Workers that hold leased ones are given time to be heard of.
        """
        was_cold = cell.run is None
        run = cell.warm()
        if was_cold:
            was_held = run.status in HELD
            self._turn.restart_inline(cell, batch)
            if run.status in HELD and not was_held:
                self.touch(cell)
            self._watch.begin(cell.workflow_id, run)
        return run

    def touch(self, cell: Cell) -> None:
        """It has changed: it is written with the batch, and due at another time."""
        self.changed[cell.workflow_id] = cell
        self._grown_bytes += cell.tail_bytes - cell.planned_bytes
        cell.planned_bytes = cell.tail_bytes
        self.clock.set(cell, self._turn.next_look_ms(cell))

    def plan(self, batch: Batch) -> None:
        """After each turn: let the batch know how large it will be."""
        batch.planned_bytes += self._grown_bytes
        self._grown_bytes = 0

    def note_size(self, cell: Cell) -> None:
        """Of one whose history is long, was long, or has a large event."""
        self.long.changed(cell)
        self._payloads.largest_bytes = max(self._payloads.largest_bytes, cell.largest_bytes)

    def shed(self) -> None:
        """Make cold what is too much."""
        self.cells.shed(self._may_cool)

    def _may_cool(self, cell: Cell) -> bool:
        return self._may_leave(cell) and not self.long.knows(cell.workflow_id)

    def _may_leave(self, cell: Cell) -> bool:
        """Not what this process alone knows of: changes to be written, and attempts that run for it."""
        run = cell.run
        return (
            cell.encoded is not None
            and cell.workflow_id not in self.changed
            and not (run is not None and (run.has_open_inline or run.leased_count))
            and cell.workflow_id not in self._watch.progress.by_workflow
        )

    def close(self) -> None:
        """Drop all code that waits."""
        for cell in self.cells.hot():
            cell.close()
        self.cells.clear()
