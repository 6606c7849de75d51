"""Pages: long histories are sealed, never rewritten, and put together again by whoever reads the state."""

from __future__ import annotations

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, NOW_MS, Served, topics_of
from tests.unit.worker.workflows import at_once, collecting, fan_out
from weft.codec import decode_payload, encode, encode_payload
from weft.log import LogRecord
from weft.records import Claim, SignalWorkflow
from weft.worker._cell import PAGE_BYTES, PAGE_BYTES_MAX, page_key

LINE = "x" * 400


def with_pages(serve: Serve, pages: int, line: str = LINE) -> Served:
    """A run with so many pages, and a few events after them."""
    served = serve(collecting, checked=False)
    served.start("collecting")
    while served.head().page_count < pages:
        served.signal("line", line)
    served.signal("line", "last")
    return served


def test_tail_is_sealed_when_it_outgrows_a_page(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    batch = served.signal("line", LINE)
    while served.head().page_count == 0:
        assert topics_of(batch) == ["state"]
        assert len(bytes(served.head().tail)) <= PAGE_BYTES + 200
        batch = served.signal("line", LINE)
    assert topics_of(batch) == ["state", "state"]
    (_, _, page, value, _), (_, _, head, _, _) = batch.writes
    assert (page, head) == (page_key("order-42", served.head().run_id, 0), b"order-42")
    assert value is not None
    assert PAGE_BYTES - 600 < len(value) < PAGE_BYTES + 600
    assert len(bytes(served.head().tail)) < 600, "the newest event alone stays"


def test_history_is_the_pages_and_the_tail(serve: Serve) -> None:
    served = with_pages(serve, 3)
    served.check_reload()
    history = served.history()
    assert served.story() == ["WorkflowStarted"] + ["SignalReceived"] * (len(history) - 1)
    assert len(history) == served.head().event_count


def test_page_is_written_once_and_never_again(serve: Serve) -> None:
    served = with_pages(serve, 3)
    keys = [key for _, _, key, _, _ in served.written[NAMESPACE.state] if key != b"order-42"]
    run_id = served.head().run_id
    assert keys == [page_key("order-42", run_id, number) for number in range(3)]


def test_step_costs_the_same_when_the_history_is_long(serve: Serve) -> None:
    """What a signal writes does not grow with the pages behind it."""
    served = with_pages(serve, 1)
    early = served.signal("line", "a").writes
    while served.head().page_count < 6:
        served.signal("line", LINE)
    late = served.signal("line", "a").writes
    sizes = [sum(len(value or b"") for _, _, _, value, _ in writes) for writes in (early, late)]
    assert sizes[1] < sizes[0] + PAGE_BYTES


@pytest.mark.requirement("R2-2")
def test_run_goes_on_from_its_pages_when_another_worker_takes_over(serve: Serve) -> None:
    served = with_pages(serve, 3)
    count = served.head().event_count
    served.take_over()
    served.signal("enough")
    result = decode_payload(served.history()[-1].result)  # type: ignore[attr-defined]
    assert result == [LINE] * (count - 2) + ["last"]


def test_one_turn_may_fill_several_pages(serve: Serve) -> None:
    """A fan-out of 10,000 does not make a page that no topic takes."""
    served = serve(fan_out, checked=False)
    served.start("fan_out", 10_000)
    pages = [value for key, value in served.compacted.items() if key.startswith(b"order-42\0")]
    assert len(pages) == served.head().page_count > 1
    assert all(len(page) <= PAGE_BYTES_MAX + 5000 for page in pages)
    assert len(served.history()) == 10_001
    served.check_reload()


def test_event_larger_than_a_page_has_one_for_itself(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    big = "y" * (PAGE_BYTES_MAX + 1)
    served.signal("line", "before")
    served.signal("line", big)
    served.signal("line", "after")
    served.signal("enough")
    result = decode_payload(served.history()[-1].result)  # type: ignore[attr-defined]
    assert result == ["before", big, "after"]


def test_ending_stays_in_the_head_however_large(serve: Serve) -> None:
    """A client that asks is answered from the head alone."""
    served = serve(at_once)
    big = "z" * (2 * PAGE_BYTES_MAX)
    served.start("at_once", big)
    head = served.head()
    assert decode_payload(head.tail)[-1]["result"] == big
    assert served.head().page_count == 1


def test_purge_deletes_every_page(serve: Serve) -> None:
    served = with_pages(serve, 3)
    run_id = served.head().run_id
    served.terminate()
    batch = served.purge()
    keys = {key for _, _, key, _, _ in batch.writes}
    assert keys == {b"order-42", *(page_key("order-42", run_id, number) for number in range(3))}
    assert {value for _, _, _, value, _ in batch.writes} == {None}
    assert served.compacted == {}


@pytest.mark.parametrize("ends", [True, False], ids=["after its end", "while it is open"])
def test_new_run_deletes_the_pages_of_the_former(serve: Serve, ends: bool) -> None:
    served = with_pages(serve, 2)
    if ends:
        served.terminate()
    served.start("collecting", request_id="request-2", on_conflict="terminate_existing")
    assert list(served.compacted) == [b"order-42"]
    served.check_reload()
    served.signal("enough")
    assert decode_payload(served.history()[-1].result) == []  # type: ignore[attr-defined]


def test_tombstones_of_pages_are_understood_when_they_are_read(serve_live: Serve) -> None:
    served = with_pages(serve_live, 2)
    served.terminate()
    served.purge()
    served.start("collecting", request_id="request-2")
    again = served.reloaded(compacted=False)
    assert [cell.page_count for cell in again.cells.values()] == [0]
    again.close()


def test_claims_and_unknown_tombstones_do_not_disturb_the_rebuild(serve_live: Serve) -> None:
    partition = serve_live(collecting).partition
    claim = Claim(0, "weft-orders-a", "a", "nonce-1", NOW_MS)
    topic = NAMESPACE.state
    assert partition.load(LogRecord(topic, 0, 0, b"\0claim", encode(claim))) == claim
    assert partition.load(LogRecord(topic, 0, 1, b"gone", None)) is None
    assert partition.load(LogRecord(topic, 0, 2, page_key("gone", "run-1", 7), None)) is None
    partition.loaded()
    assert partition.cells == {}


def test_signals_of_one_batch_fill_pages_at_its_end(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    records = [served.signals(SignalWorkflow("line", encode_payload(LINE))) for _ in range(200)]
    batch = served.turn(*records)
    assert topics_of(batch) == ["state", "state"]
    assert len(served.history()) == 201
