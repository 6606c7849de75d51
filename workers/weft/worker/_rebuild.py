"""From the records of the state topic to the workflows of a partition."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from weft.codec import MalformedError, decode_head, decode_state
from weft.errors import InvariantViolation
from weft.log import LogRecord
from weft.records import ENDED, Claim, Head, Page, Progress, StateRecord
from weft.topics import Namespace
from weft.worker._cell import Cell
from weft.worker._cells import Cells
from weft.worker._long import LongHistories
from weft.worker._progress import ProgressBook, activity_id_of
from weft.worker._shelf import Brief, Shelf, ShelvedPage, brief_of, shelved
from weft.workflow import Workflows

T = TypeVar("T")


@dataclass
class Rebuilt:
    """What was found of the workflows, beside themselves."""

    statuses: Counter[str] = field(default_factory=Counter)
    """How many there are, by status."""
    clock: list[tuple[int, str]] = field(default_factory=list)
    """A heap of (due time, workflow ID)."""
    blocked: deque[str] = field(default_factory=deque)
    unmatched: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Workflow and version of open runs that this worker's code cannot drive, by workflow ID; where memory is bounded,
    such a run is known once something happens to it."""


class Rebuild:
    """`load` for every record, in order, then `done`."""

    def __init__(
        self,
        namespace: Namespace,
        number: int,
        cells: Cells,
        shelf: Shelf | None,
        progress: ProgressBook,
        long: LongHistories,
        *,
        workflows: Workflows,
    ) -> None:
        self._state = f"{namespace.state}-{number}"
        self._cells = cells
        self._shelf = shelf
        self._progress = progress
        self._long = long
        self._workflows = workflows
        self._pages: dict[str, dict[tuple[str, int], Page]] = {}
        self._shelved_pages: dict[str, dict[tuple[str, int], ShelvedPage]] = {}
        """Instead of the pages, where memory is bounded."""

    def load(self, record: LogRecord) -> Claim | None:
        """Take in one record of the state topic; returns it if it is a claim."""
        key = (record.key or b"").decode()
        workflow_id, _, rest = key.partition("\0")
        if record.value is None:
            self._unload(workflow_id, rest)
            return None
        if not rest:
            if self._shelf is None:
                self._cells.load(workflow_id, record.value)
            else:
                self._cells.load_bounded(workflow_id, record)
            return None
        state: StateRecord = decode_state(record.value)
        if isinstance(state, Page):
            if self._shelf is None:
                self._pages.setdefault(workflow_id, {})[state.run_id, state.number] = state
            else:
                pages = self._shelved_pages.setdefault(workflow_id, {})
                pages[state.run_id, state.number] = shelved(record.offset, state)
        elif isinstance(state, Progress):
            self._progress.load(workflow_id, state)
        elif isinstance(state, Claim):
            return state
        return None

    def done(self) -> Rebuilt:
        """All state is in. Raises InvariantViolation for what cannot be."""
        rebuilt = Rebuilt()
        for workflow_id, encoded in self._cells.cold():
            head = self._checked_head(workflow_id, encoded)
            self._note(workflow_id, head, rebuilt)
            is_known = self._workflows.find(head.workflow, head.version) is not None
            if head.status not in ENDED and not is_known:
                rebuilt.unmatched[workflow_id] = (head.workflow, head.version)
            if head.page_count and self._shelf is None:
                self._give_pages(self._cells[workflow_id], head)
            elif head.page_count:
                self._leave_pages(workflow_id, brief_of(head))
        if self._shelf is not None:
            for workflow_id, brief in self._shelf.briefs():
                self._note(workflow_id, brief, rebuilt)
                if brief.page_count:
                    self._leave_pages(workflow_id, brief)
        heapq.heapify(rebuilt.clock)
        self._pages, self._shelved_pages = {}, {}
        return rebuilt

    def _note(self, workflow_id: str, head: Head | Brief, rebuilt: Rebuilt) -> None:
        rebuilt.statuses[head.status] += 1
        if head.status not in ENDED and head.next_due_ms:
            self._cells.set_due(workflow_id, head.next_due_ms)
            rebuilt.clock.append((head.next_due_ms, workflow_id))
        if head.status == "blocked":
            rebuilt.blocked.append(workflow_id)
        if self._shelf is not None and head.status in ENDED:
            self._cells.note_ended(workflow_id)

    def _checked_head(self, workflow_id: str, encoded: bytes) -> Head:
        try:
            return decode_head(encoded)
        except MalformedError as error:
            raise InvariantViolation(
                f"The head of workflow {workflow_id!r} on {self._state} cannot be read: "
                f"{error}. The partition is not served. Only Weft's workers may write to that topic: look who else did."
            ) from error

    def _give_pages(self, cell: Cell, head: Head) -> None:
        cell.give_pages(self._of_the_run(cell.workflow_id, head, self._pages))
        if cell.ended:
            self._cells.used(cell)
        else:
            self._long.found(cell.workflow_id, cell.run_id, cell.event_count, cell.history_bytes)

    def _leave_pages(self, workflow_id: str, brief: Brief) -> None:
        """The same where memory is bounded: the pages are read when they are needed."""
        pages = self._of_the_run(workflow_id, brief, self._shelved_pages)
        page_bytes = sum(page.events_bytes for page in pages)
        stored = [key for page in pages for key in page.stored]
        places = [] if brief.status in ENDED else [page.place for page in pages]
        self._cells.leave_pages(workflow_id, places, page_bytes, stored)
        if places:
            history_bytes = page_bytes + brief.tail_bytes
            self._long.found(workflow_id, brief.run_id, brief.event_count, history_bytes)

    def _of_the_run(
        self, workflow_id: str, head: Head | Brief, found: Mapping[str, Mapping[tuple[str, int], T]]
    ) -> list[T]:
        """Its pages, oldest first. Of an ended run some may be missing: nobody reads them any more."""
        pages = found.get(workflow_id, {})
        wanted = [(head.run_id, number) for number in range(head.page_count)]
        missing = [number for run_id, number in wanted if (run_id, number) not in pages]
        if missing and head.status not in ENDED:
            raise InvariantViolation(
                f"Workflow {workflow_id!r}, run {head.run_id}, counts {head.page_count} pages of history; "
                f"{missing} are not on {self._state}. The partition is not served."
            )
        return [pages[page] for page in wanted if page in pages]

    def _unload(self, workflow_id: str, rest: str) -> None:
        run_id, _, number = rest.rpartition("\0")
        if not rest:
            self._cells.unload(workflow_id)
        elif (activity_id := activity_id_of(number)) is not None:
            self._progress.unload(workflow_id, activity_id)
        elif workflow_id in self._pages:
            self._pages[workflow_id].pop((run_id, int(number)), None)
        elif workflow_id in self._shelved_pages:
            self._shelved_pages[workflow_id].pop((run_id, int(number)), None)
