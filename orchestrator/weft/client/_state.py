"""Reading the state topic: what is committed, whether or not a worker is up.

Everything here blocks and is called in a thread. Later records of a key replace earlier ones; tombstones remove.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, NamedTuple, TypeVar

import msgspec

from weft.codec import MalformedError, decode_events, decode_state, references_in
from weft.errors import CorruptRecordError, LogError
from weft.log import FROM_START, Log, LogRecord
from weft.records import NULL, STORED_MARK, Event, Head, Page, Payload, Status

T = TypeVar("T")

_UNDECIDED_S = 3.0
"""What is told to be done shall be seen. The brokers take milliseconds to show it, half a second where they have too
much to do; a dead worker's open transaction must not keep anybody for longer."""
_PAGE_MARK = b"\0"
"""In the keys of pages and claims; in no workflow ID."""


class HeadFields(msgspec.Struct, frozen=True, tag="head", tag_field="kind", gc=False):
    """A head without its history: what lists need, and cheap to read."""

    run_id: str
    workflow: str
    status: Status
    created_ms: int
    updated_ms: int
    event_count: int
    version: str = ""
    reason: str = ""
    custom_status: Payload = NULL
    v: Literal[1] = 1


_decode_fields = msgspec.json.Decoder(HeadFields).decode


def read_fields(
    log: Log, topic: str, partition_count: int, timeout_s: float
) -> dict[str, HeadFields]:
    """All workflows on all partitions, by ID. Raises LogError."""
    found: dict[bytes, HeadFields] = {}
    offsets = {(topic, partition): FROM_START for partition in range(partition_count)}
    with committed_records(log, offsets, timeout_s) as records:
        for record in records:
            key = record.key or b""
            if _PAGE_MARK in key:
                continue
            if record.value is None:
                found.pop(key, None)
            else:
                found[key] = _decoded(record, _decode_fields)
    return {key.decode(): fields for key, fields in found.items()}


def read_heads(
    log: Log,
    topic: str,
    partition: int,
    keys: Collection[bytes],
    timeout_s: float,
    *,
    committed: bool = True,
) -> dict[bytes, Head]:
    """The heads of these workflows of one partition, by key; those that do not exist are absent. Raises LogError.

    With `committed=False` also those that may still be decided for or against, or have been decided against.
    """
    last: dict[bytes, LogRecord] = {}
    with _records(log, {(topic, partition): FROM_START}, timeout_s, committed=committed) as records:
        for record in records:
            if record.key is not None and record.key in keys:
                last[record.key] = record
    return {key: _head(record) for key, record in last.items() if record.value is not None}


def read_history(
    log: Log, topic: str, partition: int, key: bytes, timeout_s: float
) -> tuple[Head, list[Event]] | None:
    """The head of one workflow and all events of its run, oldest first; None when there is none. Raises LogError."""
    pages: dict[bytes, LogRecord] = {}
    last: LogRecord | None = None
    prefix = key + _PAGE_MARK
    with committed_records(log, {(topic, partition): FROM_START}, timeout_s) as records:
        for record in records:
            if record.key == key:
                last = record
            elif record.key is not None and record.key.startswith(prefix):
                pages[record.key] = record
    if last is None or last.value is None:
        return None
    head = _head(last)
    events: list[Event] = []
    for number in range(head.page_count):
        page = pages.get(prefix + f"{head.run_id}\0{number}".encode())
        if page is None or page.value is None:
            raise _incomplete(last, head, f"its page {number} of {head.page_count} is missing")
        events += _page_events(page)
    events += _decoded(last, lambda _value: decode_events(head.tail))
    if len(events) != head.event_count:
        raise _incomplete(last, head, f"it has {len(events)} events, not {head.event_count}")
    return head, events


class Referenced(NamedTuple):
    """What the state refers to: runs by their IDs, stored payloads by their keys."""

    run_ids: set[str]
    keys: set[str]


def read_referenced(log: Log, topic: str, partition_count: int, timeout_s: float) -> Referenced:
    """All runs of all partitions, and the stored payloads in their histories. Raises LogError."""
    run_ids: dict[bytes, str] = {}
    stored: dict[bytes, list[str]] = {}
    offsets = {(topic, partition): FROM_START for partition in range(partition_count)}
    with committed_records(log, offsets, timeout_s) as records:
        for record in records:
            key, value = record.key or b"", record.value
            run_ids.pop(key, None)
            stored.pop(key, None)
            if value is None or key.startswith(_PAGE_MARK):
                continue
            if _PAGE_MARK not in key:
                run_ids[key] = _decoded(record, _decode_fields).run_id
            if STORED_MARK in value:
                stored[key] = _stored_keys(record)
    return Referenced(
        set(run_ids.values()), {key for page_keys in stored.values() for key in page_keys}
    )


def _stored_keys(record: LogRecord) -> list[str]:
    state = _decoded(record, decode_state)
    if isinstance(state, Head):
        events = _decoded(record, lambda _value: decode_events(state.tail))
    elif isinstance(state, Page):
        events = _decoded(record, lambda _value: decode_events(state.events))
    else:
        return []
    return [stored.key for event in events for stored in references_in(event)]


def _head(record: LogRecord) -> Head:
    state = _decoded(record, decode_state)
    if not isinstance(state, Head):
        raise _corrupt(record, f"under a workflow's key is a {type(state).__name__}, not its head")
    return state


def _page_events(record: LogRecord) -> list[Event]:
    state = _decoded(record, decode_state)
    if not isinstance(state, Page):
        raise _corrupt(record, f"under a page's key is a {type(state).__name__}")
    return _decoded(record, lambda _value: decode_events(state.events))


def _decoded(record: LogRecord, decode: Callable[[bytes], T]) -> T:
    assert record.value is not None, "tombstones are not decoded"
    try:
        return decode(record.value)
    except (MalformedError, msgspec.DecodeError) as error:
        raise _corrupt(record, str(error)) from None


def _corrupt(record: LogRecord, why: str) -> CorruptRecordError:
    return CorruptRecordError(record.topic, record.partition, record.offset, why)


def _incomplete(record: LogRecord, head: Head, why: str) -> LogError:
    place = f"{record.topic}-{record.partition}@{record.offset}"
    return LogError(f"The history of run {head.run_id} (head at {place}) is incomplete: {why}.")


def committed_records(
    log: Log, offsets: Mapping[tuple[str, int], int], timeout_s: float
) -> AbstractContextManager[Iterator[LogRecord]]:
    """Everything that is committed on these partitions, and was told to anybody. `timeout_s` bounds the time without
    progress."""
    return _records(log, offsets, timeout_s, committed=True)


@contextmanager
def _records(
    log: Log, offsets: Mapping[tuple[str, int], int], timeout_s: float, *, committed: bool
) -> Iterator[Iterator[LogRecord]]:
    reader = log.reader(committed=committed)
    try:
        yield reader.read_to_end(offsets, timeout_s, undecided_s=_UNDECIDED_S if committed else 0.0)
    finally:
        reader.close()
