"""Workflows that the integration tests run in worker processes. Activities note what they did in the file FLOWS_LOG."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from weft import activity, workflow
from weft.activity import Retry


def note(text: str) -> None:
    """One line, whole also when the process is killed right after."""
    path = os.environ.get("FLOWS_LOG")
    if path:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(fd, f"{text}\n".encode())
        os.close(fd)


@activity.define
async def step(name: str) -> str:
    note(f"{activity.info().workflow_id} {name}")
    return f"{name} done"


@activity.define(retry=Retry(max_attempts=1))
async def hold(name: str) -> str:
    """Takes as long as the file FLOWS_HOLD exists."""
    note(f"{activity.info().workflow_id} {name} begun")
    while Path(os.environ["FLOWS_HOLD"]).exists():  # noqa: ASYNC110, ASYNC240  # a file is what another process can remove
        await asyncio.sleep(0.05)
    note(f"{activity.info().workflow_id} {name}")
    return f"{name} done"


@workflow.define
async def three_steps(ctx: workflow.Context, _order: str) -> list[str]:
    """A and B are quick; C takes as long as it is held up."""
    return [
        await ctx.execute_activity(step, "A"),
        await ctx.execute_activity(step, "B"),
        await ctx.execute_activity(hold, "C"),
    ]


@workflow.define
async def sleep_and_wait(ctx: workflow.Context, seconds: float) -> dict[str, object]:
    """An activity, a durable sleep, a signal with a long timeout, an activity."""
    before = await ctx.execute_activity(step, "before")
    slept_from = ctx.now()
    await asyncio.sleep(seconds)
    slept_s = (ctx.now() - slept_from).total_seconds()
    approval = await ctx.receive_signal("approval", dict[str, object], timeout=3600)
    after = await ctx.execute_activity(step, "after")
    return {"before": before, "slept_s": slept_s, "approval": approval, "after": after}


@workflow.define
async def collect(ctx: workflow.Context, count: int) -> list[object]:
    """So many signals named `item`, in their order."""
    return [await ctx.receive_signal("item") for _ in range(count)]


@workflow.define
async def long_history(ctx: workflow.Context, count: int) -> int:
    """Enough steps for several pages of history, then a signal."""
    for number in range(count):
        await ctx.execute_activity(step, f"{number:05d} " + "x" * 100)
    await ctx.receive_signal("go")
    return count


@activity.define
async def draw(limit: int) -> int:
    """As non-deterministic as can be: each run of it gives another number."""
    number = secrets.randbelow(limit)
    note(f"{activity.info().workflow_id} drew {number}")
    return number


@workflow.define
async def lottery(ctx: workflow.Context, limit: int) -> str:
    """Takes a path that only the recorded draw decides."""
    number = await ctx.execute_activity(draw, limit)
    await ctx.receive_signal("go")
    if number % 2:
        await ctx.sleep(0.01)
        return f"odd {number}"
    await ctx.execute_activity(step, "even")
    return f"even {number}"


@workflow.define
async def elsewhere(ctx: workflow.Context) -> object:
    """Its one activity is nobody's here: the test completes it."""
    return await ctx.execute_activity("afar")


@activity.define
async def double(number: int) -> int:
    return 2 * number


@activity.define(inline=True)
async def double_inline(number: int) -> int:
    return 2 * number


@workflow.define
async def tally(ctx: workflow.Context, count: int) -> list[object]:
    """A bit of everything: activities on a queue and inline, a timer, two signals named `word`."""
    total = 0
    for number in range(count):
        total += await ctx.execute_activity(double, number)
        total += await ctx.execute_activity(double_inline, number)
        await asyncio.sleep(0.01)
    return [total, *[await ctx.receive_signal("word") for _ in range(2)]]


@workflow.define
async def open_end(ctx: workflow.Context) -> None:
    """Waits for a signal that never comes."""
    await ctx.execute_activity(double, 1)
    await ctx.receive_signal("never")


@workflow.define
async def nap(ctx: workflow.Context, seconds: float) -> str:
    """A timer between two activities."""
    await ctx.execute_activity(step, "before")
    await asyncio.sleep(seconds)
    return await ctx.execute_activity(step, "after")


@workflow.define
async def basket(ctx: workflow.Context) -> list[str]:
    """Takes lines as updates until it is closed."""
    lines: list[str] = []

    def not_twice(line: str) -> None:
        if line in lines:
            raise ValueError(f"{line} is there already")

    @ctx.on_update("add", validator=not_twice)
    def add(line: str) -> int:
        lines.append(line)
        return len(lines)

    @ctx.on_update("drop")
    def drop(line: str) -> list[str]:
        lines.remove(line)
        return lines

    @ctx.on_update("wait")
    async def wait() -> None:
        await ctx.receive_signal("never")

    await ctx.receive_signal("close")
    return lines


@workflow.define
async def stopping(ctx: workflow.Context) -> list[str]:
    """Its update takes as long as the file FLOWS_HOLD exists."""
    done: list[str] = []
    stopped: list[bool] = []

    @ctx.on_update("hold")
    async def hold_up(name: str) -> list[str]:
        done.append(await ctx.execute_activity(hold, name))
        return done

    ctx.on_update("stop")(lambda: stopped.append(True))
    await ctx.wait_condition(lambda: stopped)
    return done
