"""Runs whose code cannot be driven: they alone stop, keep what comes in, and go on with fitting code."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker import workflows
from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import (
    NOW_MS,
    ORDER,
    Served,
    accepted_reply,
    ended_reply,
    replies_of,
    topics_of,
)
from tests.unit.worker.workflows import (
    approval,
    at_once,
    charge,
    collecting,
    fulfil,
    painting,
    quick,
    ship,
    sleepy,
)
from weft import workflow
from weft.codec import decode_payload, encode_payload
from weft.core import Due, _decide
from weft.records import CancelWorkflow, SignalReceived, SignalWorkflow, TerminateWorkflow
from weft.topics import OUTPUT_BYTES_MAX
from weft.workflow import Context, Workflow, _machine


@workflow.define(name="fulfil", version="2")
async def other_fulfil(ctx: Context, cents: int) -> Any:
    """As a careless deployment has it: it ships before it charges."""
    await ctx.execute_activity(ship, cents)
    return await ctx.execute_activity(charge, cents)


@workflow.define(name="leaving")
async def leaving(ctx: Context) -> Any:
    """Breaks the engine's rules in its second turn."""
    await ctx.receive_signal("go")
    sys.exit(3)


@workflow.define(name="leaving")
async def mended(ctx: Context) -> Any:
    return await ctx.receive_signal("go")


@workflow.define(name="leaving_early")
async def leaving_early(ctx: Context) -> Any:
    sys.exit(4)


@workflow.define(name="leaving_early")
async def mended_early(ctx: Context) -> Any:
    return await ctx.execute_activity(charge, 1)


@workflow.define
async def inline_waiting(ctx: Context) -> Any:
    step = ctx.execute_activity(quick, 1)
    told = await ctx.receive_signal("go")
    return [await step, told]


def line_of(code: Workflow[Any, Any], text: str, file: Path = Path(__file__)) -> str:
    """`file, line 7`: the first line of a workflow's function that holds the text."""
    lines = file.read_text(encoding="utf-8").splitlines()
    first = code.function.__code__.co_firstlineno
    number = next(n for n, line in enumerate(lines, 1) if n >= first and text in line)
    return f"{file}, line {number}"


def last_result(served: Served, key: str = "order-42") -> Any:
    return decode_payload(served.history(key)[-1].result)  # type: ignore[attr-defined]


# Unknown here.


def test_start_of_a_misspelled_workflow_names_the_one_that_is_like_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(at_once)
    served.start("at_onec")
    reason = (
        "This worker has no workflow 'at_onec' (it has: at_once). Was 'at_once' meant? Deploy a worker that has it; "
        "the run continues by itself then."
    )
    assert served.head().reason == reason
    assert f"workflow 'order-42' is blocked: {reason}" in caplog.messages


def test_start_of_an_unknown_workflow_waits_blocked(serve: Serve) -> None:
    served = serve(at_once)
    batch = served.start("approval", reply_to=accepted_reply())
    assert [(reply.outcome, reply.status) for reply in replies_of(batch)] == [
        ("accepted", "blocked")
    ]
    head = served.head()
    assert head.status == "blocked"
    assert head.reason == (
        "This worker has no workflow 'approval' (it has: at_once). Deploy a worker that has it; "
        "the run continues by itself then."
    )
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked"]
    assert served.lifecycle == ["started", "blocked"]
    assert +served.partition.statuses == {"blocked": 1}


def test_start_of_a_workflow_with_an_endless_name_still_fits_its_topic(serve: Serve) -> None:
    """A record of a megabyte may hold anything; what the owner writes for it must not stop the partition."""
    served = serve(at_once)
    served.start("\U000e0001" * 250_000)
    sizes_bytes = [len(value or b"") for _, _, _, value, _ in served.batch.writes]
    assert served.head().status == "blocked"
    assert max(sizes_bytes) < OUTPUT_BYTES_MAX


def test_unknown_workflow_begins_when_a_worker_has_its_code(serve: Serve) -> None:
    served = serve(at_once)
    served.start("fulfil", 500)
    served.now_ms += 5000
    served.take_over(fulfil, at_once)
    assert served.story() == [
        "WorkflowStarted",
        "WorkflowBlocked",
        "WorkflowUnblocked",
        "ActivityScheduled",
    ]
    assert (served.head().status, served.head().reason) == ("running", "")
    served.complete(served.task, 501)
    served.complete(served.task, "parcel-1")
    assert last_result(served) == "parcel-1"


