"""Resets: a next run goes on from an event of the history, and nothing that still counts is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import ORDER, Served, accepted_reply, replies_of
from tests.unit.worker.test_partition_blocked import inline_waiting
from tests.unit.worker.workflows import charge, collecting, fulfil, ship, sleepy
from weft import workflow
from weft.codec import decode_payload
from weft.core import rebuild
from weft.records import (
    CancelRequested,
    Reply,
    ResetWorkflow,
    StartWorkflow,
    WorkflowReset,
    WorkflowStarted,
)
from weft.worker._cut import cut
from weft.workflow import ACTIVATIONS, Context

pytestmark = pytest.mark.requirement("R3-9")


def reset(served: Served, to_event: int, reason: str = "", request_id: str = "reset-1") -> Reply:
    request = ResetWorkflow(served.head().run_id, to_event, request_id, reason, accepted_reply())
    (reply,) = replies_of(served.turn(served.signals(request)))
    return reply


def last_result(served: Served) -> Any:
    return decode_payload(served.history()[-1].result)  # type: ignore[attr-defined]


@workflow.define(name="mistaken")
async def mistaken(ctx: Context, cents: int) -> Any:
    paid = await ctx.execute_activity(charge, cents)
    raise ValueError(paid)


@workflow.define(name="mistaken")
async def mended(ctx: Context, cents: int) -> Any:
    paid = await ctx.execute_activity(charge, cents)
    return await ctx.execute_activity(ship, [paid, str(ctx.uuid4())])


@workflow.define
async def waiting(ctx: Context) -> Any:
    """With an activity, a timer and signals that nobody has taken, all open at once."""
    made_up = [str(ctx.uuid4())]
    step = ctx.execute_activity(charge, 1)
    await ctx.receive_signal("go")
    await ctx.sleep(60)
    made_up.append(str(ctx.uuid4()))
    lines = [await ctx.receive_signal("line"), await ctx.receive_signal("line")]
    return [await step, *lines, *made_up]


def test_failed_run_continues_with_mended_code_from_the_result_before_its_mistake(
    serve: Serve,
) -> None:
    served = serve(mistaken)
    served.start("mistaken", 500)
    served.complete(served.task, 501)
    former = served.head()
    assert former.status == "failed"
    served.take_over(mended)
    reply = reset(served, 3, "it threw")
    assert (reply.outcome, reply.status, reply.run_id) == (
        "accepted",
        "running",
        f"{former.run_id}.2",
    )
    assert served.story()[1:] == [
        "ActivityScheduled",
        "WorkflowReset",
        "ActivityCompleted",
        "ActivityScheduled",
    ]
    said = served.history()[2]
    assert isinstance(said, WorkflowReset)
    assert (said.from_run_id, said.to_event, said.reason) == (former.run_id, 3, "it threw")
    assert [task.activity for task in served.tasks()] == ["charge", "ship"], "it is paid once"
    served.complete(served.task, "parcel")
    assert last_result(served) == "parcel"
    assert served.lifecycle == ["started", "failed", "reset", "completed"]
    assert +served.partition.statuses == {"completed": 1}


def test_blocked_run_continues_from_before_what_its_code_no_longer_does(serve: Serve) -> None:
    served = serve(mistaken)
    served.start("mistaken", 500)

    @workflow.define(name="mistaken")
    async def another(ctx: Context, cents: int) -> Any:
        return await ctx.execute_activity(ship, cents)

    served.complete(served.task, 501)
    served.take_over(another)
    reset(served, 1)
    served.take_over(mended)
    served.complete(served.task, "parcel")
    assert served.head().status == "blocked"
    before = served.history()
    reply = reset(served, 3, request_id="reset-2")
    assert reply.outcome == "refused"
    assert "Replay" in reply.reason, "the code does not fit these events"
    assert served.history() == before, "what is refused changes nothing"
    assert reset(served, 1, request_id="reset-3").status == "running"
    assert served.story() == ["WorkflowStarted", "WorkflowReset", "ActivityScheduled"]
    assert [task.activity for task in served.tasks()] == ["charge", "ship", "charge"]
    served.complete(served.task, 7)
    served.complete(served.task, "parcel")
    assert last_result(served) == "parcel"


def test_open_activity_timer_and_untaken_signals_stand_in_the_next_run(serve: Serve) -> None:
    served = serve(waiting)
    served.start("waiting")
    task = served.task
    served.signal("line", 1, id="a")  # event 3, not taken
    served.signal("go")  # event 4, then the timer
    served.advance(1000)
    served.signal("line", 2, id="b")
    served.complete(task, 7)
    assert reset(served, 5).outcome == "accepted"
    again = served.task
    assert (again.run_id, again.activity_id, again.attempt) == (
        served.head().run_id,
        task.activity_id,
        1,
    )
    served.complete(task, 8)
    assert served.head().status == "running"
    served.advance(59_000)
    served.complete(again, 9)
    result = last_result(served)
    assert result[:3] == [9, 1, 2]
    assert len(served.tasks()) == 2


def test_what_the_code_makes_up_is_the_same_before_the_reset_and_new_after_it() -> None:
    served = Served(waiting)
    made = []
    for which in range(2):
        served.start("waiting", request_id=f"r-{which}")
        served.signal("go")
        served.signal("line", 1)
        served.signal("line", 2)
        served.complete(served.task, 0)
        served.advance(60_000)
        made.append(last_result(served)[-2:])
        reset(served, 4, request_id=f"reset-{which}")
        served.advance(60_000)
        served.complete(served.task, 0)
        made.append(last_result(served)[-2:])
        again = served.history()
        served.take_over()
        assert served.history() == again
    assert made[0][0] == made[1][0]
    assert made[0][1] != made[1][1]
    served.close()


def test_inline_activity_is_run_again_by_the_next_run(serve: Serve) -> None:
    served = serve(inline_waiting)
    served.start("inline_waiting")
    assert reset(served, 2).outcome == "accepted"
    served.turn_inline(ORDER, served.completed(served.inline[0], "old"))
    served.turn_inline(ORDER, served.completed(served.inline[-1], 2))
    served.signal("go", 7)
    assert last_result(served) == [2, 7]


def test_reset_is_done_once_for_its_request(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    request = ResetWorkflow(served.head().run_id, 2, "once", "", accepted_reply())
    (first,) = replies_of(served.turn(served.signals(request)))
    (second,) = replies_of(served.turn(served.signals(request)))
    assert (second.outcome, second.run_id) == ("accepted", first.run_id)
    assert served.story().count("WorkflowReset") == 1
    other = ResetWorkflow(request.run_id, 2, "other", "", accepted_reply())
    (reply,) = replies_of(served.turn(served.signals(other)))
    assert reply.outcome == "refused"
    assert "has a newer run" in reply.reason


@pytest.mark.parametrize(
    ("to_event", "reason"),
    [
        (0, "there is no event 0 to go back to: name one of 1 to 6"),
        (7, "name one of 1 to 6"),
        (3, "event 3 (TimerStarted) is in the middle of a step: name event 1, after which"),
        (6, "the run was suspended at event 6: name event 5, before it was"),
    ],
)
def test_reset_is_refused_and_says_what_to_name_when_no_run_can_go_on_from_there(
    to_event: int, reason: str
) -> None:
    @workflow.define(name="two")
    async def two(ctx: Context) -> None:
        step = ctx.execute_activity(charge, 1)
        timer = ctx.sleep(5)
        later = ctx.sleep(6)
        await step
        await timer
        await later

    served = Served(two)
    served.start("two")
    served.signal("noise")
    served.suspend()
    before = served.history()
    reply = reset(served, to_event)
    assert reply.outcome == "refused"
    assert reason in reply.reason
    assert served.history() == before
    served.close()


def test_signals_of_a_suspended_run_are_taken_up_by_the_next_one(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    served.signal("line", 1, id="a")
    served.suspend()
    served.signal("line", 2, id="b")
    served.cancel("no")
    served.signal("line", 2, id="b")
    assert reset(served, 1).status == "running"
    served.signal("enough")
    assert last_result(served) == [1, 2], "a cancellation is not told again"


def test_time_of_a_run_that_timed_out_begins_anew(serve: Serve) -> None:
    served = serve(sleepy)
    served.turn(served.signals(StartWorkflow("sleepy", "r", timeout_ms=60_000)))
    served.advance(60_000)
    assert served.head().status == "timed_out"
    assert reset(served, 2).status == "running"
    served.advance(59_000)
    assert served.head().status == "running"
    served.advance(1_000)
    assert served.head().status == "timed_out"


def test_long_history_of_an_open_run_is_copied_and_of_an_ended_one_refused(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    for number in range(3):
        served.signal("line", "x" * 9_000, id=str(number))
    assert served.head().page_count
    former = served.head().run_id
    assert reset(served, 4).outcome == "accepted"
    assert not any(former.encode() + b"\0" in key for key in served.compacted)
    served.signal("enough")
    assert len(last_result(served)) == 3
    assert "only a short history" in reset(served, 2, request_id="reset-2").reason


def test_cut_knows_all_events_that_wake_code() -> None:
    """Whatever the code may be told can be told again."""
    for kind in ACTIVATIONS - {WorkflowStarted, CancelRequested}:
        assert kind.__name__ in cut.__globals__
    started = WorkflowStarted(1, 1, "run", "two")
    found = cut([started, CancelRequested(2, 2, "why")], 2, run_id="run.2")
    assert [told.source for told in found.again] == ["signals"]
    assert rebuild("", found.kept).last_event_id == 1
