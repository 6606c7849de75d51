"""The workflows that the benchmarks run. Activities return their input: what is measured is Weft."""

from __future__ import annotations

import asyncio
import os

from weft import activity, workflow

STEPS = 5
SLOW_S = 0.1
MARKS = "BENCH_MARKS"
"""Names the file in which slow activities note that they begin and end."""


def mark(kind: str, number: int) -> None:
    """One line, whole also when the process is killed right after."""
    marks = os.open(os.environ[MARKS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(marks, f"{kind} {activity.info().workflow_id} {number}\n".encode())
    os.close(marks)


@activity.define
async def echo(text: str) -> str:
    return text


@activity.define(inline=True)
async def echo_inline(text: str) -> str:
    return text


@workflow.define
async def chain(ctx: workflow.Context, text: str) -> str:
    for _ in range(STEPS):
        text = await ctx.execute_activity(echo, text)
    return text


@workflow.define
async def chain_inline(ctx: workflow.Context, text: str) -> str:
    for _ in range(STEPS):
        text = await ctx.execute_activity(echo_inline, text)
    return text


@workflow.define
async def single(ctx: workflow.Context, text: str) -> str:
    return await ctx.execute_activity(echo, text)


@workflow.define
async def single_inline(ctx: workflow.Context, text: str) -> str:
    return await ctx.execute_activity(echo_inline, text)


@activity.define
async def slow(text: str, number: int) -> str:
    mark("b", number)
    await asyncio.sleep(SLOW_S)
    mark("e", number)
    return text


@workflow.define
async def timed(ctx: workflow.Context, text: str) -> str:
    for number in range(STEPS):
        text = await ctx.execute_activity(slow, text, number)
    return text
