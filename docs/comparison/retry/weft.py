from weft import activity, workflow
from weft.activity import Retry


class CardDeclined(Exception): ...


@activity.define(
    retry=Retry(max_attempts=10, initial_interval=1, max_interval=30, non_retryable=[CardDeclined]),
    timeout=20,
)
async def charge(order: str) -> str:
    return f"receipt for {order}"


@workflow.define
async def pay(ctx: workflow.Context, order: str) -> str:
    return await ctx.execute_activity(charge, order)
