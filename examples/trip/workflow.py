"""A trip: a reservation for each leg, by this department's workers, and an invoice, by those of another namespace.

weft dev examples/trip/workflow.py
weft topics create --namespace billing
weft worker examples/trip/billing.py --namespace billing
weft start book_trip --input '{"traveller": "Ada", "legs": ["Oslo-Bergen", "Bergen-Oslo"]}' --id trip-1 --wait
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ChildWorkflowError

BILLING = "billing"


@dataclass(frozen=True)
class Trip:
    """What the traveller asked for."""

    traveller: str
    legs: list[str]


@dataclass(frozen=True)
class Booking:
    """`invoice` is the other department's number; empty when it would not make one, and then nothing is reserved."""

    seats: list[str]
    invoice: str = ""
    reason: str = ""


@activity.define
async def hold_seat(leg: str) -> str:
    return f"{leg}/12A"


@activity.define
async def release_seat(seat: str) -> None:
    """Nobody else holds it: releasing it twice does no harm."""


@workflow.define
async def reserve(ctx: workflow.Context, leg: str) -> str:
    """One leg. It keeps its seat until it is told what becomes of the trip, and gives it back if nobody says."""
    seat = await ctx.execute_activity(hold_seat, leg)
    ctx.set_status(f"holds {seat}")
    try:
        verdict = await ctx.receive_signal("verdict", str, timeout=timedelta(hours=1))
    except (TimeoutError, asyncio.CancelledError):
        async with ctx.cancel_scope(shield=True):
            await ctx.execute_activity(release_seat, seat)
        raise
    if verdict != "paid":
        await ctx.execute_activity(release_seat, seat)
        return ""
    return seat


@workflow.define
async def book_trip(ctx: workflow.Context, trip: Trip) -> Booking:
    """Each reservation and the invoice is a workflow of its own; `parent_close="cancel"` lets them clean up."""
    leg = reserve.options(parent_close="cancel")
    reservations = [await ctx.start_child(leg, each) for each in trip.legs]
    invoice = workflow.child(
        "make_invoice", namespace=BILLING, retry=Retry(max_attempts=3), timeout=timedelta(minutes=5)
    )
    number, reason = "", ""
    try:
        number = await ctx.execute_child(
            invoice, {"customer": trip.traveller, "items": len(trip.legs)}
        )
    except ChildWorkflowError as error:
        reason = f"{error.type}: {error.message}"
    for reservation in reservations:
        await reservation.signal("verdict", "paid" if number else "off")
    seats = [seat for reservation in reservations if (seat := await reservation)]
    return Booking(seats, number, reason)
