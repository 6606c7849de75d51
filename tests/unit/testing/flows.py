"""Workflows and activities for tests of the test kit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError, Failure


class CardDeclined(Failure):
    """No retry helps."""


@dataclass(frozen=True)
class Receipt:
    order: str
    cents: int


@activity.define(retry=Retry(max_attempts=3, initial_interval=1.0, non_retryable=[CardDeclined]))
async def charge(order: str) -> Receipt:
    return Receipt(order, 100)


@activity.define
def weigh(order: str) -> int:
    """A plain function: in production it runs in a thread."""
    return len(order)


@activity.define(inline=True)
async def price(order: str) -> int:
    return len(order) * 10


@workflow.define
async def buy(ctx: workflow.Context, order: str) -> str:
    receipt = await ctx.execute_activity(charge, order)
    weight, cents = await asyncio.gather(
        ctx.execute_activity(weigh, order), ctx.execute_activity(price, order)
    )
    return f"{receipt.cents} {weight} {cents}"


@workflow.define
async def approved(ctx: workflow.Context, order: str) -> str:
    await ctx.sleep(timedelta(days=30))
    try:
        by = await ctx.receive_signal("approval", str, timeout=timedelta(days=2))
    except TimeoutError:
        return "nobody"
    receipt = await ctx.execute_activity(charge, order)
    return f"{by} {receipt.cents}"


@workflow.define
async def bounded(ctx: workflow.Context, kind: str) -> str:
    options = {
        "start": charge.options(timeout=timedelta(minutes=1)),
        "close": charge.options(schedule_to_close=timedelta(minutes=1)),
        "queue": charge.options(
            schedule_to_start=timedelta(minutes=1), retry=Retry(max_attempts=1)
        ),
        "heartbeat": charge.options(heartbeat_timeout=timedelta(minutes=1)),
    }
    try:
        await ctx.execute_activity(options[kind], kind)
    except ActivityError as error:
        return f"{error.type} after {error.attempts}"
    return "in time"


@workflow.define
async def cleaned(ctx: workflow.Context) -> None:
    try:
        await ctx.receive_signal("never")
    finally:
        await ctx.execute_activity(weigh, "on the way out")


@workflow.define
async def endless(ctx: workflow.Context) -> None:
    while True:
        await ctx.sleep(1)


@workflow.define
async def patient(ctx: workflow.Context) -> str:
    """Takes the last of its signals only."""
    first = await ctx.receive_signal("word", str)
    await ctx.sleep(10)
    return first


@workflow.define
async def long(ctx: workflow.Context, count: int) -> int:
    total = 0
    for number in range(count):
        total += await ctx.execute_activity(weigh, "x" * number)
    return total


@workflow.define
async def basket(ctx: workflow.Context) -> int:
    """An update that takes a day and an activity, and one that ends it."""
    weights: list[int] = []
    paid: list[bool] = []

    def not_heavy(name: str) -> None:
        if sum(weights) + len(name) > 20:
            raise Failure("too heavy", type="TooHeavy")

    @ctx.on_update("add", validator=not_heavy)
    async def add(name: str) -> list[int]:
        weight = await ctx.execute_activity(weigh, name)
        await ctx.sleep(timedelta(days=1))
        weights.append(weight)
        return weights

    @ctx.on_update("pay")
    def pay(cents: int) -> str:
        if not cents:
            raise CardDeclined("no money")
        paid.append(True)
        return "thanks"

    await ctx.wait_condition(lambda: paid)
    await ctx.wait_condition(ctx.all_handlers_finished)
    return sum(weights)


@workflow.define
async def progressing(ctx: workflow.Context, count: int) -> int:
    done = 0
    ctx.on_query("done")(lambda: done)
    while done < count:
        await ctx.receive_signal("next")
        done += 1
    return done


@workflow.define
async def collecting(ctx: workflow.Context, count: int) -> list[int]:
    """Its handler takes its time."""
    weights: list[int] = []

    @ctx.on_signal("order")
    async def order(name: str) -> None:
        weights.append(await ctx.execute_activity(weigh, name))
        await ctx.sleep(timedelta(days=1))

    await ctx.wait_condition(lambda: len(weights) == count)
    await ctx.wait_condition(ctx.all_handlers_finished)
    return weights
