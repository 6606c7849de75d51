"""Three steps, of which the last takes a while: time enough to kill the worker.

python -m examples.crash.demo
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from weft import activity, workflow

NOTES = "CRASH_NOTES"
"""Names the file in which each step notes that it runs: what no history is asked for."""


@activity.define
async def step(name: str, seconds: float) -> str:
    if path := os.environ.get(NOTES):
        with Path(path).open("a", encoding="utf-8") as notes:  # noqa: ASYNC230  # a line
            notes.write(f"{name}\n")
    await asyncio.sleep(seconds)
    return f"{name} done"


@workflow.define
async def three_steps(ctx: workflow.Context, seconds: float) -> list[str]:
    return [
        await ctx.execute_activity(step, "A", 0.0),
        await ctx.execute_activity(step, "B", 0.0),
        await ctx.execute_activity(step, "C", seconds),
    ]
