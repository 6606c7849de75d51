"""One workflow on an owned partition: cold as its head's bytes, hot with its run and its code.

A cell is memory, never the truth: it is made from the log and dropped when a commit fails. Events stay encoded; a
head is its few fields joined with the encoded tail, and a tail that has grown past a page is sealed as immutable page
records, so that a step costs the same at event 10 and at event 100,000.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from weft.codec import (
    decode_events,
    decode_head,
    decode_payload,
    encode,
    join_events,
    references_in,
    stored_field,
)
from weft.core import Run, apply, next_due_ms
from weft.errors import RecordTooLargeError
from weft.records import (
    ENDED,
    NULL,
    REFERENCE_BYTES_MIN,
    STORED_MARK,
    Caller,
    Event,
    Head,
    HistoryEvent,
    Page,
    Payload,
    RecordDeferred,
    ReplyTo,
    Status,
)
from weft.worker._bounds import EVENT_BYTES_MAX
from weft.workflow import Machine

PAGE_BYTES = 16 * 1024
"""A tail longer than this is sealed."""
PAGE_BYTES_MAX = 256 * 1024
"""What a single page holds at most, unless one event alone is larger."""
_LOOK_AT_ONCE_MS = 1
"""`next_due_ms` of a run whose inline activities must be run again after a takeover."""


def page_key(workflow_id: str, run_id: str, number: int) -> bytes:
    """A page lies beside its head, under a key that no workflow ID can be."""
    return f"{workflow_id}\0{run_id}\0{number}".encode()


class Cell:
    """`encoded` is its head as it was last written, None before the first; `run` and `machine` are None while cold."""

    __slots__ = (
        "_head",
        "counted",
        "custom_status",
        "due_ms",
        "encoded",
        "kept_bytes",
        "key",
        "largest_bytes",
        "machine",
        "page_bytes",
        "page_count",
        "pages",
        "planned_bytes",
        "run",
        "sealed",
        "stored",
        "tail",
        "tail_bytes",
        "waiters",
        "workflow_id",
    )

    def __init__(self, workflow_id: str, encoded: bytes | None = None) -> None:
        self.workflow_id = workflow_id
        self.key = workflow_id.encode()
        self.encoded = encoded
        self._head: Head | None = None
        """Decoded, once it was asked for."""
        head = self.head
        # A copy: what a decoded head gives is a view that keeps all of the head's bytes alive.
        self.custom_status = (
            Payload(bytes(head.custom_status)) if head and head.custom_status != NULL else NULL
        )
        """What the code last said of itself: in a step that was taken, not in one that broke."""
        self.run: Run | None = None
        self.machine: Machine | None = None
        self.tail: list[bytes] = []
        self.tail_bytes = 0
        self.planned_bytes = 0
        """With how much this cell is counted in the present batch."""
        self.pages: list[Page] = []
        """The sealed history of an open run, oldest first."""
        self.page_bytes = 0
        """Of the events in pages."""
        self.largest_bytes = 0
        """Of the largest event that was ever more than a page should have."""
        self.stored: dict[str, None] = {}
        """Keys of the payloads of this run that lie in the payload store, once they were looked for."""
        self.page_count = head.page_count if head else 0
        self.sealed = self.page_count
        """How many pages are on the log already."""
        self.due_ms = 0
        """When the partition's clock has this cell next; 0 is never."""
        self.waiters: dict[str, ReplyTo] = {}
        """Clients that wait for the end, by request."""
        self.kept_bytes = 0
        """With how much this cell is counted where memory is bounded."""
        self.counted: Status | None = None
        """The status under which the partition counts this workflow."""

    @property
    def head(self) -> Head | None:
        """As it was last written."""
        if self._head is None and self.encoded is not None:
            self._head = decode_head(self.encoded)
        return self._head

    @property
    def status(self) -> Status:
        if self.run is not None:
            return self.run.status
        return self.head.status if self.head else "running"

    @property
    def run_id(self) -> str:
        if self.run is not None:
            return self.run.run_id
        return self.head.run_id if self.head else ""

    @property
    def request_id(self) -> str:
        if self.run is not None:
            return self.run.request_id
        return self.head.request_id if self.head else ""

    @property
    def parent(self) -> Caller | None:
        """Of a child: the run that started it."""
        if self.run is not None:
            return self.run.parent
        return self.head.parent if self.head else None

    @property
    def version(self) -> str:
        """Of its code."""
        if self.run is not None:
            return self.run.version
        return self.head.version if self.head else ""

    @property
    def reason(self) -> str:
        """Why it is blocked, or was cancelled or terminated."""
        if self.run is not None:
            return self.run.reason
        return self.head.reason if self.head else ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def event_count(self) -> int:
        if self.run is not None:
            return self.run.last_event_id
        return self.head.event_count if self.head else 0

    @property
    def history_bytes(self) -> int:
        """How long the history is, encoded."""
        if self.tail:
            return self.page_bytes + self.tail_bytes + len(self.tail) + 1  # brackets and commas
        return self.page_bytes + (len(self.head.tail) if self.head else 0)

    def give_pages(self, pages: list[Page]) -> None:
        """The sealed history, as it was read from the log. Of an ended run only what a purge needs is kept."""
        self.page_bytes = sum(len(page.events) for page in pages)
        if not self.ended:
            self.pages = pages
            return
        assert self.head is not None, "only what has a head has ended"
        for encoded in (*(page.events for page in pages), self.head.tail):
            self._note_stored(encoded)

    def new_run(self) -> Run:
        """Forget the former run, which has ended, and stand ready for the events of the next."""
        self.close()
        self.encoded = self._head = None
        self.run = Run(self.workflow_id)
        self.tail, self.tail_bytes = [], 0
        self.pages, self.page_count, self.sealed = [], 0, 0
        self.page_bytes, self.stored = 0, {}
        self.custom_status = NULL
        self.due_ms = 0
        return self.run

    def warm(self) -> Run:
        """The run, rebuilt from the head and its pages when the cell is cold."""
        if self.run is None:
            run = Run(self.workflow_id)
            for event in self.history():
                apply(run, event)
            self.tail = self._split_tail()
            self.tail_bytes = sum(map(len, self.tail))
            self.run = run
            for encoded in (*(page.events for page in self.pages), join_events(self.tail)):
                self._note_stored(encoded)
        return self.run

    def sealed_keys(self) -> list[bytes]:
        """Of the pages that are on the log."""
        return [page_key(self.workflow_id, self.run_id, number) for number in range(self.sealed)]

    def close(self) -> None:
        """Drop the code and, of a run that has ended, all but its head."""
        if self.machine is not None:
            self.machine.close()
            self.machine = None
        if self.ended:
            self.run = None
            self.tail, self.tail_bytes, self.pages = [], 0, []

    def append(self, event: HistoryEvent) -> None:
        """Add an event to the history and fold it into the run.

        Raises RecordTooLargeError for one that no head could carry; nothing was appended then.
        """
        assert self.run is not None, "events are appended to a warm cell only"
        data = encode(event)
        if len(data) >= REFERENCE_BYTES_MIN:
            self._look_at(event, len(data))
        self.tail.append(data)
        self.tail_bytes += len(data)
        apply(self.run, event)

    def _look_at(self, event: HistoryEvent, size_bytes: int) -> None:
        """What only events of some length can be: too large, or one with a payload in the store."""
        if size_bytes > EVENT_BYTES_MAX:
            raise RecordTooLargeError(
                f"The event {type(event).__name__} of {size_bytes:,} bytes is too large for a history; "
                f"{EVENT_BYTES_MAX:,} is the most."
            )
        if type(event) is RecordDeferred or stored_field(event):
            self._note_references(event)

    def rewind(self, tail_length: int) -> None:
        """Take back the events of a turn that broke: those after the first `tail_length` of the tail."""
        self.tail = self.tail[:tail_length]
        self.tail_bytes = sum(map(len, self.tail))
        run = Run(self.workflow_id)
        for event in self._events(self.pages, self.tail):
            apply(run, event)
        self.run = run

    def history(self) -> list[Event]:
        """Every event of the run, decoded."""
        if self.run is not None:
            return list(self._events(self.pages, self.tail))
        return list(self._events(self.pages, self._split_tail()))

    def history_after(self, event_id: int) -> list[Event]:
        """The events after this one; of a warm cell only what they lie in is decoded."""
        if self.run is None:
            return self.history()[event_id:]
        return list(self._events_after(event_id))

    def _events_after(self, event_id: int) -> Iterator[Event]:
        assert self.run is not None, "of a warm cell"
        tail_event_id = self.run.last_event_id - len(self.tail)
        if event_id >= tail_event_id:
            return self._events([], self.tail[event_id - tail_event_id :])
        first = bisect_right(self.pages, event_id + 1, key=lambda page: page.first_event_id) - 1
        skipped = event_id + 1 - self.pages[first].first_event_id
        return islice(self._events(self.pages[first:], self.tail), skipped, None)

    def event(self, event_id: int) -> Event:
        """One event of a warm cell; only what it lies in is decoded."""
        return next(self._events_after(event_id - 1))

    def last_event(self) -> Event:
        """The newest event: of an ended run, its ending. It is never sealed away."""
        tail = self.tail or self._split_tail()
        return decode_events(join_events(tail[-1:]))[0]

    def seal(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the pages that this turn completed. The last event always stays in the tail."""
        if self.tail_bytes > PAGE_BYTES:
            self._seal_tail()
        for page in self.pages[self.sealed :]:
            yield page_key(self.workflow_id, page.run_id, page.number), encode(page)
        self.sealed = self.page_count

    def encode_head(self) -> bytes:
        """The head as it stands now; kept as the cold form."""
        run = self.run
        assert run is not None, "a head is made from a warm cell"
        # What runs somewhere is watched from the moment when a new owner serves.
        must_look = run.has_open_inline or run.leased_count
        due_ms = _LOOK_AT_ONCE_MS if must_look else next_due_ms(run)
        head = Head(
            run_id=run.run_id,
            workflow=run.workflow,
            status=run.status,
            created_ms=run.created_ms,
            updated_ms=run.updated_ms,
            event_count=run.last_event_id,
            version=run.version,
            request_id=run.request_id,
            parent=run.parent,
            page_count=self.page_count,
            next_due_ms=due_ms,
            reason=run.reason,
            custom_status=self.custom_status,
            tail=join_events(self.tail),
        )
        self._head = None
        self.encoded = encode(head)
        return self.encoded

    def _seal_tail(self) -> None:
        assert self.run is not None, "only a warm cell has a tail to seal"
        self.largest_bytes = max(self.largest_bytes, *map(len, self.tail))
        first_event_id = self.run.last_event_id - len(self.tail) + 1
        chunk: list[bytes] = []
        chunk_bytes = 0
        for event in self.tail[:-1]:
            if chunk and chunk_bytes + len(event) > PAGE_BYTES_MAX:
                self._add_page(first_event_id, chunk)
                first_event_id += len(chunk)
                chunk, chunk_bytes = [], 0
            chunk.append(event)
            chunk_bytes += len(event)
        if chunk:
            self._add_page(first_event_id, chunk)
        self.tail = self.tail[-1:]
        self.tail_bytes = sum(map(len, self.tail))

    def _add_page(self, first_event_id: int, events: list[bytes]) -> None:
        page = Page(self.run_id, self.page_count, first_event_id, join_events(events))
        self.page_bytes += len(page.events)
        self.pages.append(page)
        self.page_count += 1

    def _note_stored(self, events: Payload) -> None:
        if STORED_MARK in bytes(events):
            for event in decode_events(events):
                self._note_references(event)

    def _note_references(self, event: HistoryEvent) -> None:
        for stored in references_in(event):
            self.stored[stored.key] = None

    def _split_tail(self) -> list[bytes]:
        if self.head is None:
            return []
        return [bytes(event) for event in decode_payload(self.head.tail, list[Payload])]

    @staticmethod
    def _events(pages: list[Page], tail: list[bytes]) -> Iterator[Event]:
        for page in pages:
            yield from decode_events(page.events)
        if tail:
            yield from decode_events(join_events(tail))
