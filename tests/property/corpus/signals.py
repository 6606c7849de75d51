"""Shapes of signals: before and after they are waited for, with a time limit, in a choice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DAY_MS, DrivenRun
from weft import workflow
from weft.workflow import Context


@dataclass
class Approval:
    by: str
    granted: bool


@workflow.define
async def approved(ctx: Context) -> Any:
    approval = await ctx.receive_signal("approval", Approval)
    return f"{approval.by}: {approval.granted}"


def approved_script(run: DrivenRun) -> None:
    run.signal("something else", 1)
    assert run.status == "running"
    run.signal("approval", {"by": "Ada", "granted": True})


def wrong_payload_script(run: DrivenRun) -> None:
    run.signal("approval", {"by": "Ada"})
    assert "approval" in run.failure.message
    assert "granted" in run.failure.message


@workflow.define
async def early(ctx: Context) -> Any:
    """Signals are kept until somebody asks, in order, each name for itself."""
    await ctx.execute_activity(charge, 1)
    first = await ctx.receive_signal("line")
    other = await ctx.receive_signal("note")
    second = await ctx.receive_signal("line")
    third = await ctx.receive_signal("line")
    return [first, second, third, other]


def early_script(run: DrivenRun) -> None:
    run.signal("line", 1)
    run.signal("note", "n")
    run.signal("line", 2)
    run.complete("charge", 1)
    assert run.status == "running"
    run.signal("line", 3)


def repeated_script(run: DrivenRun) -> None:
    """A signal that comes again under the same ID is one signal."""
    for _ in range(3):
        run.signal("line", 1, id="s-1")
    run.signal("note", "n", id="s-2")
    run.complete("charge", 1)
    run.signal("line", 2, id="s-3")
    run.signal("line", "again", id="s-1")
    run.signal("line", "again", id="s-3")
    assert run.status == "running"
    run.signal("line", 3, id="s-4")
    assert run.story.count("SignalReceived") == 4


@workflow.define
async def in_time(ctx: Context) -> Any:
    try:
        return await ctx.receive_signal("approval", timeout=timedelta(days=2))
    except TimeoutError as error:
        return f"late: {error}"


def day_after_script(run: DrivenRun) -> None:
    assert run.timers == [2 * DAY_MS]
    run.advance(timedelta(days=1))
    run.signal("approval", "yes")
    assert run.story[-2:] == ["TimerCancelled", "WorkflowCompleted"]


def too_late_script(run: DrivenRun) -> None:
    run.advance(timedelta(days=2))


@workflow.define
async def there_already(ctx: Context) -> Any:
    await ctx.execute_activity(charge, 1)
    return await ctx.receive_signal("approval", timeout=timedelta(days=2))


def there_already_script(run: DrivenRun) -> None:
    run.signal("approval", "yes")
    run.complete("charge", 1)
    assert "TimerStarted" not in run.story


@workflow.define
async def left_for_the_next(ctx: Context) -> Any:
    """A receiver that gave up takes no signal away from the next one."""
    with suppress(TimeoutError):
        await ctx.receive_signal("line", timeout=1)
    given_up = ctx.receive_signal("line")
    await ctx.execute_activity(charge, 1)
    given_up.cancel()
    return await ctx.receive_signal("line")


def left_for_the_next_script(run: DrivenRun) -> None:
    run.advance(1000)
    run.complete("charge", 1)
    run.signal("line", "for the third")


@workflow.define
async def two_receivers(ctx: Context) -> Any:
    return await asyncio.gather(ctx.receive_signal("line"), ctx.receive_signal("line"))


def two_receivers_script(run: DrivenRun) -> None:
    run.signal("line", "first")
    run.signal("line", "second")


@workflow.define
async def every_signal(ctx: Context) -> Any:
    lines = []
    async for line in ctx.signals("line", int):
        if line == 0:
            break
        lines.append(await ctx.execute_activity(pick, line))
    return lines


def every_signal_script(run: DrivenRun) -> None:
    run.signal("line", 1)
    run.signal("line", 2)
    run.complete("pick", "one")
    run.signal("line", 0)
    run.complete("pick", "two")


@workflow.define
async def selected(ctx: Context) -> Any:
    """A choice between a signal and a timer, as a select over channels."""
    approval, deadline = ctx.receive_signal("approval"), ctx.sleep(timedelta(hours=1))
    done, pending = await asyncio.wait({approval, deadline}, return_when=asyncio.FIRST_COMPLETED)
    for future in pending:
        future.cancel()
    return await approval if approval in done else "nobody answered"


def answered_script(run: DrivenRun) -> None:
    run.signal("approval", "yes")
    assert run.timers == []


def unanswered_script(run: DrivenRun) -> None:
    run.advance(timedelta(hours=1))


@workflow.define
async def one_of_two(ctx: Context) -> Any:
    yes, no = ctx.receive_signal("yes"), ctx.receive_signal("no")
    done, _ = await asyncio.wait({yes, no}, return_when=asyncio.FIRST_COMPLETED)
    return ["yes" if yes in done else "no", (yes if yes in done else no).result()]


def refused_script(run: DrivenRun) -> None:
    run.signal("no", "too dear")


@workflow.define
async def until_the_end(ctx: Context) -> Any:
    """Wait for a signal or for the end of the context, and clean up."""
    try:
        return await ctx.receive_signal("approval")
    except asyncio.CancelledError:
        await ctx.execute_activity(refund, 1)
        raise


def cancelled_script(run: DrivenRun) -> None:
    run.cancel("customer left")
    assert (run.status, run.open) == ("running", ["refund"])
    run.signal("approval", "too late")
    run.complete("refund", 1)
    assert run.run.reason == "customer left"


def timed_out_script(run: DrivenRun) -> None:
    run.advance(timedelta(hours=1))


@workflow.define
async def order(ctx: Context, cents: int) -> Any:
    """Reserve, pay, wait for a person, ship; undo when the answer is no or none comes."""
    await ctx.execute_activity(pick, "reserve")
    paid = await ctx.execute_activity(charge, cents)
    try:
        granted = await ctx.receive_signal("approval", bool, timeout=timedelta(days=2))
    except TimeoutError:
        granted = False
    if not granted:
        await ctx.execute_activity(refund, paid)
        await ctx.execute_activity(pick, "release")
        return "refunded"
    return await ctx.execute_activity(ship, paid)


def approved_order_script(run: DrivenRun) -> None:
    run.complete("pick")
    run.fail("charge")
    run.advance(100)
    run.complete("charge", 500)
    run.advance(timedelta(hours=47))
    run.signal("approval", True)
    run.complete("ship", "parcel-1")


def forgotten_order_script(run: DrivenRun) -> None:
    run.complete("pick")
    run.complete("charge", 500)
    run.advance(timedelta(days=3))
    run.complete("refund", 500)
    assert run.inputs == [["release"]]
    run.complete("pick")


SHAPES = [
    Shape("a signal", approved, approved_script, result="Ada: True", requirements=("R1-25",)),
    Shape(
        "a signal with a wrong payload",
        approved,
        wrong_payload_script,
        status="failed",
        failure="SignalPayloadError",
    ),
    Shape("signals before they are asked for", early, early_script, result=[1, 2, 3, "n"]),
    Shape("signals that come twice", early, repeated_script, result=[1, 2, 3, "n"]),
    Shape("a signal in time", in_time, day_after_script, result="yes", requirements=("R2-31",)),
    Shape(
        "a signal too late",
        in_time,
        too_late_script,
        result="late: no signal 'approval' came in time",
    ),
    Shape("a signal that is there already", there_already, there_already_script, result="yes"),
    Shape(
        "a signal for the next receiver",
        left_for_the_next,
        left_for_the_next_script,
        result="for the third",
    ),
    Shape("two receivers", two_receivers, two_receivers_script, result=["first", "second"]),
    Shape("every signal of a name", every_signal, every_signal_script, result=["one", "two"]),
    Shape(
        "a signal or a timer, answered",
        selected,
        answered_script,
        result="yes",
        requirements=("R1-9",),
    ),
    Shape(
        "a signal or a timer, unanswered",
        selected,
        unanswered_script,
        result="nobody answered",
        requirements=("R1-9",),
    ),
    Shape(
        "one of two signals",
        one_of_two,
        refused_script,
        result=["no", "too dear"],
        requirements=("R1-9",),
    ),
    Shape(
        "a signal or the end of the context",
        until_the_end,
        cancelled_script,
        status="cancelled",
        requirements=("R1-6", "R1-15"),
    ),
    Shape(
        "a signal or the end of the run's time",
        until_the_end,
        timed_out_script,
        timeout=timedelta(hours=1),
        status="timed_out",
        requirements=("R1-15",),
    ),
    Shape(
        "an order that is approved",
        order,
        approved_order_script,
        value=500,
        result="parcel-1",
        requirements=("R2-31", "R3-1"),
    ),
    Shape(
        "an order that is forgotten", order, forgotten_order_script, value=500, result="refunded"
    ),
]
