"""Shapes of activities: one after the other, in parallel, failing, cancelled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DrivenRun
from weft import workflow
from weft.errors import ActivityError
from weft.workflow import Context


@workflow.define
async def sequence(ctx: Context, cents: int) -> list[Any]:
    paid = await ctx.execute_activity(charge, cents)
    shipped = await ctx.execute_activity(ship, {"paid": paid})
    return [paid, shipped]


def sequence_script(run: DrivenRun) -> None:
    assert (run.open, run.inputs) == (["charge"], [[500]])
    run.complete("charge", 501)
    assert (run.open, run.inputs) == (["ship"], [[{"paid": 501}]])
    run.complete("ship", "parcel-1")


@workflow.define
async def long_sequence(ctx: Context) -> int:
    total = 0
    for number in range(30):
        total += await ctx.execute_activity(pick, number)
    return total


def long_sequence_script(run: DrivenRun) -> None:
    for number in range(30):
        run.complete("pick", number)


@workflow.define
async def by_name(ctx: Context) -> Any:
    return await ctx.execute_activity("legacy-step", 1, "two")


def by_name_script(run: DrivenRun) -> None:
    assert (run.open, run.inputs) == (["legacy-step"], [[1, "two"]])
    run.complete("legacy-step", {"any": "json"})


@workflow.define
async def fan_out(ctx: Context, lines: list[int]) -> list[int]:
    return list(await asyncio.gather(*(ctx.execute_activity(pick, line) for line in lines)))


def backwards(run: DrivenRun) -> None:
    """What is open completes in the opposite order, each with its number."""
    for activity_id in reversed(list(run.run.activities)):
        run.complete(activity_id, activity_id)


@workflow.define
async def gather_failing(ctx: Context) -> Any:
    picks = [ctx.execute_activity(pick, line) for line in range(3)]
    try:
        await asyncio.gather(*picks)
    except ActivityError as error:
        rest = await asyncio.gather(picks[0], picks[2])
        return [error.type, *rest]
    return "no error"


def gather_failing_script(run: DrivenRun) -> None:
    run.fail_for_good(2, "OutOfStock")
    assert run.open == ["pick", "pick"], "the others go on"
    run.complete(3, "c")
    run.complete(1, "a")


@workflow.define
async def gather_exceptions(ctx: Context) -> Any:
    picks = (ctx.execute_activity(pick, line) for line in range(3))
    results = await asyncio.gather(*picks, return_exceptions=True)
    return [type(value).__name__ if isinstance(value, Exception) else value for value in results]


def gather_exceptions_script(run: DrivenRun) -> None:
    run.complete(3, "c")
    run.fail_for_good(2)
    run.complete(1, "a")


@workflow.define
async def retried(ctx: Context) -> Any:
    return await ctx.execute_activity(charge, 1)


def retried_script(run: DrivenRun) -> None:
    run.fail("charge")
    run.advance(99)
    assert run.dispatched == [(1, 1)]
    run.advance(1)
    assert run.dispatched == [(1, 1), (1, 2)]
    run.fail("charge")
    run.advance(200)
    run.complete("charge", 1)
    assert run.dispatched == [(1, 1), (1, 2), (1, 3)]


@workflow.define
async def caught(ctx: Context) -> Any:
    try:
        await ctx.execute_activity(charge, 1)
    except ActivityError as error:
        await ctx.execute_activity(refund, 1)
        return [error.type, error.attempts, error.activity]
    return "no error"


def caught_script(run: DrivenRun) -> None:
    run.fail("charge")
    run.advance(100)
    run.fail_for_good("charge", "CardDeclined")
    run.complete("refund", 1)


@workflow.define
async def undone(ctx: Context) -> Any:
    """Completed steps are undone in reverse order when a later one fails."""
    async with AsyncExitStack() as undo:
        try:
            await ctx.execute_activity(charge, 1)
            undo.push_async_callback(_call, ctx, refund, 1)
            await ctx.execute_activity(pick, 2)
            undo.push_async_callback(_call, ctx, pick, -2)
            await ctx.execute_activity(ship, 3)
        except ActivityError as error:
            return f"undone: {error.type}"
        undo.pop_all()
    return "shipped"


async def _call(ctx: Context, step: Any, value: int) -> Any:
    return await ctx.execute_activity(step, value)


def undone_script(run: DrivenRun) -> None:
    run.complete("charge", 1)
    run.complete("pick", 2)
    run.fail_for_good("ship", "NoTruck")
    assert (run.open, run.inputs) == (["pick"], [[-2]])
    run.complete("pick")
    assert (run.open, run.inputs) == (["refund"], [[1]])
    run.complete("refund", 1)


@workflow.define
async def given_up(ctx: Context) -> Any:
    """A future that is cancelled is no longer waited for; asked and cancelled in one go leaves no trace."""
    ctx.execute_activity(pick, "never").cancel()
    slow = ctx.execute_activity(pick, "slow")
    await ctx.execute_activity(charge, 1)
    slow.cancel()
    slow.cancel()
    return await ctx.execute_activity(ship, 1)


def given_up_script(run: DrivenRun) -> None:
    assert run.inputs == [["slow"], [1]]
    run.complete("charge", 1)
    assert run.open == ["ship"]
    run.complete("ship", "done")
    assert run.story == [
        "WorkflowStarted",
        "ActivityScheduled",
        "ActivityScheduled",
        "ActivityCompleted",
        "ActivityCancelled",
        "ActivityScheduled",
        "ActivityCompleted",
        "WorkflowCompleted",
    ]


@workflow.define
async def awaited_twice(ctx: Context) -> Any:
    paid = ctx.execute_activity(charge, 1)
    return [await paid, await paid, paid.done(), paid.result()]


def awaited_twice_script(run: DrivenRun) -> None:
    run.complete("charge", 7)


def wrong_result_script(run: DrivenRun) -> None:
    run.complete("charge", "not a number")


@workflow.define
async def timed_out_attempts(ctx: Context) -> Any:
    try:
        await ctx.execute_activity(charge.options(timeout=5), 1)
    except ActivityError as error:
        return [error.type, error.attempts]
    return "no error"


def timed_out_attempts_script(run: DrivenRun) -> None:
    for attempt in (1, 2, 3):
        assert run.run.activities[1].attempt == attempt
        run.report_start("charge")
        run.advance(4999)
        assert run.run.activities[1].attempt == attempt
        run.advance(1000)


SHAPES = [
    Shape(
        "a sequence",
        sequence,
        sequence_script,
        value=500,
        result=[501, "parcel-1"],
        requirements=("R1-7", "R1-8", "R1-12", "R1-28", "R2-2", "R2-7", "R2-8", "R2-22", "R2-24"),
    ),
    Shape("a long sequence", long_sequence, long_sequence_script, result=435),
    Shape("an activity by its name", by_name, by_name_script, result={"any": "json"}),
    Shape(
        "a fan-out",
        fan_out,
        backwards,
        value=list(range(20)),
        result=list(range(1, 21)),
        requirements=("R2-29",),
    ),
    Shape(
        "a gather with a failure",
        gather_failing,
        gather_failing_script,
        result=["OutOfStock", "a", "c"],
    ),
    Shape(
        "a gather of results and failures",
        gather_exceptions,
        gather_exceptions_script,
        result=["a", "ActivityError", "c"],
    ),
    Shape("a retried activity", retried, retried_script, result=1, requirements=("R1-13", "R2-33")),
    Shape("a failure that is caught", caught, caught_script, result=["CardDeclined", 2, "charge"]),
    Shape("steps that are undone", undone, undone_script, result="undone: NoTruck"),
    Shape("an activity that is given up", given_up, given_up_script, result="done"),
    Shape(
        "a future awaited twice",
        awaited_twice,
        awaited_twice_script,
        result=[7, 7, True, 7],
    ),
    Shape(
        "a result of the wrong type",
        retried,
        wrong_result_script,
        status="failed",
        failure="UsageError",
    ),
    Shape(
        "attempts that time out",
        timed_out_attempts,
        timed_out_attempts_script,
        result=["TimeoutError", 3],
        requirements=("R1-14", "R2-33"),
    ),
]
