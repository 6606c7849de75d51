import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def book(part: str) -> str:
    return f"{part} booked"


@activity.defn
async def give_back(part: str) -> None: ...


@workflow.defn
class Travel:
    @workflow.run
    async def run(self, parts: list[str]) -> str:
        limit = timedelta(minutes=10)
        booked: list[str] = []
        try:
            for part in parts:
                booked.append(part)
                await workflow.execute_activity(book, part, start_to_close_timeout=limit)
        except (Exception, asyncio.CancelledError):
            for part in reversed(booked):
                await workflow.execute_activity(give_back, part, start_to_close_timeout=limit)
            raise
        return f"{len(parts)} booked"
