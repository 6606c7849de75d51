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
    "Its owner keeps it in memory and repeats it after a takeover. Let its code go on in a new run now and then "
    "(ctx.continue_as_new, when ctx.info.is_continue_suggested), or give large payloads a payload store with a lower "
    "--payload-bytes-max."
)


class LongHistories:
    """The open runs of one partition whose histories are long."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[int, int]] = {}
        """(events, bytes) by workflow ID"""
        self._warned: dict[str, tuple[str, int]] = {}
        """(run, how many thresholds it has passed) by workflow ID"""

    @property
    def events_max(self) -> int:
        """Events of the longest; 0 when there is none."""
        return max((events for events, _ in self._sizes.values()), default=0)

    @property
    def bytes_max(self) -> int:
        return max((size_bytes for _, size_bytes in self._sizes.values()), default=0)

    def found(self, workflow_id: str, run_id: str, events: int, size_bytes: int) -> None:
        """An open run was read from the log: whoever owned it before has warned of it."""
        if self._note(workflow_id, events, size_bytes):
            self._warned[workflow_id] = (run_id, _passed(events, size_bytes))

    def changed(self, cell: Cell) -> None:
        """A run took a step."""
        if cell.ended:
            self.forget(cell.workflow_id)
            return
        events, size_bytes = cell.event_count, cell.history_bytes
        if not self._note(cell.workflow_id, events, size_bytes):
            return
        passed = _passed(events, size_bytes)
        run_id, before = self._warned.get(cell.workflow_id, ("", 0))
        if passed > (before if run_id == cell.run_id else 0):
            logger.warning(
                "the history of workflow %s, run %s, has grown to %s events of %s bytes. %s",
                cell.workflow_id,
                cell.run_id,
                f"{events:,}",
                f"{size_bytes:,}",
                _ADVICE,
            )
            self._warned[cell.workflow_id] = (cell.run_id, passed)

    def knows(self, workflow_id: str) -> bool:
        return workflow_id in self._sizes

    def forget(self, workflow_id: str) -> None:
        self._sizes.pop(workflow_id, None)
        self._warned.pop(workflow_id, None)

    def _note(self, workflow_id: str, events: int, size_bytes: int) -> bool:
        if events < EVENTS_MIN and size_bytes < BYTES_MIN:
            self.forget(workflow_id)
            return False
        self._sizes[workflow_id] = (events, size_bytes)
        return True


def _passed(events: int, size_bytes: int) -> int:
    """How many thresholds this history has passed, of both sorts together."""
    return sum(events >= one for one in EVENTS_WARN) + sum(size_bytes >= one for one in BYTES_WARN)
