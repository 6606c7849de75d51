"""Three steps, of which the last is held up for as long as somebody wants: time enough to kill the worker.

python -m examples.crash.demo
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from weft import activity, workflow

FOLDER = "CRASH_FOLDER"
"""Names the folder in which each step notes that it runs, and in which the file `hold` holds step C up."""


@activity.define
async def step(name: str) -> str:
    folder = Path(os.environ.get(FOLDER, "."))
    note(folder, name)
    while name == "C" and (folder / "hold").exists():  # noqa: ASYNC110  # another process removes it
        await asyncio.sleep(0.05)
    return f"{name} done"


def note(folder: Path, name: str) -> None:
    with (folder / "notes").open("a", encoding="utf-8") as notes:
        notes.write(f"{name}\n")


@workflow.define
async def three_steps(ctx: workflow.Context) -> list[str]:
    return [await ctx.execute_activity(step, name) for name in "ABC"]
