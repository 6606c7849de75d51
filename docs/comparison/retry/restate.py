import asyncio
from datetime import timedelta

import restate


class CardDeclined(restate.TerminalError): ...


payments = restate.Service("payments")


async def charge(order: str) -> str:
    async with asyncio.timeout(20):
        return f"receipt for {order}"


@payments.handler()
async def pay(ctx: restate.Context, order: str) -> str:
    options = restate.RunOptions[str](
        max_attempts=10,
        initial_retry_interval=timedelta(seconds=1),
        max_retry_interval=timedelta(seconds=30),
    )
    return await ctx.run_typed("charge", charge, options, order=order)
