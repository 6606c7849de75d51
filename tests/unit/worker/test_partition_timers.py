"""Timers and deadlines: they fire at their time, in their order, and after a takeover."""

from __future__ import annotations

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, NOW_MS, topics_of
from tests.unit.worker.workflows import approval, sleepy
from weft import workflow
from weft.codec import decode_payload, encode_payload
from weft.records import SignalWorkflow, StartWorkflow
from weft.worker._batch import Batch
from weft.workflow import Context


@workflow.define
async def napping(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "awake"


@workflow.define
async def hurrying(ctx: Context) -> int:
    """A hundred timers that are due at once."""
    for _ in range(100):
        await ctx.sleep(0)
    return 100


@workflow.define
async def impatient(ctx: Context) -> str:
    try:
        return str(await ctx.receive_signal("approval", timeout=60))
    except TimeoutError:
        return "too late"


@pytest.mark.requirement("R1-10", "R2-11", "R2-26")
def test_timer_fires_at_its_time_and_not_before(serve: Serve) -> None:
    served = serve(sleepy)
    served.start("sleepy")
    assert served.head().next_due_ms == NOW_MS + 60_000
    assert served.partition.next_due_ms() == NOW_MS + 60_000
    assert topics_of(served.advance(59_999)) == []
    batch = served.advance(1)
    assert topics_of(batch) == ["state"]
    assert (batch.next_offsets, batch.partitions) == ({}, {0})
    assert served.head().next_due_ms == NOW_MS + 120_000
    served.advance(60_000)
    assert served.story() == [
        "WorkflowStarted",
        "TimerStarted",
        "TimerFired",
        "TimerStarted",
        "TimerFired",
        "WorkflowCompleted",
    ]
    assert served.partition.next_due_ms() == 0


@pytest.mark.requirement("R2-1", "R2-2")
def test_timer_fires_after_a_takeover_when_its_time_had_passed_without_an_owner(
    serve: Serve,
) -> None:
    served = serve(sleepy)
    served.start("sleepy")
    served.now_ms += 3 * 24 * 3600 * 1000
    served.take_over()
    assert served.story()[-2:] == ["TimerFired", "TimerStarted"]
    served.take_over()
    served.advance(60_000)
    assert served.head().status == "completed"


def test_timers_fire_in_the_order_of_their_times(serve: Serve) -> None:
    served = serve(napping)
    for number, seconds in enumerate((5, 3, 9, 1)):
        served.start("napping", seconds, key=f"order-{number}")
    served.advance(60_000)
    ends = [
        key
        for _, _, key, value, _ in served.written[NAMESPACE.events]
        if b"completed" in (value or b"")
    ]
    assert ends == [b"order-3", b"order-1", b"order-0", b"order-2"]


def test_all_that_is_due_happens_in_one_turn(serve: Serve) -> None:
    served = serve(hurrying)
    batch = served.start("hurrying")
    assert sorted(topics_of(batch)) == ["events", "events", "state", "state"], "a page and the head"
    assert decode_payload(served.history()[-1].result) == 100  # type: ignore[attr-defined]


def test_no_more_than_the_given_number_happens_in_one_turn(serve_live: Serve) -> None:
    served = serve_live(hurrying)
    partition, batch = served.partition, Batch(NAMESPACE)
    request = StartWorkflow("hurrying", "request-1")
    partition.handle(served.signals(request), batch, NOW_MS)
    assert partition.fire_due(batch, NOW_MS, 30) == 30
    assert partition.next_due_ms() == NOW_MS
    assert partition.fire_due(batch, NOW_MS, 1000) == 70
    assert partition.next_due_ms() == 0


def test_signal_of_the_same_batch_comes_before_a_timer_that_is_due(serve: Serve) -> None:
    """Records first, then the clock: a signal that was there in time is not late because of a slow owner."""
    served = serve(impatient)
    served.start("impatient")
    served.now_ms += 60_000
    served.turn(served.signals(SignalWorkflow("approval", encode_payload("yes"))))
    assert decode_payload(served.history()[-1].result) == "yes"  # type: ignore[attr-defined]


def test_cancelled_timer_does_not_fire(serve: Serve) -> None:
    served = serve(impatient)
    served.start("impatient")
    served.signal("approval", "yes")
    assert topics_of(served.advance(3_600_000)) == []
    assert served.partition.next_due_ms() == 0


@pytest.mark.requirement("R2-33")
def test_run_times_out_at_its_deadline(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval", timeout_ms=5000)
    assert topics_of(served.advance(4999)) == []
    served.advance(1)
    assert served.head().status == "timed_out"
    assert served.lifecycle == ["started", "timed_out"]


def test_timers_of_a_purged_workflow_are_forgotten(serve: Serve) -> None:
    served = serve(sleepy)
    served.start("sleepy")
    served.terminate()
    served.purge()
    assert served.partition.next_due_ms() == 0
    assert topics_of(served.advance(3_600_000)) == []


def test_timers_of_a_replaced_run_are_forgotten(serve: Serve) -> None:
    served = serve(sleepy, approval)
    served.start("sleepy")
    served.start("approval", request_id="request-2", on_conflict="terminate_existing")
    assert topics_of(served.advance(3_600_000)) == []
    assert served.head().status == "running"


def test_many_runs_keep_their_own_times(serve_live: Serve) -> None:
    served = serve_live(napping, checked=False)
    for number in range(200):
        served.start("napping", (number * 37) % 200 + 1, key=f"order-{number}")
    for second in range(1, 201):
        served.advance(1000)
        assert served.partition.statuses["completed"] == second
