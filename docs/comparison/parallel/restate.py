import restate

store = restate.Service("store")


@store.handler()
async def pick(ctx: restate.Context, line: str) -> str:
    return f"{line} picked"


@store.handler()
async def fulfil(ctx: restate.Context, lines: list[str]) -> list[str]:
    calls = [ctx.service_call(pick, arg=line) for line in lines]
    return [await call for call in await restate.gather(*calls)]
