"""The order desk: `fulfil` takes an order from the shelf to the customer, or undoes what was done.

    weft worker examples/orders/workflow.py --kafka broker:9092

Reserve, charge, pick all lines at once, wait for the approval of a large order, ship. Whatever fails after a step was
done, that step is undone, the last one first.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from examples.orders import world
from examples.orders.model import (
    AddressRefused,
    Approval,
    ApprovalRefused,
    CardDeclined,
    CardTerminalDown,
    Line,
    Order,
    Outcome,
    Pick,
    Receipt,
    Reservation,
    Shipment,
)
from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError

APPROVAL_TIMEOUT = timedelta(seconds=10)
"""Two days in real life. Here: longer than a killed worker is away, and no longer than somebody watches."""

TRY_HARD = Retry(max_attempts=20, initial_interval=timedelta(milliseconds=100))
"""For what must not be left undone."""


@activity.define
async def reserve_stock(order: Order) -> Reservation:
    await world.act(order.id)
    return Reservation(order.id, sum(line.quantity for line in order.lines))


@activity.define(retry=TRY_HARD)
async def release_stock(reservation: Reservation) -> None:
    await world.act(reservation.order_id)


@activity.define(
    retry=Retry(
        max_attempts=5,
        initial_interval=timedelta(milliseconds=50),
        non_retryable=[CardDeclined],
    ),
    timeout=timedelta(seconds=30),
)
async def charge(order: Order) -> Receipt:
    error: Exception | None = None
    if world.card_is_declined(order.id):
        error = CardDeclined(f"the card of {order.customer} was declined")
    elif activity.info().attempt <= world.card_terminal_failures(order.id):
        error = CardTerminalDown("the card terminal does not answer")
    await world.act(order.id, error)
    return Receipt(order.id, order.amount_cents)


@activity.define(retry=TRY_HARD)
async def refund(receipt: Receipt) -> None:
    await world.act(receipt.order_id)


@activity.define
async def pick(order_id: str, line: Line) -> Pick:
    await world.act(order_id)
    return Pick(line.sku, line.quantity, shelf=f"{line.sku.removeprefix('SKU-'):0>4}")


@activity.define(retry=Retry(non_retryable=[AddressRefused]))
async def ship(order: Order, picks: list[Pick]) -> Shipment:
    refused = world.address_is_refused(order.id)
    await world.act(order.id, AddressRefused("the carrier does not go there") if refused else None)
    return Shipment(order.id, f"{order.country}-{order.id.removeprefix('order-')}-{len(picks)}")


@workflow.define
async def fulfil(ctx: workflow.Context, order: Order) -> Outcome:
    try:
        async with ctx.saga() as saga:
            reservation = await ctx.execute_activity(reserve_stock, order)
            saga.on_failure(release_stock, reservation)
            receipt = await ctx.execute_activity(charge, order)
            saga.on_failure(refund, receipt)
            picks = await asyncio.gather(
                *(ctx.execute_activity(pick, order.id, line) for line in order.lines)
            )
            if order.needs_approval:
                await approved(ctx)
            shipment = await ctx.execute_activity(ship, order, picks)
    except Exception as problem:
        outcome = outcome_of(problem)
        if outcome is None:
            raise
        return outcome
    return Outcome("shipped", tracking=shipment.tracking)


async def approved(ctx: workflow.Context) -> None:
    """Return once somebody has approved. Raises ApprovalRefused, or TimeoutError when nobody answers."""
    approval = await ctx.receive_signal("approval", Approval, timeout=APPROVAL_TIMEOUT)
    if not approval.approved:
        raise ApprovalRefused(f"approval refused by {approval.by}: {approval.note}")


def outcome_of(problem: BaseException) -> Outcome | None:
    """How an order ends that cannot be shipped; None for what should not happen, which fails the run."""
    match problem:
        case ActivityError() if problem.is_a(CardDeclined):
            return Outcome("declined", problem.message)
        case ActivityError() if problem.is_a(AddressRefused):
            return Outcome("refunded", problem.message)
        case ApprovalRefused():
            return Outcome("refunded", problem.message)
        case TimeoutError():
            return Outcome("timed_out", "not approved in time")
        case _:
            return None
