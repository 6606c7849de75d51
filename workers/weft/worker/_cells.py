"""All workflows of a partition: the ones in use as cells, the others as the bytes that their heads have on the log.

A workflow that nothing happens to costs its head's bytes and some two hundred more; a cell in use costs thousands (its
run, its code and all that both hold). So a run that ended is cold at once, and when more than `hot_max` are in use,
those that nothing happened to for longest become cold as well: the next record replays them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar, overload

from weft.records import Page
from weft.worker._cell import Cell

HOT_MAX = 20_000
"""Workflows of one partition that are kept ready."""
_LOOKED_AT_MAX = 1000
"""When some must go: those that cannot (a client waits for them) are passed over, so many at a time."""

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """What a cold workflow has beside its head. Few have anything."""

    pages: list[Page] = field(default_factory=list)
    page_bytes: int = 0
    stored: dict[str, None] = field(default_factory=dict)


class Cells(MutableMapping[str, Cell]):
    """By workflow ID. To look one up makes it hot; to go through all of them does not."""

    def __init__(self, hot_max: int = HOT_MAX) -> None:
        self._hot_max = hot_max
        self._hot: dict[str, Cell] = {}
        """Those used last come last."""
        self._cold: dict[str, bytes] = {}
        self._due_ms: dict[str, int] = {}
        """When the clock has a cold one next, if it has."""
        self._kept: dict[str, _Kept] = {}

    # Rebuilding.

    def load(self, workflow_id: str, head: bytes) -> None:
        """A head as it lies on the log; it is not looked at here."""
        self._cold[workflow_id] = head

    def cold(self) -> list[tuple[str, bytes]]:
        """(workflow ID, head) of all that are cold now."""
        return list(self._cold.items())

    def set_due(self, workflow_id: str, due_ms: int) -> None:
        """When the clock has a cold one next."""
        self._due_ms[workflow_id] = due_ms

    # By ID.

    @overload
    def get(self, key: str, /) -> Cell | None: ...
    @overload
    def get(self, key: str, /, default: Cell | T) -> Cell | T: ...
    def get(self, key: str, /, default: object = None) -> object:
        cell = self._hot.get(key)
        if cell is not None:
            return cell
        return self._thaw(key) if key in self._cold else default

    def due_ms(self, workflow_id: str) -> int:
        """When the clock has this one next; 0 when it does not, or there is no such workflow."""
        cell = self._hot.get(workflow_id)
        return cell.due_ms if cell is not None else self._due_ms.get(workflow_id, 0)

    def __getitem__(self, workflow_id: str) -> Cell:
        cell = self.get(workflow_id)
        if cell is None:
            raise KeyError(workflow_id)
        return cell

    def __setitem__(self, workflow_id: str, cell: Cell) -> None:
        self._forget_cold(workflow_id)
        self._hot[workflow_id] = cell

    def __delitem__(self, workflow_id: str) -> None:
        is_hot = self._hot.pop(workflow_id, None) is not None
        if not (self._forget_cold(workflow_id) or is_hot):
            raise KeyError(workflow_id)

    def __contains__(self, workflow_id: object) -> bool:
        return workflow_id in self._hot or workflow_id in self._cold

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._hot, *self._cold])

    # These show cold ones without making them hot.

    def items(self) -> list[tuple[str, Cell]]:  # type: ignore[override]
        return [(workflow_id, self._shown(workflow_id)) for workflow_id in self]

    def values(self) -> list[Cell]:  # type: ignore[override]
        return [self._shown(workflow_id) for workflow_id in self]

    def hot(self) -> list[Cell]:
        return list(self._hot.values())

    def clear(self) -> None:
        for part in (self._hot, self._cold, self._due_ms, self._kept):
            part.clear()

    # Cooling.

    def used(self, cell: Cell) -> None:
        """A turn of it has just been written: if it ended it is cold now, else it is the last to become so."""
        del self._hot[cell.workflow_id]
        if cell.ended:
            self._freeze(cell)
        else:
            self._hot[cell.workflow_id] = cell

    def shed(self, may_go: Callable[[Cell], bool]) -> None:
        """Make cold what is too much, as far as it may go."""
        over = len(self._hot) - self._hot_max
        if over <= 0:
            return
        for cell in list(islice(self._hot.values(), over + _LOOKED_AT_MAX)):
            if over <= 0:
                return
            del self._hot[cell.workflow_id]
            if cell.waiters or not may_go(cell):
                self._hot[cell.workflow_id] = cell
            else:
                self._freeze(cell)
                over -= 1

    def _freeze(self, cell: Cell) -> None:
        assert cell.encoded is not None, "what was never written stays hot"
        cell.close()
        workflow_id = cell.workflow_id
        self._cold[workflow_id] = cell.encoded
        if cell.due_ms:
            self._due_ms[workflow_id] = cell.due_ms
        if cell.pages or cell.page_bytes or cell.stored:
            self._kept[workflow_id] = _Kept(cell.pages, cell.page_bytes, cell.stored)

    def _thaw(self, workflow_id: str) -> Cell:
        cell = self._shown(workflow_id)
        self._forget_cold(workflow_id)
        self._hot[workflow_id] = cell
        return cell

    def _shown(self, workflow_id: str) -> Cell:
        cell = self._hot.get(workflow_id)
        if cell is not None:
            return cell
        cell = Cell(workflow_id, self._cold[workflow_id])
        kept = self._kept.get(workflow_id)
        if kept is not None:
            cell.pages, cell.page_bytes, cell.stored = kept.pages, kept.page_bytes, kept.stored
        elif cell.ended:
            cell.give_pages([])
        cell.due_ms = self._due_ms.get(workflow_id, 0)
        cell.counted = cell.status
        return cell

    def _forget_cold(self, workflow_id: str) -> bool:
        self._due_ms.pop(workflow_id, None)
        self._kept.pop(workflow_id, None)
        return self._cold.pop(workflow_id, None) is not None
