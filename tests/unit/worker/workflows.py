"""The workflows that the tests of the worker serve."""

from __future__ import annotations

import asyncio
from typing import Any

from weft import activity, workflow
from weft.activity import Retry
from weft.workflow import Context


@activity.define
async def charge(cents: int) -> int:
    return cents


@activity.define(retry=Retry(max_attempts=2, initial_interval=1, jitter=0))
async def ship(parcel: Any) -> Any:
    return parcel


@activity.define(heartbeat_timeout=20, schedule_to_start=600, schedule_to_close=3600)
async def copy(rows: int) -> int:
    return rows


@activity.define(queue="slow")
async def paint(thing: str) -> str:
    return thing


@activity.define(inline=True, retry=Retry(max_attempts=2, initial_interval=1, jitter=0))
async def quick(line: Any) -> Any:
    return line


@workflow.define(version="2")
async def fulfil(ctx: Context, cents: int) -> Any:
    paid = await ctx.execute_activity(charge, cents)
    return await ctx.execute_activity(ship, {"paid": paid})


@workflow.define
async def at_once(ctx: Context, value: Any) -> Any:
    return value


@workflow.define
async def failing(ctx: Context) -> None:
    raise ValueError("out of paper")


@workflow.define
async def telling(ctx: Context, steps: int) -> int:
    """Says after each step how far it is; the last line is not said before the end."""
    for number in range(steps):
        ctx.set_status({"step": number})
        await ctx.execute_activity(ship, number)
    ctx.set_status("done")
    return steps


@workflow.define
async def approval(ctx: Context) -> Any:
    return await ctx.receive_signal("approval")


@workflow.define
async def collecting(ctx: Context) -> Any:
    """Keeps every signal until the one called `enough`."""
    lines: list[Any] = []
    ctx.on_query("length")(lambda: len(lines))
    enough = asyncio.ensure_future(ctx.receive_signal("enough"))
    while not enough.done():
        line = asyncio.ensure_future(ctx.receive_signal("line"))
        await asyncio.wait({enough, line}, return_when=asyncio.FIRST_COMPLETED)
        if line.done():
            lines.append(line.result())
    return lines


@workflow.define
async def careful(ctx: Context) -> Any:
    """Cleans up when it is cancelled."""
    try:
        await ctx.receive_signal("never")
    finally:
        await ctx.execute_activity(ship, "back")


@workflow.define
async def sleepy(ctx: Context) -> str:
    await ctx.sleep(60)
    await ctx.sleep(60)
    return "awake"


@workflow.define
async def fan_out(ctx: Context, count: int) -> int:
    results = await asyncio.gather(*(ctx.execute_activity(charge, line) for line in range(count)))
    return sum(results)


@workflow.define
async def inline_steps(ctx: Context) -> Any:
    first = await ctx.execute_activity(quick, 1)
    second = await ctx.execute_activity(quick, 2)
    return [first, second]


@workflow.define
async def inline_and_signal(ctx: Context) -> Any:
    return await asyncio.gather(
        ctx.execute_activity(quick, 1), ctx.receive_signal("approval"), ctx.receive_signal("more")
    )


@workflow.define
async def copying(ctx: Context, rows: int) -> Any:
    """One long activity, which a signal makes unnecessary."""
    copied = ctx.execute_activity(copy, rows)
    enough = ctx.receive_signal("enough")
    done, _ = await asyncio.wait({copied, enough}, return_when=asyncio.FIRST_COMPLETED)
    if copied not in done:
        copied.cancel()
        return await ctx.receive_signal("then")
    return await copied


@workflow.define
async def inline_until_enough(ctx: Context) -> Any:
    running = ctx.execute_activity(quick, 1)
    await ctx.receive_signal("enough")
    running.cancel()
    return await ctx.receive_signal("then")


@workflow.define
async def painting(ctx: Context) -> Any:
    return await ctx.execute_activity(paint, "fence")
