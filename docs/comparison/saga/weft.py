from weft import activity, workflow


@activity.define
async def book(part: str) -> str:
    return f"{part} booked"


@activity.define
async def give_back(part: str) -> None: ...


@workflow.define
async def travel(ctx: workflow.Context, parts: list[str]) -> str:
    async with ctx.saga() as saga:
        for part in parts:
            saga.on_failure(give_back, part)
            await ctx.execute_activity(book, part)
    return f"{len(parts)} booked"
