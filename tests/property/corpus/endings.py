"""Shapes of endings: failing, being cancelled, being terminated, and what user code must not do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DrivenRun
from weft import workflow
from weft.errors import Failure, UsageError
from weft.workflow import Context


class OutOfStock(Failure):
    pass


def nothing(run: DrivenRun) -> None:
    """It ends by itself."""


@workflow.define
async def empty(ctx: Context) -> None:
    """Ends in its first turn."""


@workflow.define
async def raising(ctx: Context) -> None:
    await ctx.execute_activity(charge, 1)
    raise OutOfStock("no more lamps", details={"item": "lamp"})


def raising_script(run: DrivenRun) -> None:
    run.complete("charge", 1)
    assert run.failure.message == "no more lamps"
    assert bytes(run.failure.details) == b'{"item":"lamp"}'


@workflow.define
async def raising_at_once(ctx: Context) -> None:
    raise ValueError("never began")


@workflow.define
async def unwritable(ctx: Context) -> Any:
    return print


@workflow.define
async def typed_input(ctx: Context, lines: list[int]) -> int:
    return len(lines)


@workflow.define
async def uncaught_activity(ctx: Context) -> Any:
    return await ctx.execute_activity(charge, 1)


def uncaught_script(run: DrivenRun) -> None:
    run.fail_for_good("charge", "CardDeclined")


@workflow.define
async def uncaught_group(ctx: Context) -> Any:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_charge(ctx))


async def _charge(ctx: Context) -> Any:
    return await ctx.execute_activity(charge, 1)


@workflow.define
async def patient(ctx: Context) -> Any:
    """Cleans up with several steps, each of which takes its time, when it is cancelled."""
    try:
        await asyncio.gather(ctx.execute_activity(pick, 1), ctx.sleep(timedelta(days=1)))
    finally:
        await ctx.execute_activity(refund, 1)
        await ctx.sleep(60)
        await ctx.execute_activity(ship, "back")


def patient_script(run: DrivenRun) -> None:
    run.cancel("changed my mind")
    assert (run.open, run.timers) == (["refund"], [])
    assert not run.cancel("again").events
    run.complete("refund", 1)
    run.advance(60_000)
    run.complete("ship")


@workflow.define
async def stubborn(ctx: Context) -> Any:
    """A request is only a request."""
    try:
        await ctx.execute_activity(charge, 1)
    except asyncio.CancelledError as error:
        return f"finished anyway: {error}"
    return "not cancelled"


def cancelled_script(run: DrivenRun) -> None:
    run.cancel("please")


@workflow.define
async def failing_to_clean_up(ctx: Context) -> Any:
    try:
        await ctx.execute_activity(charge, 1)
    except asyncio.CancelledError:
        raise OutOfStock("no way back") from None


@workflow.define
async def deep(ctx: Context) -> Any:
    """Cancellation reaches the innermost wait, and every level on the way back."""
    told = []

    async def level(number: int) -> None:
        try:
            if number == 3:
                await ctx.receive_signal("never")
            else:
                await level(number + 1)
        finally:
            told.append(number)
            await ctx.execute_activity(pick, number)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(level(1))


def deep_script(run: DrivenRun) -> None:
    run.cancel()
    for number in (3, 2, 1):
        assert run.inputs == [[number]]
        run.complete("pick")


@workflow.define
async def cancelling_itself(ctx: Context) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await ctx.execute_activity(charge, 1)


def terminated_script(run: DrivenRun) -> None:
    run.terminate("stop")
    assert run.story[-1] == "WorkflowTerminated"
    assert not run.signal("anything").events


def timed_out_script(run: DrivenRun) -> None:
    run.advance(timedelta(days=1))
    assert run.story[-1] == "WorkflowTimedOut"


@workflow.define
async def last_wish(ctx: Context) -> str:
    """What is asked for and not waited for is in the history, and ends with the run."""
    ctx.execute_activity(ship, 1)
    return "done"


def last_wish_script(run: DrivenRun) -> None:
    assert run.story == ["WorkflowStarted", "ActivityScheduled", "WorkflowCompleted"]
    assert run.open == []


@workflow.define
async def misused(ctx: Context) -> Any:
    told = []
    for attempt in (
        lambda: ctx.execute_activity(print, 1),  # type: ignore[call-overload]
        lambda: ctx.execute_activity("by-name", keyword=1),  # type: ignore[call-overload]
        lambda: ctx.execute_activity(charge),  # type: ignore[call-overload]
        lambda: ctx.execute_activity(charge, object()),  # type: ignore[call-overload]
        lambda: ctx.sleep(-1),
        lambda: ctx.sleep(float("inf")),
        lambda: ctx.receive_signal("a", timeout=-1),
    ):
        try:
            attempt()
        except UsageError:
            told.append("refused")
    return len(told)


SHAPES = [
    Shape("nothing at all", empty, nothing, result=None),
    Shape("a failure of its own", raising, raising_script, status="failed", failure="OutOfStock"),
    Shape(
        "a failure in the first turn",
        raising_at_once,
        nothing,
        status="failed",
        failure="ValueError",
    ),
    Shape(
        "a result that JSON cannot hold", unwritable, nothing, status="failed", failure="UsageError"
    ),
    Shape(
        "an input of the wrong type",
        typed_input,
        nothing,
        value="x",
        status="failed",
        failure="UsageError",
    ),
    Shape(
        "an activity's failure",
        uncaught_activity,
        uncaught_script,
        status="failed",
        failure="CardDeclined",
    ),
    Shape(
        "a group's failure",
        uncaught_group,
        uncaught_script,
        status="failed",
        failure="ExceptionGroup",
    ),
    Shape(
        "a cancellation with cleaning up",
        patient,
        patient_script,
        status="cancelled",
        requirements=("R1-6",),
    ),
    Shape(
        "a cancellation that is not heeded",
        stubborn,
        cancelled_script,
        result="finished anyway: please",
    ),
    Shape(
        "a cancellation that fails",
        failing_to_clean_up,
        cancelled_script,
        status="failed",
        failure="OutOfStock",
    ),
    Shape("a cancellation through all levels", deep, deep_script, status="cancelled"),
    Shape(
        "a run that cancels itself",
        cancelling_itself,
        nothing,
        status="failed",
        failure="CancelledError",
    ),
    Shape(
        "a termination", patient, terminated_script, status="terminated", requirements=("R3-11",)
    ),
    Shape(
        "a run that is out of time",
        patient,
        timed_out_script,
        timeout=timedelta(hours=1),
        status="timed_out",
        requirements=("R2-33",),
    ),
    Shape("a last wish", last_wish, last_wish_script, result="done"),
    Shape("wrong calls", misused, nothing, result=7),
]
