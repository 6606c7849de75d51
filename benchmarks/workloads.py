"""The workflows that the benchmarks run. Activities return their input: what is measured is Weft."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from dataclasses import dataclass

from weft import activity, workflow

STEPS = 5
SLOW_S = 0.1
MARKS = "BENCH_MARKS"
"""Names the file in which slow activities note that they begin and end."""
SIGNAL = "go"


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


@activity.define(inline=True, checkpoint=False)
async def echo_unchecked(text: str) -> str:
    return text


ECHOES = {
    "queued": echo,
    "inline": echo_inline,
    "inline, no checkpoints": echo_unchecked,
}
"""By variant."""


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


@dataclass
class Many:
    """One workflow with `count` activities of one of `ECHOES`. Sequential ones are timed in windows of `window`."""

    text: str
    count: int
    variant: str
    window: int = 0


@workflow.define
async def fan(ctx: workflow.Context, many: Many) -> int:
    """All at once; returns how many came back as they should."""
    chosen = ECHOES[many.variant]
    activities = [ctx.execute_activity(chosen, many.text) for _ in range(many.count)]
    return sum([await result == many.text for result in activities])


@dataclass
class Timing:
    """Of sequential steps: ms a step in the first window and in the last, and the longest step."""

    first_ms: float
    last_ms: float
    longest_ms: float


@workflow.define
async def march(ctx: workflow.Context, many: Many) -> Timing:
    """One after the other. It looks at the real clock: a replay could not repeat that, so it refuses to be replayed."""
    chosen = ECHOES[many.variant]
    text = many.text
    with workflow.unguarded():
        marks = [time.perf_counter()]
        for _ in range(many.count):
            text = await ctx.execute_activity(chosen, text)
            assert not ctx.is_replaying, (
                "the worker lost this run's code on the way: the times are void"
            )
            marks.append(time.perf_counter())
    window = many.window
    steps = [after - before for before, after in itertools.pairwise(marks)]
    return Timing(
        first_ms=sum(steps[:window]) / window * 1000,
        last_ms=sum(steps[-window:]) / window * 1000,
        longest_ms=max(steps) * 1000,
    )


@workflow.define
async def patient(ctx: workflow.Context, text: str) -> str:
    """Takes a step, then waits for one signal for as long as it takes; what comes under other names it leaves."""
    text = await ctx.execute_activity(echo_inline, text)
    await ctx.receive_signal(SIGNAL)
    return text


@workflow.define
async def signalled(ctx: workflow.Context) -> str:
    answer: str = await ctx.receive_signal(SIGNAL, str)
    return answer


@workflow.define
async def collect(ctx: workflow.Context, count: int) -> int:
    """Takes so many signals."""
    received = 0
    while received < count:
        await ctx.receive_signal(SIGNAL, str)
        received += 1
    return received


@workflow.define
async def alarm(ctx: workflow.Context, due_ms: int) -> int:
    """Sleeps until a time, in ms since the epoch."""
    await ctx.sleep(max(0.0, due_ms / 1000 - ctx.now().timestamp()))
    return due_ms
