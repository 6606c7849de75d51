"""An order desk with a mistake: whoever was charged and gets nothing is not refunded. The demonstration must notice."""

from __future__ import annotations

import asyncio

from examples.orders import workflow as good
from examples.orders.model import ApprovalRefused, Order, Outcome
from examples.orders.workflow import charge, pick, refund, release_stock, reserve_stock, ship

from weft import workflow
from weft.errors import ActivityError

__all__ = ["charge", "fulfil", "pick", "refund", "release_stock", "reserve_stock", "ship"]


@workflow.define
async def fulfil(ctx: workflow.Context, order: Order) -> Outcome:
    reservation = await ctx.execute_activity(reserve_stock, order)
    try:
        await ctx.execute_activity(charge, order)
        picks = await asyncio.gather(
            *(ctx.execute_activity(pick, order.id, line) for line in order.lines)
        )
        if order.needs_approval:
            await good.approved(ctx)
        shipment = await ctx.execute_activity(ship, order, picks)
    except (ActivityError, ApprovalRefused, TimeoutError) as problem:
        await ctx.execute_activity(release_stock, reservation)
        outcome = good.outcome_of(problem)
        assert outcome is not None
        return outcome
    return Outcome("shipped", tracking=shipment.tracking)
