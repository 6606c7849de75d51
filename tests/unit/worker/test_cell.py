"""A cell: one workflow's memory, cold or hot, and what it gives to the log."""

from __future__ import annotations

import pytest

from weft.codec import decode_events, decode_state, encode, encode_payload, join_events
from weft.core import rebuild
from weft.records import (
    Head,
    HistoryEvent,
    Page,
    Payload,
    RecordDeferred,
    SignalReceived,
    TimerStarted,
    WorkflowCompleted,
    WorkflowStarted,
)
from weft.worker._cell import PAGE_BYTES, Cell, page_key

NOW_MS = 1_700_000_000_000
STARTED = WorkflowStarted(1, NOW_MS, "run-1", "fulfil", "2", request_id="request-1")


def signal(event_id: int, text: str = "") -> SignalReceived:
    return SignalReceived(event_id, NOW_MS + event_id, "line", encode_payload(text))


def cell_with(*events: HistoryEvent) -> Cell:
    cell = Cell("order-42")
    cell.new_run()
    for event in events:
        cell.append(event)
    return cell


def stored(cell: Cell) -> dict[bytes, bytes]:
    """What one flush of the cell writes."""
    written = dict(cell.seal())
    written[cell.key] = cell.encode_head()
    return written


def loaded(written: dict[bytes, bytes]) -> Cell:
    """A cell from what was written, as a partition makes it."""
    head = decode_state(written[b"order-42"])
    assert isinstance(head, Head)
    cell = Cell("order-42", written[b"order-42"])
    for number in range(head.page_count):
        page = decode_state(written[page_key("order-42", head.run_id, number)])
        assert isinstance(page, Page)
        cell.pages.append(page)
    return cell


def test_head_is_made_of_the_run_and_the_encoded_tail() -> None:
    events = [STARTED, TimerStarted(2, NOW_MS + 2, 1, NOW_MS + 500), signal(3)]
    head = decode_state(cell_with(*events).encode_head())
    assert head == Head(
        run_id="run-1",
        workflow="fulfil",
        status="running",
        created_ms=NOW_MS,
        updated_ms=NOW_MS + 3,
        event_count=3,
        version="2",
        request_id="request-1",
        next_due_ms=NOW_MS + 500,
        tail=join_events([encode(event) for event in events]),
    )


def test_cold_cell_knows_what_its_head_says() -> None:
    cell = loaded(stored(cell_with(STARTED, signal(2))))
    assert (cell.status, cell.run_id, cell.request_id, cell.ended) == (
        "running",
        "run-1",
        "request-1",
        False,
    )
    assert cell.run is None
    assert cell.history() == [STARTED, signal(2)]
    assert cell.last_event() == signal(2)
    assert cell.run is None, "looking does not warm it"


def test_warm_cell_goes_on_where_the_log_ends() -> None:
    cell = loaded(stored(cell_with(STARTED, signal(2))))
    assert cell.warm() == rebuild("order-42", [STARTED, signal(2)])
    assert cell.warm() is cell.warm()
    cell.append(signal(3))
    assert cell.history() == [STARTED, signal(2), signal(3)]
    assert decode_state(cell.encode_head()).event_count == 3


def test_pages_are_given_once_and_the_last_event_stays_in_the_tail() -> None:
    events = [STARTED, *(signal(number, "x" * 1000) for number in range(2, 22))]
    cell = cell_with(*events)
    written = stored(cell)
    assert list(written) == [page_key("order-42", "run-1", 0), b"order-42"]
    page = decode_state(written[page_key("order-42", "run-1", 0)])
    assert isinstance(page, Page)
    assert (page.run_id, page.number, page.first_event_id) == ("run-1", 0, 1)
    assert decode_events(page.events) == events[:-1]
    assert list(cell.seal()) == []
    assert cell.history() == events
    assert loaded(written).history() == events
    assert loaded(written).last_event() == events[-1]


