"""Histories that grow too long: noted, and warned of once per threshold.

A long history costs memory in its owner, which keeps it for a replay, and time after a takeover. Nothing breaks at any
of these thresholds.
"""

from __future__ import annotations

import logging

from weft.worker._cell import Cell

logger = logging.getLogger("weft.worker")

EVENTS_MIN = 1_000
BYTES_MIN = 1024 * 1024
"""What is shorter than both is not kept track of."""
EVENTS_WARN = (10_000, 50_000)
BYTES_WARN = (10 * 1024 * 1024, 50 * 1024 * 1024)
_ADVICE = (
    "Its owner keeps it in memory and repeats it after a takeover. End the run and start a new one now and then, or "
    "give large payloads a payload store with a lower --payload-bytes-max."
)


class LongHistories:
    """The open runs of one partition whose histories are long."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._warned: dict[str, tuple[str, int]] = {}
        """(run, how many thresholds it has passed) by workflow ID"""

    @property
    def events_max(self) -> int:
        """Events of the longest; 0 when there is none."""
        return max((cell.event_count for cell in self._cells.values()), default=0)

    @property
    def bytes_max(self) -> int:
        return max((cell.history_bytes for cell in self._cells.values()), default=0)

    def found(self, cell: Cell) -> None:
        """An open run was read from the log: whoever owned it before has warned of it."""
        if self._note(cell):
            self._warned[cell.workflow_id] = (cell.run_id, _passed(cell))

    def changed(self, cell: Cell) -> None:
        """A run took a step."""
        if not self._note(cell):
            return
        passed = _passed(cell)
        run_id, before = self._warned.get(cell.workflow_id, ("", 0))
        if passed > (before if run_id == cell.run_id else 0):
            logger.warning(
                "the history of workflow %s, run %s, has grown to %s events of %s bytes. %s",
                cell.workflow_id,
                cell.run_id,
                f"{cell.event_count:,}",
                f"{cell.history_bytes:,}",
                _ADVICE,
            )
            self._warned[cell.workflow_id] = (cell.run_id, passed)

    def knows(self, workflow_id: str) -> bool:
        return workflow_id in self._cells

    def forget(self, workflow_id: str) -> None:
        self._cells.pop(workflow_id, None)
        self._warned.pop(workflow_id, None)

    def _note(self, cell: Cell) -> bool:
        if cell.ended or (cell.event_count < EVENTS_MIN and cell.history_bytes < BYTES_MIN):
            self.forget(cell.workflow_id)
            return False
        self._cells[cell.workflow_id] = cell
        return True


def _passed(cell: Cell) -> int:
    """How many thresholds this history has passed, of both sorts together."""
    return sum(cell.event_count >= events for events in EVENTS_WARN) + sum(
        cell.history_bytes >= size_bytes for size_bytes in BYTES_WARN
    )
