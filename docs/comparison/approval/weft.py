from datetime import timedelta

from weft import workflow


@workflow.define
async def approval(ctx: workflow.Context, order: str) -> str:
    try:
        by = await ctx.receive_signal("approval", str, timeout=timedelta(days=2))
    except TimeoutError:
        return f"{order}: nobody approved"
    return f"{order}: approved by {by}"
