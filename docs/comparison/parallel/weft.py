import asyncio

from weft import activity, workflow


@activity.define
async def pick(line: str) -> str:
    return f"{line} picked"


@workflow.define
async def fulfil(ctx: workflow.Context, lines: list[str]) -> list[str]:
    return await asyncio.gather(*(ctx.execute_activity(pick, line) for line in lines))
