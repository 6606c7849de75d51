import restate

greeter = restate.Service("greeter")


async def greet(name: str) -> str:
    return f"Hello, {name}!"


@greeter.handler()
async def hello(ctx: restate.Context, name: str) -> str:
    return await ctx.run_typed("greet", greet, name=name)


app = restate.app([greeter])
