"""Workflows with long activities, for worker processes. Activities note in the file LONG_LOG what they do and where."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError

ONCE = Retry(max_attempts=1)


def note(text: str) -> None:
    """One line, whole also when the process is killed right after."""
    fd = os.open(os.environ["LONG_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, f"{os.environ['LONG_NAME']} {activity.info().workflow_id} {text}\n".encode())
    os.close(fd)


def is_held() -> bool:
    return Path(os.environ["LONG_HOLD"]).exists()


@activity.define(retry=ONCE)
async def copy(rows: int) -> int:
    """From where the last attempt said that it was; as long as it is held up it stays at the last row but one."""
    first = activity.info().heartbeat_details or 0
    note(f"from {first}, attempt {activity.info().attempt}")
    try:
        for row in range(first, rows):
            activity.heartbeat(row)
            while row == rows - 1 and is_held():  # noqa: ASYNC110  # a file is what another process can remove
                await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("done")
    return rows


@activity.define(retry=ONCE)
def copy_in_thread(rows: int) -> int:
    note("begun")
    try:
        while is_held():
            activity.heartbeat()
            time.sleep(0.05)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("done")
    return rows


@activity.define(inline=True, retry=ONCE)
async def copy_inline(rows: int) -> int:
    note("begun")
    try:
        while is_held():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("done")
    return rows


@activity.define(heartbeat_timeout=1.0, retry=Retry(initial_interval=0.01))
async def hang_once() -> str:
    note(f"attempt {activity.info().attempt}")
    activity.heartbeat("half")
    if activity.info().attempt == 1:
        await asyncio.sleep(60)
    return f"{activity.info().heartbeat_details} was done"


@workflow.define
async def copying(ctx: workflow.Context, rows: int) -> int:
    return await ctx.execute_activity(copy, rows)


@workflow.define
async def impatient(ctx: workflow.Context, name: str) -> str:
    """Gives each kind of activity up after a while, and goes on."""
    chosen = {"async": copy, "thread": copy_in_thread, "inline": copy_inline}[name]
    try:
        async with asyncio.timeout(2.5):
            await ctx.execute_activity(chosen, 3)
    except TimeoutError:
        await ctx.receive_signal("go")
        return "gave up"
    return "done"


@workflow.define
async def hanging(ctx: workflow.Context) -> str:
    return await ctx.execute_activity(hang_once)


@workflow.define
async def limited(ctx: workflow.Context) -> list[str]:
    """An activity that nobody serves, one that takes too long in all, and one that fails until its time is over."""
    said = []
    for step in (
        copy.options(queue="nobody", schedule_to_start=timedelta(seconds=1)),
        copy.options(schedule_to_close=2),
        copy_inline.options(schedule_to_close=0.5),
    ):
        try:
            await ctx.execute_activity(step, 1)
        except ActivityError as error:
            said.append(f"{error.type}: {error.message}")
    return said
