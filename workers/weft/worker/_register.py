"""Which workflows a partition has: how their runs begin, how they are purged, and how many there are."""

from __future__ import annotations

import logging
from collections import Counter

from weft.core import decide_start
from weft.host import HOST, Host
from weft.records import Caller, RunTrace, StartWorkflow, Status
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._rebuild import Rebuilt
from weft.worker._reset import Resets
from weft.worker._runs import Runs
from weft.worker._turn import Turn
from weft.worker._updates import Updates
from weft.worker._waiters import Waiters

logger = logging.getLogger("weft.worker")


class Register:
    """Of partition `number`."""

    def __init__(
        self,
        number: int,
        runs: Runs,
        turn: Turn,
        *,
        updates: Updates,
        waiters: Waiters,
        host: Host = HOST,
    ) -> None:
        self.statuses: Counter[str] = Counter()
        """How many workflows there are, by status."""
        self.unmatched: dict[str, tuple[str, str]] = {}
        """Workflow and version of open runs that are not here, by workflow ID: they are blocked when their code is
        needed."""
        self.resets = Resets(runs, turn)
        """How a run gives way to one that begins as it did."""
        self._number = number
        self._runs = runs
        self._turn = turn
        self._updates = updates
        self._waiters = waiters
        self._host = host

    def load(self, rebuilt: Rebuilt) -> None:
        """Those that were found on the log."""
        self.statuses.update(rebuilt.statuses)
        self.unmatched.update(rebuilt.unmatched)
        for (workflow, version), count in Counter(rebuilt.unmatched.values()).items():
            logger.warning(
                "%s runs wait for code: %s", count, self._turn.workflows.problem(workflow, version)
            )

    def begin(
        self,
        cell: Cell,
        request: StartWorkflow,
        batch: Batch,
        now_ms: int,
        *,
        parent: Caller | None = None,
        trace: RunTrace | None = None,
        version: str = "",
        is_version_required: bool = False,
    ) -> None:
        """A new run, after the one before it, if there was one, has ended. `version` is the one that is wanted."""
        # Who waits for the former run must not get the result of the next.
        self._updates.answer(cell, batch)
        self._clear_away(cell, batch)
        cell.new_run()
        self._runs.cells[cell.workflow_id] = cell
        decision = decide_start(
            request,
            run_id=self._host.token(),
            version=self._turn.workflows.chosen(
                request.workflow,
                version or request.version,
                is_required=is_version_required or bool(request.version),
            ),
            now_ms=now_ms,
            parent=parent,
            trace=trace,
        )
        self._turn.start(cell, decision, batch)
        self._runs.touch(cell)

    def purge(self, cell: Cell, batch: Batch) -> None:
        """Forget a workflow that has ended, here and on the log."""
        self._clear_away(cell, batch)
        batch.state(self._number, cell.key, None)
        self._runs.changed.pop(cell.workflow_id, None)
        self.unmatched.pop(cell.workflow_id, None)
        self.count(cell, None)
        cell.close()
        del self._runs.cells[cell.workflow_id]

    def _clear_away(self, cell: Cell, batch: Batch) -> None:
        """Of a run that has ended, all but its head."""
        self._waiters.answer(cell, batch)
        self._turn.clear_away(cell, batch, cell.stored)

    def note_unmatched(self, cell: Cell) -> None:
        """Whether its code is here."""
        run = cell.run
        if (
            run is not None
            and not run.ended
            and self._turn.workflows.find(run.workflow, run.version) is None
        ):
            self.unmatched[cell.workflow_id] = (run.workflow, run.version)
        elif self.unmatched:
            self.unmatched.pop(cell.workflow_id, None)

    def count(self, cell: Cell, status: Status | None) -> None:
        """Under this status from now on; None: it counts no more."""
        if cell.counted != status:
            if cell.counted is not None:
                self.statuses[cell.counted] -= 1
            if status is not None:
                self.statuses[status] += 1
            cell.counted = status
