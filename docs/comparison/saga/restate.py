import restate

trips = restate.Service("trips")


async def book(part: str) -> str:
    return f"{part} booked"


async def give_back(part: str) -> None: ...


@trips.handler()
async def travel(ctx: restate.Context, parts: list[str]) -> str:
    booked: list[str] = []
    try:
        for part in parts:
            booked.append(part)
            await ctx.run_typed("book", book, part=part)
    except restate.TerminalError:
        for part in reversed(booked):
            await ctx.run_typed("give back", give_back, part=part)
        raise
    return f"{len(parts)} booked"
