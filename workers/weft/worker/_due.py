"""When something of a partition's workflows is due."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from weft.worker._cell import Cell
from weft.worker._cells import Cells


class DueClock:
    """(due time, workflow ID), earliest first. An entry whose time is not its cell's any more is passed over."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._entries: list[tuple[int, str]] = []

    def load(self, entries: list[tuple[int, str]]) -> None:
        """A heap of what is due of the workflows that were rebuilt."""
        self._entries = entries

    def set(self, cell: Cell, due_ms: int) -> None:
        """From now on it is due then; 0 is never."""
        if due_ms and due_ms != cell.due_ms:
            heapq.heappush(self._entries, (due_ms, cell.workflow_id))
        cell.due_ms = due_ms

    def take(self, now_ms: int, count_max: int) -> list[tuple[int, str]]:
        """Take at most so many entries that are due off the clock."""
        clock, entries = self._entries, list[tuple[int, str]]()
        while len(entries) < count_max and clock and clock[0][0] <= now_ms:
            entries.append(heapq.heappop(clock))
        return entries

    def put_back(self, entries: Iterable[tuple[int, str]]) -> None:
        for entry in entries:
            heapq.heappush(self._entries, entry)

    def next_ms(self) -> int:
        """When something is due next; 0 is never."""
        while self._entries:
            due_ms, workflow_id = self._entries[0]
            if self._cells.due_ms(workflow_id) == due_ms:
                return due_ms
            heapq.heappop(self._entries)
        return 0
