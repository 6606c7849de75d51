"""All workflows of a partition: the ones in use as cells, the others as the bytes that their heads have on the log.

A workflow that nothing happens to costs its head's bytes and some two hundred more; a cell in use costs thousands (its
run, its code and all that both hold). So a run that ended is cold at once, and when more than `hot_max` are in use,
those that nothing happened to for longest become cold as well: the next record replays them.

With a shelf, memory is bounded: then bodies of cold ones are dropped, and read back from the log when something happens
to them. First go those of runs that have ended: to them little happens. Then those that have been cold for longest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar, overload

from weft.log import LogRecord
from weft.records import Page
from weft.worker._cell import Cell
from weft.worker._memory import READ_BACK_BYTES_MAX, READ_BACK_MAX
from weft.worker._shelf import Shelf

HOT_MAX = 20_000
"""Workflows of one partition that are kept ready."""
INDEX_BYTES = 200
"""What a workflow takes beside its body, wherever that is."""
HOT_BYTES = 6 * 1024
"""What a cell in use takes beside its history: its run and its code, of ordinary size."""
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

    def __init__(
        self,
        hot_max: int = HOT_MAX,
        shelf: Shelf | None = None,
        may_leave: Callable[[Cell], bool] = lambda _cell: True,
    ) -> None:
        """`may_leave`: whether a cell in use may become cold because memory is short."""
        self._hot_max = hot_max
        self._shelf = shelf
        self._may_leave = may_leave
        self._hot: dict[str, Cell] = {}
        """Those used last come last."""
        self._cold: dict[str, bytes] = {}
        """Those that became cold last come last."""
        self._absent: Mapping[str, int] = shelf.absent if shelf is not None else {}
        self._due_ms: dict[str, int] = {}
        """When the clock has a cold one next, if it has."""
        self._kept: dict[str, _Kept] = {}
        self._ended: dict[str, None] = {}
        """With a shelf: cold ones whose runs have ended."""

    # Rebuilding.

    def load(self, workflow_id: str, head: bytes) -> None:
        """A head as it lies on the log; it is not looked at here."""
        self._cold[workflow_id] = head

    def load_bounded(self, workflow_id: str, record: LogRecord) -> None:
        """The same, with a shelf: left there when memory is full."""
        shelf, head = self._shelf, record.value
        assert shelf is not None, "only with a shelf"
        assert head is not None, "a head"
        if workflow_id not in self:
            shelf.charge(INDEX_BYTES)
        shelf.charge(-len(self._cold.pop(workflow_id, b"")))
        if shelf.memory.is_full and shelf.shelve(workflow_id, record):
            return
        shelf.forget(workflow_id)
        shelf.note(workflow_id, record.offset)
        self._cold[workflow_id] = head
        shelf.charge(len(head))

    def unload(self, workflow_id: str) -> None:
        """A tombstone."""
        if workflow_id in self:
            self._remove(workflow_id)

    def cold(self) -> list[tuple[str, bytes]]:
        """(workflow ID, head) of all that are cold now."""
        return list(self._cold.items())

    def set_due(self, workflow_id: str, due_ms: int) -> None:
        """When the clock has a cold one next."""
        self._due_ms[workflow_id] = due_ms

    def note_ended(self, workflow_id: str) -> None:
        """The run of this cold one has ended: where memory is short, it goes first."""
        if workflow_id in self._cold:
            self._ended[workflow_id] = None

    def leave_pages(
        self, workflow_id: str, places: Sequence[int], page_bytes: int, stored: Iterable[str]
    ) -> None:
        """With a shelf: the pages of this one stay on the log, and so does its head unless it has ended (no places)."""
        assert self._shelf is not None, "only with a shelf"
        self._kept[workflow_id] = _Kept([], page_bytes, dict.fromkeys(stored))
        if not places:
            return
        head = self._cold.pop(workflow_id, None)
        if head is not None:
            self._shelf.drop(workflow_id, head, ())
            self._shelf.charge(-len(head))
        self._shelf.shelve_pages(workflow_id, places)

    # By ID.

    @overload
    def get(self, key: str, /) -> Cell | None: ...
    @overload
    def get(self, key: str, /, default: Cell | T) -> Cell | T: ...
    def get(self, key: str, /, default: object = None) -> object:
        """Raises LogError when its body is absent and cannot be read back."""
        cell = self._hot.get(key)
        if cell is not None:
            return cell
        if key not in self._cold:
            if key not in self._absent:
                return default
            self.read_back((key,))
        return self._thaw(key)

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
        """A new run: whatever is known of a former one is forgotten."""
        if workflow_id in self:
            self._remove(workflow_id)
        self._hot[workflow_id] = cell
        if self._shelf is not None:
            self._shelf.charge(INDEX_BYTES)
            self._weigh(cell)

    def __delitem__(self, workflow_id: str) -> None:
        if workflow_id not in self:
            raise KeyError(workflow_id)
        self._remove(workflow_id)

    def __contains__(self, workflow_id: object) -> bool:
        return workflow_id in self._hot or workflow_id in self._cold or workflow_id in self._absent

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold) + len(self._absent)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._hot, *self._cold, *self._absent])

    def _remove(self, workflow_id: str) -> None:
        cell = self._hot.pop(workflow_id, None)
        if self._shelf is not None:
            self._shelf.charge(-INDEX_BYTES)
            if cell is not None:
                self._shelf.charge(-cell.kept_bytes)
                cell.kept_bytes = 0
            self._shelf.forget(workflow_id)
        self._forget_cold(workflow_id)

    # These show cold ones without making them hot.

    def items(self) -> list[tuple[str, Cell]]:  # type: ignore[override]
        return [(workflow_id, self._shown(workflow_id)) for workflow_id in self]

    def values(self) -> list[Cell]:  # type: ignore[override]
        return [self._shown(workflow_id) for workflow_id in self]

    def hot(self) -> list[Cell]:
        return list(self._hot.values())

    def clear(self) -> None:
        for part in (self._hot, self._cold, self._due_ms, self._kept, self._ended):
            part.clear()
        if self._shelf is not None:
            self._shelf.clear()

    # Cooling.

    def used(self, cell: Cell) -> None:
        """A turn of it has just been written: if it ended it is cold now, else it is the last to become so."""
        del self._hot[cell.workflow_id]
        if self._shelf is not None:
            self._shelf.rewritten(cell.workflow_id)
        if cell.ended:
            self._freeze(cell)
            return
        self._hot[cell.workflow_id] = cell
        if self._shelf is not None:
            self._weigh(cell)

    def shed(self, may_go: Callable[[Cell], bool]) -> None:
        """Make cold what is too much, as far as it may go."""
        over = len(self._hot) - self._hot_max
        if over > 0:
            self._cool(over, may_go)

    def _cool(self, over: int, may_go: Callable[[Cell], bool]) -> None:
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
        if self._shelf is not None:
            self._shelf.charge(self._cold_bytes(workflow_id) - cell.kept_bytes)
            cell.kept_bytes = 0
            if cell.ended:
                self._shelf.forget_pages(workflow_id)
                self._ended[workflow_id] = None

    def _thaw(self, workflow_id: str) -> Cell:
        cell = self._shown(workflow_id)
        self._forget_cold(workflow_id)
        self._hot[workflow_id] = cell
        if self._shelf is not None:
            self._weigh(cell)
        return cell

    def _shown(self, workflow_id: str) -> Cell:
        cell = self._hot.get(workflow_id)
        if cell is not None:
            return cell
        encoded = self._cold.get(workflow_id)
        kept = self._kept.get(workflow_id)
        pages = kept.pages if kept is not None else []
        if encoded is None:
            encoded, pages = self._on_the_log(workflow_id)
        cell = Cell(workflow_id, encoded)
        if cell.ended:
            cell.give_pages([])
        if kept is not None:
            cell.pages, cell.page_bytes = pages, kept.page_bytes
            cell.stored |= kept.stored
        cell.due_ms = self._due_ms.get(workflow_id, 0)
        cell.counted = cell.status
        return cell

    def _forget_cold(self, workflow_id: str) -> None:
        if self._shelf is not None:
            self._shelf.charge(-self._cold_bytes(workflow_id))
        self._due_ms.pop(workflow_id, None)
        self._kept.pop(workflow_id, None)
        self._ended.pop(workflow_id, None)
        self._cold.pop(workflow_id, None)

    # With a shelf.

    @property
    def number(self) -> int:
        """Of the partition."""
        return self._shelf.number if self._shelf is not None else 0

    @property
    def kept_bytes(self) -> int:
        """What these workflows take, by estimate; 0 without a bound, where nobody counts."""
        return self._shelf.kept_bytes if self._shelf is not None else 0

    def read_back(self, workflow_ids: Iterable[str]) -> None:
        """Have the bodies of these in memory, as many as are read together. Raises LogError."""
        if self._shelf is not None and self._absent:
            self._shelf.memory.read_back([(self, workflow_ids)])

    def offsets_of(self, workflow_ids: Iterable[str]) -> tuple[Sequence[str], Sequence[int]]:
        """Those of them that are absent, as many as are read together, and where all of their bodies lie."""
        assert self._shelf is not None, "only with a shelf"
        wanted: dict[str, None] = {}
        size_bytes = 0
        for workflow_id in workflow_ids:
            if workflow_id in self._absent and workflow_id not in wanted:
                kept = self._kept.get(workflow_id)
                size_bytes += kept.page_bytes if kept is not None else 0
                if wanted and (len(wanted) >= READ_BACK_MAX or size_bytes > READ_BACK_BYTES_MAX):
                    break
                wanted[workflow_id] = None
        return list(wanted), self._shelf.offsets(wanted)

    def _on_the_log(self, workflow_id: str) -> tuple[bytes, list[Page]]:
        """Head and pages of an absent one, which stays so."""
        assert self._shelf is not None, "only with a shelf"
        records = self._shelf.memory.read({self.number: self._shelf.offsets((workflow_id,))})
        return self._shelf.body(workflow_id, records[self.number])

    def restore(self, workflow_ids: Sequence[str], records: Mapping[int, LogRecord]) -> None:
        """Their bodies were read: these are cold again."""
        assert self._shelf is not None, "only with a shelf"
        for workflow_id in workflow_ids:
            self._cold[workflow_id], pages = self._shelf.body(workflow_id, records)
            self._shelf.restored(workflow_id)
            if pages:
                self._kept[workflow_id].pages = pages
            self._shelf.charge(self._cold_bytes(workflow_id))

    def drop_bodies(self, size_bytes: int) -> None:
        """Let bodies go, of so many bytes if possible: ended ones, the oldest cold ones, then those of cells in use."""
        assert self._shelf is not None, "only with a shelf"
        enough = self._shelf.kept_bytes - size_bytes
        self._drop_cold(enough)
        while self._hot and self._shelf.kept_bytes > enough:
            before = len(self._hot)
            self._cool(min(before, _LOOKED_AT_MAX), self._may_leave)
            self._drop_cold(enough)
            if len(self._hot) == before:
                return

    def _drop_cold(self, enough: int) -> None:
        self._drop_each(self._ended, enough)
        self._drop_each(self._cold, enough)

    def _drop_each(self, workflow_ids: Iterable[str], enough: int) -> None:
        shelf = self._shelf
        assert shelf is not None, "only with a shelf"
        dropped = []
        for workflow_id in workflow_ids:
            if shelf.kept_bytes <= enough:
                break
            kept, encoded = self._kept.get(workflow_id), self._cold[workflow_id]
            if shelf.drop(workflow_id, encoded, kept.pages if kept is not None else ()):
                dropped.append(workflow_id)
                shelf.charge(-self._cold_bytes(workflow_id))
                if kept is not None:
                    kept.pages = []
        for workflow_id in dropped:
            del self._cold[workflow_id]
            self._ended.pop(workflow_id, None)

    def _cold_bytes(self, workflow_id: str) -> int:
        """Of a body in memory."""
        kept = self._kept.get(workflow_id)
        pages_bytes = sum(len(page.events) for page in kept.pages) if kept is not None else 0
        return len(self._cold.get(workflow_id, b"")) + pages_bytes

    def _weigh(self, cell: Cell) -> None:
        """Count a cell in use with what it takes now."""
        assert self._shelf is not None, "only with a shelf"
        # The history is there as it was read, and again as what the run and the code have made of it.
        size_bytes = HOT_BYTES + 3 * len(cell.encoded or b"") + 2 * cell.page_bytes
        self._shelf.charge(size_bytes - cell.kept_bytes)
        cell.kept_bytes = size_bytes
