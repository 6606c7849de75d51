"""Workflows that have children, and what they say of them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.worker.workflows import ship
from weft import workflow
from weft.activity import Retry
from weft.errors import ChildWorkflowError, SignalNotDeliveredError
from weft.workflow import Context


@workflow.define
async def double(ctx: Context, number: int) -> int:
    return 2 * number


@workflow.define
async def packing(ctx: Context, parcel: Any) -> Any:
    """Takes its time: an activity."""
    return await ctx.execute_activity(ship, parcel)


@workflow.define
async def counting(ctx: Context, rounds: int) -> str:
    """Goes on as a new run so many times."""
    if rounds:
        await ctx.execute_activity(ship, rounds)
        ctx.continue_as_new(rounds - 1)
    return ctx.info.run_id


@workflow.define
async def broken(ctx: Context, what: str) -> None:
    raise ValueError(f"no {what}") from ConnectionError("the line is dead")


@workflow.define
async def patient(ctx: Context) -> Any:
    """Waits for a signal, and cleans up when it is cancelled."""
    try:
        return await ctx.receive_signal("go")
    except asyncio.CancelledError:
        await ctx.execute_activity(ship, "back")
        raise


@workflow.define
async def parent(ctx: Context, plan: Any) -> Any:
    """Runs a child as it is told, and says how it ended."""
    name, value, options = plan
    try:
        return await ctx.execute_child(workflow.child(name, **_read(options)), value)
    except ChildWorkflowError as error:
        return [error.status, error.type, error.message, error.attempts, str(error.__cause__)]


def _read(options: dict[str, Any]) -> dict[str, Any]:
    if "attempts" in options:
        attempts = options.pop("attempts")
        options["retry"] = Retry(
            max_attempts=attempts, initial_interval=10, max_interval=60, jitter=0
        )
    return options


@workflow.define
async def leaving(ctx: Context, plan: Any) -> Any:
    """Starts a child, and then waits for a signal that says how to end."""
    if not plan:
        return "went on"
    name, value, options = plan
    handle = await ctx.start_child(workflow.child(name, **_read(options)), value)
    how = await ctx.receive_signal("end")
    if how == "continue":
        ctx.continue_as_new([])
    if how == "fail":
        raise ValueError("on purpose")
    return [handle.workflow_id, bool(handle.run_id)]


@workflow.define
async def holding(ctx: Context, plan: Any) -> Any:
    """Does with its child what signals say, and tells what came of it."""
    name, value, options = plan
    told: list[Any] = []
    try:
        handle = await ctx.start_child(workflow.child(name, **_read(options)), value)
        while True:
            what = await ctx.receive_signal("do")
            if what == "cancel":
                handle.cancel("not wanted")
            elif what == "go":
                await handle.signal("go", 7)
            elif what == "wait":
                return [*told, await handle]
            elif what == "patience":
                async with asyncio.timeout(60):
                    await handle.result()
            else:
                await asyncio.gather(*(handle.signal("go", number) for number in range(2)))
            told.append(what)
    except (ChildWorkflowError, SignalNotDeliveredError, TimeoutError) as error:
        return [*told, type(error).__name__, str(error)]


@workflow.define
async def telling(ctx: Context, plan: Any) -> Any:
    """Signals another workflow."""
    workflow_id, namespace = plan
    try:
        await ctx.signal(workflow_id, "go", {"from": ctx.info.workflow_id}, namespace=namespace)
    except SignalNotDeliveredError as error:
        return str(error)
    return "told"


@workflow.define
async def echo(ctx: Context, value: Any) -> Any:
    return value


@workflow.define
async def loud(ctx: Context, workflow_id: str) -> None:
    await ctx.signal(workflow_id, "go", "x" * 3000)


@workflow.define
async def forgetful(ctx: Context, workflow_id: str) -> str:
    """Signals, and starts a child, and waits for neither."""
    ctx.signal(workflow_id, "go", "by the way")
    ctx.execute_child(double.options(id=f"{workflow_id}-left", parent_close="abandon"), 4)
    return "gone"


FAMILY = (
    double,
    counting,
    packing,
    broken,
    patient,
    parent,
    leaving,
    holding,
    telling,
    forgetful,
    echo,
    loud,
)