def test_page_is_not_sealed_before_the_tail_outgrows_it() -> None:
    cell = cell_with(STARTED)
    event_id = 1
    while cell.tail_bytes <= PAGE_BYTES:
        assert list(cell.seal()) == []
        event_id += 1
        cell.append(signal(event_id, "x" * 100))
    assert len(list(cell.seal())) == 1
    assert len(cell.tail) == 1


def test_pages_are_numbered_on_after_a_reload() -> None:
    cell = cell_with(STARTED, *(signal(number, "x" * 1000) for number in range(2, 22)))
    again = loaded(stored(cell))
    again.warm()
    for number in range(22, 42):
        again.append(signal(number, "x" * 1000))
    ((key, value),) = again.seal()
    page = decode_state(value)
    assert isinstance(page, Page)
    assert (key, page.first_event_id) == (page_key("order-42", "run-1", 1), 21)
    assert len(again.history()) == 41


@pytest.mark.parametrize("sealed", [False, True])
def test_rewind_takes_the_events_of_a_turn_back(sealed: bool) -> None:
    text = "x" * 1000 if sealed else ""
    events = [STARTED, *(signal(number, text) for number in range(2, 32))]
    cell = cell_with(*events)
    stored(cell)
    mark, tail_bytes = len(cell.tail), cell.tail_bytes
    cell.append(TimerStarted(32, NOW_MS, 1, NOW_MS))
    cell.append(WorkflowCompleted(33, NOW_MS))
    cell.rewind(mark)
    assert cell.history() == events
    assert cell.run == rebuild("order-42", events)
    assert cell.tail_bytes == tail_bytes
    cell.append(signal(32))


def test_ended_run_leaves_memory_and_keeps_its_ending() -> None:
    cell = cell_with(STARTED, WorkflowCompleted(2, NOW_MS, encode_payload("done")))
    cell.encode_head()
    cell.close()
    assert (cell.run, cell.machine, cell.tail) == (None, None, [])
    assert (cell.status, cell.ended, cell.run_id) == ("completed", True, "run-1")
    assert cell.last_event() == WorkflowCompleted(2, NOW_MS, encode_payload("done"))


def test_open_run_keeps_its_history_when_only_its_code_is_dropped() -> None:
    cell = cell_with(STARTED, signal(2))
    cell.close()
    assert cell.machine is None
    assert cell.history() == [STARTED, signal(2)]


def test_new_run_begins_with_nothing_of_the_old_one() -> None:
    cell = cell_with(STARTED, *(signal(number, "x" * 1000) for number in range(2, 22)))
    cell.append(WorkflowCompleted(22, NOW_MS))
    stored(cell)
    cell.new_run()
    cell.append(WorkflowStarted(1, NOW_MS, "run-2", "fulfil"))
    assert list(stored(cell)) == [b"order-42"]
    assert (cell.run_id, cell.page_count, len(cell.history())) == ("run-2", 0, 1)


def test_page_keys_are_no_workflow_ids() -> None:
    assert page_key("order-42", "run-1", 7) == b"order-42\0run-1\x007"


def test_kept_records_survive_as_they_came() -> None:
    kept = RecordDeferred(2, NOW_MS, "signals", Payload(b'{"kind":"signal","signal":"a"}'))
    again = loaded(stored(cell_with(STARTED, kept)))
    assert again.warm().deferred == [kept]


def test_history_after_any_event_is_the_rest_of_it() -> None:
    events = [STARTED, *(signal(number, "x" * 1000) for number in range(2, 62))]
    cell = cell_with(STARTED)
    for event in events[1:]:
        cell.append(event)
        if cell.tail_bytes > PAGE_BYTES:
            assert list(cell.seal())
    assert len(cell.pages) > 2
    cold = loaded(
        {page_key("order-42", "run-1", n): encode(page) for n, page in enumerate(cell.pages)}
        | {b"order-42": cell.encode_head()}
    )
    for event_id in range(len(events) + 1):
        assert cell.history_after(event_id) == events[event_id:]
        assert cold.history_after(event_id) == events[event_id:]