def test_other_runs_go_on_when_one_is_blocked(serve: Serve) -> None:
    served = serve(at_once)
    served.start("fulfil", key="strange")
    served.start("at_once", 1)
    assert (served.head("strange").status, served.head().status) == ("blocked", "completed")


def test_blocked_run_stays_blocked_when_the_next_worker_has_not_its_code_either(
    serve: Serve,
) -> None:
    served = serve(at_once)
    served.start("fulfil", 500)
    served.take_over(approval)
    assert served.head().status == "blocked"
    assert "(it has: approval)" in served.head().reason
    assert topics_of(served.take_over(approval)) == []


# What comes in meanwhile.


def test_records_are_kept_in_order_and_taken_up_when_the_run_goes_on(serve: Serve) -> None:
    served = serve(at_once)
    served.start("collecting")
    batch = served.turn(
        *(served.signals(SignalWorkflow("line", encode_payload(number))) for number in range(3))
    )
    assert topics_of(batch) == ["state"]
    served.signal("line", 3, reply_to=accepted_reply())
    assert [reply.outcome for reply in served.replies] == ["accepted"]
    served.take_over(collecting)
    assert served.story() == [
        "WorkflowStarted",
        "WorkflowBlocked",
        *["RecordDeferred"] * 4,
        "WorkflowUnblocked",
        *["SignalReceived"] * 4,
    ]
    served.signal("enough")
    assert last_result(served) == [0, 1, 2, 3]


def test_signal_ids_are_still_applied_once_when_they_were_kept(serve: Serve) -> None:
    served = serve(at_once)
    served.start("collecting")
    for _ in range(3):
        served.signal("line", "a", id="s-1")
    served.take_over(collecting)
    served.signal("line", "a", id="s-1")
    served.signal("enough")
    assert last_result(served) == ["a"]


