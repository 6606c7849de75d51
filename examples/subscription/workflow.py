"""A subscription that is billed every month, for years: each month is a run, which the next one continues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError

PRICES = {"basic": 900, "family": 1900}
"""Cents a month."""
MONTH = timedelta(days=30)
GRACE = timedelta(days=7)


class CardDeclinedError(Exception):
    """The bank does not pay; another card may."""


@dataclass(frozen=True)
class Subscription:
    """What a run is given, and what it hands on to the next."""

    customer: str
    plan: str = "basic"
    months: int = 0
    """Billed so far."""
    paid_cents: int = 0
    months_max: int = 120
    month: timedelta = MONTH


@dataclass(frozen=True)
class Farewell:
    months: int
    paid_cents: int
    reason: str


@activity.define(retry=Retry(max_attempts=5, non_retryable=[CardDeclinedError]))
async def charge(customer: str, cents: int, key: str) -> str:
    """`key` is the same for every attempt of one month's bill: the bank takes it once."""
    return f"receipt {key}: {cents} of {customer}"


@activity.define
async def send_mail(customer: str, text: str) -> None: ...


@workflow.define
async def subscription(ctx: workflow.Context, state: Subscription) -> Farewell:
    """One month. Signals: `change_plan` (from the next month on), `cancel` (at its end), `new_card`."""
    plan, is_cancelled = state.plan, False

    @ctx.on_signal("change_plan")
    def change_plan(wanted: str) -> None:
        nonlocal plan
        if wanted in PRICES:
            plan = wanted
        else:
            ctx.logger.warning("there is no plan %r; %s stays on %s", wanted, state.customer, plan)

    @ctx.on_signal("cancel")
    def cancel() -> None:
        nonlocal is_cancelled
        is_cancelled = True

    ctx.set_status({"plan": state.plan, "month": state.months + 1})
    if not await _bill(ctx, state):
        return Farewell(state.months, state.paid_cents, "unpaid")
    await ctx.sleep(state.month)
    months, paid_cents = state.months + 1, state.paid_cents + PRICES[state.plan]
    if not is_cancelled and months < state.months_max:
        ctx.continue_as_new(replace(state, plan=plan, months=months, paid_cents=paid_cents))
    await ctx.execute_activity(send_mail, state.customer, "Goodbye")
    return Farewell(months, paid_cents, "cancelled" if is_cancelled else "over")


async def _bill(ctx: workflow.Context, state: Subscription) -> bool:
    """Whether this month is paid: with the card that is known, or with another one within a week."""
    key = f"{ctx.info.workflow_id}/{state.months + 1}"
    while True:
        try:
            await ctx.execute_activity(charge, state.customer, PRICES[state.plan], key)
        except ActivityError as error:
            if not error.is_a(CardDeclinedError):
                raise
        else:
            return True
        await ctx.execute_activity(send_mail, state.customer, "Your card was declined")
        try:
            await ctx.receive_signal("new_card", timeout=GRACE)
        except TimeoutError:
            return False
