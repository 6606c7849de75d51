"""The other department: its own namespace, its own topics and workers. It knows nothing of trips.

weft worker examples/trip/billing.py --namespace billing
"""

from __future__ import annotations

from dataclasses import dataclass

from weft import activity, workflow
from weft.errors import Failure

ITEMS_MAX = 10


@dataclass(frozen=True)
class Order:
    """What is to be paid for."""

    customer: str
    items: int


class CreditLimit(Failure):
    """Too much for this customer. Trying again does not help."""


@activity.define
async def charge(customer: str, items: int) -> str:
    if items > ITEMS_MAX:
        raise CreditLimit(f"{customer} may buy {ITEMS_MAX} at most", non_retryable=True)
    return f"{customer}-{items}"


@workflow.define
async def make_invoice(ctx: workflow.Context, order: Order) -> str:
    """Whoever asks gets a number."""
    receipt = await ctx.execute_activity(charge, order.customer, order.items)
    return f"invoice-{receipt}"
