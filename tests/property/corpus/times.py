"""Shapes of time: sleeping, timeouts in one another, clocks and random numbers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DAY_MS, START_MS, DrivenRun
from weft import workflow
from weft.records import AttemptCompleted
from weft.workflow import Context


@workflow.define
async def sleeping(ctx: Context) -> Any:
    began = ctx.now()
    await asyncio.sleep(1.5)
    await ctx.sleep(timedelta(days=30))
    await ctx.sleep(0)
    return [
        (ctx.now() - began).total_seconds(),
        asyncio.get_running_loop().time() == ctx.now().timestamp(),
    ]


def sleeping_script(run: DrivenRun) -> None:
    assert run.timers == [1500]
    run.advance(1499)
    assert run.timers == [1500], "never early"
    run.advance(1)
    assert run.timers == [1500 + 30 * DAY_MS]
    run.advance(timedelta(days=29))
    assert run.status == "running"
    run.advance(timedelta(days=2))


@workflow.define
async def within(ctx: Context) -> Any:
    try:
        async with asyncio.timeout(60):
            return await ctx.execute_activity(charge, 1)
    except TimeoutError:
        return ["too late", await ctx.execute_activity(refund, 1)]


def in_time_script(run: DrivenRun) -> None:
    run.advance(59_999)
    run.complete("charge", 1)
    assert run.story[-2:] == ["TimerCancelled", "WorkflowCompleted"]


def too_late_script(run: DrivenRun) -> None:
    run.advance(60_000)
    assert run.open == ["refund"]
    assert "ActivityCancelled" in run.story
    assert not run.give(late_result(1)).events
    run.complete("refund", 2)


def late_result(activity_id: int) -> Any:
    return AttemptCompleted("run-1", activity_id, 1)


@workflow.define
async def nested(ctx: Context, minutes: list[int]) -> Any:
    told = []
    outer, inner = minutes
    try:
        async with asyncio.timeout(outer * 60):
            try:
                async with asyncio.timeout(inner * 60):
                    await ctx.execute_activity(pick, "first")
            except TimeoutError:
                told.append("inner")
            await ctx.execute_activity(pick, "second")
    except TimeoutError:
        told.append("outer")
    return told


def inner_first_script(run: DrivenRun) -> None:
    run.advance(timedelta(minutes=1))
    assert run.inputs == [["second"]]
    run.advance(timedelta(minutes=4))


def outer_first_script(run: DrivenRun) -> None:
    run.advance(timedelta(minutes=1))


@workflow.define
async def rescheduled(ctx: Context) -> Any:
    """A deadline that moves with each step."""
    steps = 0
    try:
        async with asyncio.timeout(10) as limit:
            while True:
                await ctx.execute_activity(pick, steps)
                steps += 1
                limit.reschedule(asyncio.get_running_loop().time() + 10)
    except TimeoutError:
        return steps


def rescheduled_script(run: DrivenRun) -> None:
    for _ in range(3):
        run.advance(9000)
        run.complete("pick")
    run.advance(10_000)


@workflow.define
async def waited_for(ctx: Context, seconds: float) -> Any:
    try:
        return await asyncio.wait_for(ctx.execute_activity(charge, 1), seconds)
    except TimeoutError:
        return "too late"


@workflow.define
async def steady(ctx: Context) -> Any:
    """What a replay must give again: times, random numbers, IDs."""
    told = [
        ctx.now().isoformat(),
        ctx.random().random(),
        ctx.random().randint(1, 10**9),
        str(ctx.uuid4()),
    ]
    await ctx.execute_activity(ship, told)
    told += [ctx.now().isoformat(), ctx.random().random(), str(ctx.uuid4())]
    await ctx.execute_activity(ship, told)
    assert len(set(told)) == 7
    return told


def steady_script(run: DrivenRun) -> None:
    ((first,),) = run.inputs
    run.advance(1234)
    run.complete("ship")
    ((second,),) = run.inputs
    assert second[:4] == first
    assert datetime.fromisoformat(second[0]).timestamp() * 1000 == START_MS
    assert datetime.fromisoformat(second[4]) - datetime.fromisoformat(second[0]) == timedelta(
        milliseconds=1234
    )
    run.complete("ship")
    assert run.result == second


@workflow.define
async def informed(ctx: Context) -> Any:
    await ctx.sleep(1)
    info = ctx.info
    return [
        info.workflow_id,
        info.run_id,
        info.workflow,
        info.version,
        info.started == datetime.fromtimestamp(START_MS / 1000, UTC),
    ]


@workflow.define
async def many_timers(ctx: Context) -> Any:
    """Timers are due in their own order, not in that of their making; some at the same time."""
    order = []

    async def one(seconds: int) -> None:
        await ctx.sleep(seconds)
        order.append(seconds)

    await asyncio.gather(*(one(seconds) for seconds in (5, 3, 9, 3, 1)))
    return order


def all_at_once_script(run: DrivenRun) -> None:
    """The owner was away: everything is due when it comes back."""
    run.now_ms += 60_000
    while run.advance_to_next():
        pass


def next_script(run: DrivenRun) -> None:
    while run.advance_to_next():
        pass


def complete_script(run: DrivenRun) -> None:
    run.complete("charge", 1)


SHAPES = [
    Shape(
        "sleeping for a month",
        sleeping,
        sleeping_script,
        result=[1.5 + 30 * 24 * 3600, True],
        requirements=("R1-10", "R2-1", "R2-11", "R2-26"),
    ),
    Shape("a timeout that is kept", within, in_time_script, result=1),
    Shape(
        "a timeout that is hit",
        within,
        too_late_script,
        result=["too late", 2],
        requirements=("R2-33",),
    ),
    Shape(
        "nested timeouts, the inner first",
        nested,
        inner_first_script,
        value=[5, 1],
        result=["inner", "outer"],
    ),
    Shape(
        "nested timeouts, the outer first",
        nested,
        outer_first_script,
        value=[1, 5],
        result=["outer"],
    ),
    Shape(
        "nested timeouts, both at once", nested, outer_first_script, value=[1, 1], result=["outer"]
    ),
    Shape("a timeout that moves", rescheduled, rescheduled_script, result=3),
    Shape("wait_for in time", waited_for, complete_script, value=5, result=1),
    Shape("wait_for too late", waited_for, next_script, value=5, result="too late"),
    Shape("times and random numbers", steady, steady_script, result=ANY, requirements=("R2-18",)),
    Shape(
        "a run that knows itself",
        informed,
        next_script,
        result=["order-42", "run-1", "informed", "", True],
    ),
    Shape("many timers", many_timers, next_script, result=[1, 3, 3, 5, 9]),
    Shape("many timers that are overdue", many_timers, all_at_once_script, result=[1, 3, 3, 5, 9]),
]
