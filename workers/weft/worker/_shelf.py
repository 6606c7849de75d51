"""Where the bodies of a partition's workflows lie on the log, for a worker that may not keep them all in memory.

A body is a head as it is encoded, with the pages of an open run. Whoever drops one notes where it lies and a checksum
of it, so that what is read back is that body, and neither another's nor an older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from weft.codec import (
    MalformedError,
    decode_events,
    decode_head,
    decode_state,
    references_in,
)
from weft.errors import InvariantViolation, LogUnavailableError
from weft.log import LogRecord
from weft.records import STATUSES, STORED_MARK, Head, Page, Payload, Status
from weft.worker._memory import Memory

_CHECKSUM_BITS = 32
_CHECKSUM_MASK = (1 << _CHECKSUM_BITS) - 1


class Brief(NamedTuple):
    """What a partition must know of an open or ended run before it is served. The last four: only with pages."""

    status: Status
    next_due_ms: int
    page_count: int = 0
    run_id: str = ""
    event_count: int = 0
    tail_bytes: int = 0


class ShelvedPage(NamedTuple):
    """A page that stayed on the log."""

    place: int
    events_bytes: int
    stored: Sequence[str]
    """Keys of the payloads in it that lie in the payload store."""


def brief_of(head: Head) -> Brief:
    """Small for most: workflows without pages that wait for nothing in time share one."""
    if head.page_count:
        tail_bytes = len(head.tail)
        return Brief(
            head.status,
            head.next_due_ms,
            head.page_count,
            head.run_id,
            head.event_count,
            tail_bytes,
        )
    if head.next_due_ms:
        return Brief(head.status, head.next_due_ms)
    return _NOT_DUE[head.status]


_NOT_DUE = {status: Brief(status, 0) for status in STATUSES}


def place_of(offset: int, content: bytes | Payload) -> int:
    """An offset, and a checksum of what lies there: one number, since there is one for each workflow."""
    return offset << _CHECKSUM_BITS | crc32(bytes(content))


def shelved(offset: int, page: Page) -> ShelvedPage:
    """A page that is left where it was read."""
    events = bytes(page.events)
    stored = (
        [one.key for event in decode_events(page.events) for one in references_in(event)]
        if STORED_MARK in events
        else ()
    )
    return ShelvedPage(place_of(offset, events), len(events), stored)


class Shelf:
    """Of one partition. A workflow is in `absent`, or its body is in memory."""

    def __init__(self, topic: str, number: int, memory: Memory) -> None:
        self.memory = memory
        self.kept_bytes = 0
        """Its part of the memory's."""
        self.absent: dict[str, int] = {}
        """Place of the head, by workflow."""
        self.number = number
        self._topic = topic
        self._absent_pages: dict[str, Sequence[int]] = {}
        """Places of the pages of an open run, oldest first."""
        self._offsets: dict[str, int] = {}
        """Of heads in memory. Unknown ones are missing: those stay in memory."""
        self._page_offsets: dict[str, dict[int, int]] = {}
        self._briefs: dict[str, Brief] = {}

    def charge(self, size_bytes: int) -> None:
        """So much more is kept in memory, or less."""
        self.kept_bytes += size_bytes
        self.memory.kept_bytes += size_bytes

    # Where things lie.

    def note(self, workflow_id: str, offset: int) -> None:
        """The head that is in memory lies there."""
        self._offsets[workflow_id] = offset

    def note_page(self, workflow_id: str, number: int, offset: int) -> None:
        self._page_offsets.setdefault(workflow_id, {})[number] = offset

    def rewritten(self, workflow_id: str) -> None:
        """The head in memory is a new one: nobody knows yet where it will lie."""
        self._offsets.pop(workflow_id, None)

    def forget_pages(self, workflow_id: str) -> None:
        self._page_offsets.pop(workflow_id, None)

    def forget(self, workflow_id: str) -> None:
        """It is gone, or has a new run."""
        self._briefs.pop(workflow_id, None)
        self.absent.pop(workflow_id, None)
        self._absent_pages.pop(workflow_id, None)
        self._offsets.pop(workflow_id, None)
        self.forget_pages(workflow_id)

    def clear(self) -> None:
        self.charge(-self.kept_bytes)
        for part in (
            self.absent,
            self._absent_pages,
            self._offsets,
            self._page_offsets,
            self._briefs,
        ):
            part.clear()

    # While the partition is loaded.

    def shelve(self, workflow_id: str, record: LogRecord) -> bool:
        """Leave a head where it was read; False when it cannot be read, so that it has to be looked at later."""
        assert record.value is not None, "a head"
        try:
            head = decode_head(record.value)
        except MalformedError:
            return False
        self._offsets.pop(workflow_id, None)
        self._briefs[workflow_id] = brief_of(head)
        self.absent[workflow_id] = place_of(record.offset, record.value)
        return True

    def shelve_pages(self, workflow_id: str, places: Sequence[int]) -> None:
        """These are the pages of an absent one."""
        assert workflow_id in self.absent, "only an absent head has absent pages"
        self._absent_pages[workflow_id] = places

    def briefs(self) -> Iterator[tuple[str, Brief]]:
        """(workflow ID, brief) of those that are absent, once."""
        briefs, self._briefs = self._briefs, {}
        yield from briefs.items()

    # Dropping and restoring.

    def drop(self, workflow_id: str, encoded: bytes, pages: Sequence[Page]) -> bool:
        """Let a body go; False when it is not known where all of it lies."""
        offset = self._offsets.get(workflow_id)
        page_offsets = self._page_offsets.get(workflow_id, {})
        if offset is None or not all(page.number in page_offsets for page in pages):
            return False
        if pages:
            self._absent_pages[workflow_id] = [
                place_of(page_offsets[page.number], page.events) for page in pages
            ]
        del self._offsets[workflow_id]
        self.forget_pages(workflow_id)
        self.absent[workflow_id] = place_of(offset, encoded)
        return True

    def offsets(self, workflow_ids: Iterable[str]) -> list[int]:
        """Where to read for these, which are absent."""
        return [
            place >> _CHECKSUM_BITS
            for workflow_id in workflow_ids
            for place in (self.absent[workflow_id], *self._absent_pages.get(workflow_id, ()))
        ]

    def body(self, workflow_id: str, records: Mapping[int, LogRecord]) -> tuple[bytes, list[Page]]:
        """Head and pages of an absent one, from what was read, by offset.

        Raises LogUnavailableError when some of it is not there, and InvariantViolation when something else is.
        """
        place, page_places = self.absent[workflow_id], self._absent_pages.get(workflow_id, ())
        encoded = self._value(records, place, workflow_id.encode())
        self._check(place, encoded, workflow_id)
        return encoded, [
            self._page(records, page_place, workflow_id, number)
            for number, page_place in enumerate(page_places)
        ]

    def restored(self, workflow_id: str) -> None:
        """Its body is in memory again."""
        self._offsets[workflow_id] = self.absent.pop(workflow_id) >> _CHECKSUM_BITS
        page_places = self._absent_pages.pop(workflow_id, ())
        if page_places:
            offsets = [page_place >> _CHECKSUM_BITS for page_place in page_places]
            self._page_offsets[workflow_id] = dict(enumerate(offsets))

    def _page(
        self, records: Mapping[int, LogRecord], place: int, workflow_id: str, number: int
    ) -> Page:
        page = decode_state(self._value(records, place, f"{workflow_id}\0".encode()))
        if not isinstance(page, Page) or page.number != number:
            raise self._other(place, workflow_id)
        self._check(place, page.events, workflow_id)
        return page

    def _value(self, records: Mapping[int, LogRecord], place: int, key: bytes) -> bytes:
        """What was read at this place, under a key that is this one, or begins so if it ends with a null character."""
        record = records.get(place >> _CHECKSUM_BITS)
        if record is None:
            raise LogUnavailableError(
                f"{self._topic}-{self.number}@{place >> _CHECKSUM_BITS} is not on the log any more, where state of "
                "workflows was left. Another worker may own the partition by now; it is read anew."
            )
        found = record.key or b""
        is_meant = found.startswith(key) if key.endswith(b"\0") else found == key
        if record.value is None or not is_meant:
            raise self._other(place, key.decode())
        return record.value

    def _check(self, place: int, content: bytes | Payload, workflow_id: str) -> None:
        if crc32(bytes(content)) != place & _CHECKSUM_MASK:
            raise self._other(place, workflow_id)

    def _other(self, place: int, workflow_id: str) -> InvariantViolation:
        return InvariantViolation(
            f"{self._topic}-{self.number}@{place >> _CHECKSUM_BITS} is not the state of workflow {workflow_id!r} that "
            "was left there. The partition is not served. Only Weft's workers may write to that topic, and nobody "
            "may make it anew while they run."
        )
