"""The workflows that the benchmarks run. Activities return their input: what is measured is Weft."""

from __future__ import annotations

from weft import activity, workflow

STEPS = 5


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
