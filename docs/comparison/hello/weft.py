from weft import activity, workflow


@activity.define
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.define
async def hello(ctx: workflow.Context, name: str) -> str:
    return await ctx.execute_activity(greet, name)
