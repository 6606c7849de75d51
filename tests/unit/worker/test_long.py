"""Histories that grow: what is told of them, and that nothing else grows with them."""

from __future__ import annotations

import logging
import tracemalloc
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import ORDER, Served
from tests.unit.worker.workflows import collecting
from weft import activity, workflow
from weft.codec import decode_payload, encode_payload
from weft.records import AttemptCompleted, SignalWorkflow, WorkflowCompleted
from weft.worker import _long
from weft.worker._cell import PAGE_BYTES, PAGE_BYTES_MAX
from weft.workflow import Context

LINE = "x" * 100


@activity.define
async def fill(length: int) -> str:
    return "x" * length


@workflow.define
async def counting(ctx: Context) -> int:
    """How many lines came before the one that is `enough`."""
    count = 0
    while await ctx.receive_signal("line") != "enough":
        count += 1
    return count


@workflow.define
async def gathering(ctx: Context, count: int) -> int:
    length = 0
    for _ in range(count):
        result = await ctx.execute_activity(fill, 800_000)
        length += len(result)
    await ctx.receive_signal("go")
    return length


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is long here after a few turns."""
    monkeypatch.setattr(_long, "EVENTS_MIN", 50)
    monkeypatch.setattr(_long, "BYTES_MIN", 10**9)
    monkeypatch.setattr(_long, "EVENTS_WARN", (200, 400))
    monkeypatch.setattr(_long, "BYTES_WARN", (10**9,))


def grow(served: Served, count: int, text: str = LINE) -> None:
    for _ in range(count // 20):
        signal = SignalWorkflow("line", encode_payload(text))
        served.turn(*(served.signals(signal) for _ in range(20)))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_run_of_50_000_events_costs_no_more_than_its_history(serve_live: Serve) -> None:
    """Heads stay small to the end; whoever takes over reads, replays and goes on in memory of a few histories."""
    served = serve_live(counting, checked=False)
    served.start("counting")
    signal = SignalWorkflow("line", encode_payload(LINE))
    for _ in range(50):
        served.turn(*(served.signals(signal) for _ in range(1000)))
    head = served.head()
    assert head.event_count == 50_001
    history_bytes = served.partition.long.bytes_max
    assert history_bytes > 50_000 * len(LINE)
    records = served.compacted
    assert len(records[ORDER.encode()]) < PAGE_BYTES
    assert max(map(len, records.values())) < PAGE_BYTES_MAX + 1000

    tracemalloc.start()
    served.partition.close()
    served.partition = served.reloaded(compacted=True)
    cold_bytes, _ = tracemalloc.get_traced_memory()
    served.signal("line", "last")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cold_bytes < 3 * history_bytes
    assert peak_bytes < 20 * history_bytes, "events as objects, for as long as the replay takes"
    served.signal("line", "enough")
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(ending.result) == 50_001


def test_many_large_results_leave_every_record_within_its_topic(serve_live: Serve) -> None:
    """100 results of 800 KB: 80 MB of history, of which the head never has more than one."""
    served = serve_live(gathering, checked=False)
    served.start("gathering", 100)
    text = encode_payload("x" * 800_000)
    sizes = []
    for _ in range(100):
        task = served.task
        batch = served.turn(
            served.results(AttemptCompleted(task.run_id, task.activity_id, 1, text))
        )
        sizes += [len(value or b"") for _, _, _, value, _ in batch.writes]
    assert max(sizes) < 2 * 850_000, "a page holds the event that was in the head, and a small one"
    history_bytes = served.partition.long.bytes_max
    assert history_bytes > 79 * 1_000_000

    tracemalloc.start()
    served.partition.close()
    served.partition = served.reloaded(compacted=True)
    served.signal("go")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 * history_bytes
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(ending.result) == 80_000_000


def test_history_that_grows_too_long_is_warned_of_once_per_threshold(
    serve_live: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve_live(collecting, checked=False)
    served.start("collecting")
    grow(served, 180)
    assert warnings(caplog) == []
    grow(served, 200)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"the history of workflow {ORDER}, run {served.head().run_id}, has ")
    assert "201 events of " in warning
    assert "--payload-bytes-max" in warning
    grow(served, 500)
    assert len(warnings(caplog)) == 2
    assert "401 events" in warnings(caplog)[1]


def test_history_of_many_bytes_is_warned_of(
    serve_live: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_long, "BYTES_MIN", 1000)
    monkeypatch.setattr(_long, "BYTES_WARN", (100_000,))
    served = serve_live(collecting, checked=False)
    served.start("collecting")
    grow(served, 40, "x" * 10_000)
    (warning,) = warnings(caplog)
    assert served.partition.long.bytes_max > 400_000
    assert "21 events of 201," in warning


def test_next_owner_knows_long_histories_and_does_not_warn_of_them_again(
    serve_live: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve_live(collecting, checked=False)
    served.start("collecting")
    grow(served, 300)
    longest: tuple[Any, Any] = (served.partition.long.events_max, served.partition.long.bytes_max)
    assert longest[0] == 301
    served.take_over()
    assert (served.partition.long.events_max, served.partition.long.bytes_max) == longest
    grow(served, 40)
    assert len(warnings(caplog)) == 1
    grow(served, 100)
    assert len(warnings(caplog)) == 2


def test_run_that_ends_is_no_longer_counted(serve_live: Serve) -> None:
    served = serve_live(collecting, checked=False)
    served.start("collecting")
    grow(served, 300)
    served.start("collecting", key="short")
    served.signal("enough")
    assert served.head().status == "completed"
    assert (served.partition.long.events_max, served.partition.long.bytes_max) == (0, 0)


def test_next_run_under_the_same_id_is_warned_of_anew(
    serve_live: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve_live(collecting, checked=False)
    for request_id in ("request-1", "request-2"):
        served.start("collecting", request_id=request_id)
        grow(served, 220)
        served.signal("enough")
    assert len(warnings(caplog)) == 2
