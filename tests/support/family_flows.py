"""Workflows with children, for worker processes that are killed. Activities note what they did, as in `flows`."""

from __future__ import annotations

import asyncio

from tests.support.flows import hold, step
from weft import workflow
from weft.activity import Retry
from weft.errors import ChildWorkflowError


@workflow.define
async def held_child(ctx: workflow.Context, name: str) -> str:
    await ctx.execute_activity(step, f"{name} first")
    return await ctx.execute_activity(hold, name)


@workflow.define
async def failing_child(ctx: workflow.Context, name: str) -> None:
    raise ValueError(await ctx.execute_activity(step, name))


@workflow.define
async def left_child(ctx: workflow.Context) -> str:
    return await ctx.receive_signal("go", str)


@workflow.define
async def big_family(ctx: workflow.Context, count: int) -> list[str]:
    """Children at once; one that fails and is run again; one that goes with its parent, and one that stays."""
    await ctx.start_child(left_child.options(id="goes"))
    await ctx.start_child(left_child.options(id="stays", parent_close="abandon"))
    names = [f"child-{number}" for number in range(count)]
    results = await asyncio.gather(
        *(ctx.execute_child(held_child.options(id=name), name) for name in names)
    )
    retry = Retry(max_attempts=2, initial_interval=0.2)
    try:
        await ctx.execute_child(failing_child.options(id="fails", retry=retry), "try")
    except ChildWorkflowError as error:
        results.append(f"{error.type} after {error.attempts}: {error.message}")
    await ctx.signal("stays", "go", "on")
    return results
