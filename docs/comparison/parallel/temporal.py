import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def pick(line: str) -> str:
    return f"{line} picked"


@workflow.defn
class Fulfil:
    @workflow.run
    async def run(self, lines: list[str]) -> list[str]:
        limit = timedelta(minutes=10)
        return await asyncio.gather(
            *(workflow.execute_activity(pick, line, start_to_close_timeout=limit) for line in lines)
        )