def test_kept_records_that_end_the_run_leave_the_later_ones_without_effect(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval")
    served.signal("approval", "yes")
    served.signal("approval", "again")
    served.take_over(approval)
    assert last_result(served) == "yes"
    assert served.story()[-1] == "WorkflowCompleted"


def test_cancellation_is_kept_and_termination_is_not(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval", key="a")
    served.start("approval", key="b")
    served.turn(
        served.signals(CancelWorkflow("left"), "a"), served.signals(TerminateWorkflow("stop"), "b")
    )
    assert (served.head("a").status, served.head("b").status) == ("blocked", "terminated")
    served.take_over(approval)
    assert (served.head("a").status, served.head("a").reason) == ("cancelled", "left")


def test_blocked_run_times_out(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval", timeout_ms=500)
    served.advance(499)
    assert served.head().status == "blocked"
    served.advance(1)
    assert (served.head().status, served.story()[-1]) == ("timed_out", "WorkflowTimedOut")
    (reply,) = replies_of(served.ask(ended_reply()))
    assert (reply.outcome, reply.status) == ("ended", "timed_out")


def test_blocked_run_is_not_purged(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval")
    (reply,) = replies_of(served.purge(reply_to=accepted_reply()))
    assert reply.outcome == "refused"
    served.terminate()
    served.purge()
    assert served.compacted == {}


def test_blocked_run_may_be_replaced(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval")
    served.start("at_once", 7, request_id="request-2", on_conflict="terminate_existing")
    assert last_result(served) == 7


# Changed code.


def test_run_is_blocked_when_its_code_has_changed(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.take_over(other_fulfil)
    assert served.head().status == "running", "its code is not needed yet"
    served.complete(task, 501)
    head = served.head()
    assert head.status == "blocked"
    assert (
        'event 2 (2023-11-14 22:13:20 UTC): the history has ScheduleActivity "charge" (number 1)'
        in head.reason
    )
    assert 'the code asked for ScheduleActivity "ship" (number 1)' in head.reason
    assert "test_partition_blocked.py, line" in head.reason
    assert served.story() == [
        "WorkflowStarted",
        "ActivityScheduled",
        "WorkflowBlocked",
        "RecordDeferred",
    ]


def test_run_goes_on_when_fitting_code_comes_back(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.take_over(other_fulfil)
    served.complete(task, 501)
    assert topics_of(served.take_over(other_fulfil)) == [], "it still does not fit"
    served.take_over(fulfil)
    assert served.story()[2:] == [
        "WorkflowBlocked",
        "RecordDeferred",
        "WorkflowUnblocked",
        "ActivityCompleted",
        "ActivityScheduled",
    ]
    assert decode_payload(served.task.input) == [{"paid": 501}]
    served.complete(served.task, "parcel-1")
    assert last_result(served) == "parcel-1"


def test_timer_of_a_blocked_run_fires_when_it_goes_on(serve: Serve) -> None:
    served = serve(sleepy)
    served.start("sleepy")
    served.take_over(at_once)
    served.advance(60_000)
    assert (served.head().status, served.story()[-1]) == ("blocked", "WorkflowBlocked")
    served.advance(3_600_000)
    assert served.story()[-1] == "WorkflowBlocked", "a blocked run does not ask for the clock"
    served.take_over(sleepy)
    assert served.story()[-3:] == ["WorkflowUnblocked", "TimerFired", "TimerStarted"]
    served.advance(60_000)
    assert last_result(served) == "awake"


def test_reason_is_that_of_the_newest_code_when_that_does_not_fit_either(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.take_over(at_once)
    served.complete(task, 501)
    assert "This worker has no workflow 'fulfil'" in served.head().reason
    served.take_over(other_fulfil)
    assert "the code asked for ScheduleActivity" in served.head().reason
    assert served.story()[2:] == ["WorkflowBlocked", "RecordDeferred", "WorkflowBlocked"]
    assert topics_of(served.take_over(other_fulfil)) == [], "the reason is the same"
    served.take_over(fulfil)
    assert served.story()[-3:] == ["WorkflowUnblocked", "ActivityCompleted", "ActivityScheduled"]


# Asked to go on.


@workflow.define(name="moody")
async def moody(ctx: Context) -> Any:
    """Not deterministic: what it does depends on something outside of its history."""
    await ctx.execute_activity(ship if MOOD else charge, 1)
    return await ctx.receive_signal("go")


MOOD: list[str] = []


@pytest.fixture
def moody_run(serve: Serve) -> Iterator[Served]:
    """Blocked for as long as there is something in MOOD."""
    MOOD.clear()
    served = serve(moody)
    served.start("moody")
    MOOD.append("bad")
    served.rebuild()
    served.complete(served.task, 1)
    served.signal("go", "second")
    assert served.head().status == "blocked"
    yield served
    MOOD.clear()


def test_blocked_run_goes_on_when_it_is_asked_to_and_its_code_fits_again(
    moody_run: Served,
) -> None:
    MOOD.clear()
    (reply,) = replies_of(moody_run.unblock(accepted_reply()))
    assert (reply.outcome, reply.status) == ("accepted", "completed")
    assert moody_run.story()[2:] == [
        "WorkflowBlocked",
        "RecordDeferred",
        "RecordDeferred",
        "WorkflowUnblocked",
        "ActivityCompleted",
        "SignalReceived",
        "WorkflowCompleted",
    ]
    assert last_result(moody_run) == "second"


def test_blocked_run_stays_blocked_with_the_reason_when_it_is_asked_to_go_on_too_early(
    moody_run: Served,
) -> None:
    batch = moody_run.unblock(accepted_reply())
    (reply,) = replies_of(batch)
    assert (reply.outcome, reply.status, topics_of(batch)) == ("refused", "blocked", [])
    assert reply.reason == f"workflow 'order-42' is still blocked: {moody_run.head().reason}"
    assert moody_run.story().count("RecordDeferred") == 2, "what came is still kept"


def test_unblocking_that_nobody_waits_for_is_put_aside_when_it_is_in_vain(
    moody_run: Served,
) -> None:
    assert topics_of(moody_run.unblock()) == ["deadletters"]


def test_unblocking_is_refused_when_the_run_is_not_blocked(serve: Serve) -> None:
    served = serve(approval)
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert reply.outcome == "unknown"
    served.start("approval")
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert (reply.outcome, reply.reason) == (
        "refused",
        "workflow 'order-42' is running, not blocked: there is nothing to unblock",
    )
    served.signal("approval")
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert (reply.outcome, reply.reason) == (
        "refused",
        "workflow 'order-42' has ended (completed): there is nothing to unblock",
    )


def test_run_of_an_unknown_workflow_stays_blocked_when_it_is_asked_to_go_on(serve: Serve) -> None:
    served = serve(at_once)
    served.start("fulfil", 1)
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert reply.outcome == "refused"
    assert "still blocked: This worker has no workflow 'fulfil'" in reply.reason
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked"]


def test_run_that_breaks_again_when_it_is_asked_to_go_on_is_blocked_anew(serve: Serve) -> None:
    served = serve(leaving)
    served.start("leaving")
    served.signal("go", "first")
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert (reply.outcome, reply.status) == ("refused", "blocked")
    assert served.story()[1:] == [
        "WorkflowBlocked",
        "RecordDeferred",
        "WorkflowUnblocked",
        "WorkflowBlocked",
        "RecordDeferred",
    ]
    served.take_over(mended)
    assert last_result(served) == "first"


# Code that breaks.


def test_run_is_blocked_when_its_code_exits(serve: Serve) -> None:
    served = serve(leaving, at_once)
    served.start("leaving")
    batch = served.turn(
        served.signals(SignalWorkflow("go", encode_payload("first"))),
        served.signals(SignalWorkflow("go", encode_payload("second"))),
    )
    assert sorted(topics_of(batch)) == ["events", "state"]
    assert served.head().status == "blocked"
    assert served.head().reason == f"SystemExit: 3 ({line_of(leaving, 'sys.exit(3)')})"
    assert served.story() == [
        "WorkflowStarted",
        "WorkflowBlocked",
        "RecordDeferred",
        "RecordDeferred",
    ]
    served.start("at_once", 1, key="another")
    assert served.head("another").status == "completed"
    served.take_over(mended)
    assert last_result(served) == "first"


def test_run_is_blocked_with_a_short_reason_when_its_code_exits_with_a_long_one(
    serve: Serve,
) -> None:
    @workflow.define
    async def talkative(ctx: Context) -> None:
        sys.exit("x" * 5_000_000)

    served = serve(talkative)
    served.start("talkative")
    assert served.head().reason.startswith("SystemExit: xxx")
    assert len(served.head().reason) < 8000
    assert served.head().reason.endswith(f"({line_of(talkative, 'sys.exit(')})")


def test_run_is_blocked_when_its_code_interrupts_the_keyboard(serve: Serve) -> None:
    """Odd, and no reason to stop a partition, which would come back to it with every restart."""

    @workflow.define
    async def odd(ctx: Context) -> None:
        raise KeyboardInterrupt

    served = serve(odd, at_once)
    served.start("odd")
    served.start("at_once", 1, key="another")
    assert served.head("another").status == "completed"
    assert served.head().reason.startswith("KeyboardInterrupt (")


def test_run_is_blocked_when_its_code_raises_what_cannot_be_told(serve: Serve) -> None:
    class Mute(SystemExit):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    @workflow.define
    async def mute(ctx: Context) -> None:
        raise Mute

    served = serve(mute)
    served.start("mute")
    assert served.head().reason == f"Mute ({line_of(mute, 'raise Mute')})"


def test_run_is_blocked_when_its_code_says_what_no_record_can_hold(serve: Serve) -> None:
    @workflow.define
    async def odd(ctx: Context) -> None:
        sys.exit("b\udc80d")

    served = serve(odd)
    served.start("odd")
    assert served.head().reason.startswith("SystemExit: b\\udc80d (")
    assert sorted(topics_of(served.take_over(odd))) == ["events", "state"], "it is tried again"


def test_reason_names_the_waiting_line_when_it_is_our_own_code_that_breaks(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve_live(approval, at_once)
    served.start("approval")
    feeds: dict[Any, Any] = _machine._FEEDS
    monkeypatch.setitem(feeds, SignalReceived, ("", operator.truediv))
    served.signal("approval")
    monkeypatch.undo()
    line = line_of(approval, "receive_signal", Path(workflows.__file__))
    assert served.head().reason == (
        f"TypeError: unsupported operand type(s) for /: 'Machine' and 'SignalReceived' ({line})"
    )
    assert "in activate" in caplog.text, "the whole stack is in the log"
    served.start("at_once", 1, key="another")
    assert served.head("another").status == "completed"
    (reply,) = replies_of(served.unblock(accepted_reply()))
    assert (reply.outcome, reply.status) == ("accepted", "completed")


def test_run_is_blocked_when_its_code_exits_in_its_first_turn(serve: Serve) -> None:
    served = serve(leaving_early)
    served.start("leaving_early")
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked"]
    assert served.head().reason == f"SystemExit: 4 ({line_of(leaving_early, 'sys.exit(4)')})"
    served.take_over(mended_early)
    served.complete(served.task, 5)
    assert last_result(served) == 5


def test_run_stays_blocked_and_keeps_its_records_when_the_code_still_exits(serve: Serve) -> None:
    served = serve(leaving_early)
    served.start("leaving_early")
    served.signal("note", 1)
    for _ in range(2):
        served.take_over(leaving_early)
        assert served.head().status == "blocked"
    served.take_over(mended_early)
    assert served.story().count("SignalReceived") == 1
    served.complete(served.task, 5)
    assert last_result(served) == 5


def test_kept_record_that_breaks_the_code_again_is_kept_again(serve: Serve) -> None:
    served = serve(leaving)
    served.start("leaving")
    served.signal("go", "first")
    served.signal("go", "second")
    served.take_over(leaving)
    assert served.head().status == "blocked"
    served.take_over(mended)
    assert last_result(served) == "first"


def _broken(*_: object) -> Any:
    raise IndexError("a bug")


def test_run_is_blocked_alone_when_the_core_breaks_over_a_record_or_the_clock(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours costs one run, never a partition."""
    served = serve_live(approval, sleepy, at_once)
    served.start("approval")
    served.start("sleepy", key="asleep")
    decisions: dict[Any, Any] = _decide._DECISIONS
    for kind in (SignalWorkflow, Due):
        monkeypatch.setitem(decisions, kind, _broken)
    served.signal("approval", "yes")
    served.advance(60_000)
    monkeypatch.undo()
    served.start("at_once", 1, key="another")
    assert served.head("another").status == "completed"
    assert (served.head().status, served.head("asleep").status) == ("blocked", "blocked")
    assert served.head().reason.startswith("IndexError: a bug (")
    served.take_over(approval, sleepy)
    assert last_result(served) == "yes"
    assert served.story("asleep")[-2:] == ["TimerFired", "TimerStarted"]


def test_turn_that_broke_leaves_nothing_of_what_it_asked_for(serve: Serve) -> None:
    @workflow.define(name="halfway")
    async def halfway(ctx: Context) -> Any:
        await ctx.receive_signal("go")
        ctx.execute_activity(charge, 1)
        ctx.execute_activity(quick, 1)
        sys.exit(3)

    served = serve(halfway)
    served.start("halfway")
    batch = served.signal("go")
    assert sorted(topics_of(batch)) == ["events", "state"]
    assert (served.tasks(), served.inline) == ([], [])


def test_run_is_blocked_when_its_queue_has_no_topic(serve: Serve) -> None:
    served = serve(painting)
    served.start("painting")
    assert served.head().status == "blocked"
    assert "task queue 'slow', which has no topic" in served.head().reason
    assert "weft topics create" in served.head().reason
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked"]
    served.queues = frozenset({"default", "slow"})
    served.take_over()
    assert len(served.tasks("slow")) == 1


def test_missing_queue_stops_one_run_alone_when_a_retry_is_due(serve: Serve) -> None:
    """The queue's topic was deleted while an attempt waited for its time."""
    served = serve(painting, at_once, queues=("default", "slow"))
    served.start("painting")
    (task,) = served.tasks("slow")
    served.fail(task)
    served.queues = frozenset({"default"})
    served.take_over()
    served.start("at_once", 1, key="another")
    served.advance(1000)
    assert served.head("another").status == "completed"
    assert served.head().status == "blocked"
    served.queues = frozenset({"default", "slow"})
    served.take_over()
    assert [task.attempt for task in served.tasks("slow")] == [1, 2]


# Together with what runs in this process.


def test_inline_activity_is_run_again_when_a_blocked_run_goes_on(serve: Serve) -> None:
    """Its worker died and the next one had no code for the run: nobody runs the activity any more."""
    served = serve(inline_waiting)
    served.start("inline_waiting")
    assert len(served.inline) == 1
    served.take_over(at_once)
    served.signal("go", "signal")
    assert served.head().status == "blocked"
    served.inline.clear()
    served.take_over(inline_waiting)
    assert [task.activity_id for task in served.inline][:1] == [1]
    served.turn_inline(ORDER, served.completed(served.inline[0], "step"))
    assert last_result(served) == ["step", "signal"]


def test_result_for_a_blocked_run_is_kept(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.take_over(at_once)
    served.signal("note")
    assert served.head().status == "blocked"
    served.complete(task, 501)
    served.complete(task, 999)
    assert served.story().count("RecordDeferred") == 3
    served.take_over(fulfil)
    assert decode_payload(served.task.input) == [{"paid": 501}]


def test_long_blocked_run_fills_pages_and_goes_on(serve: Serve) -> None:
    served = serve(at_once, checked=False)
    served.start("collecting")
    for number in range(100):
        served.signal("line", f"{number} " + "x" * 400)
    assert served.head().page_count > 1
    served.check_reload()
    served.take_over(collecting)
    served.signal("enough")
    assert [line.split()[0] for line in last_result(served)] == [str(n) for n in range(100)]


def test_deadline_of_a_blocked_run_counts_from_its_start(serve: Serve) -> None:
    served = serve(at_once)
    served.start("approval", timeout_ms=10_000)
    served.advance(4000)
    served.take_over(approval)
    assert served.head().next_due_ms == NOW_MS + 10_000
    served.advance(6000)
    assert served.head().status == "timed_out"
