"""Subscription billing: a year in virtual time, a run each month, and on either log with months of a moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from examples.subscription.workflow import (
    MONTH,
    PRICES,
    CardDeclinedError,
    Farewell,
    Subscription,
    charge,
    send_mail,
    subscription,
)

from tests.support.serving import make_topics, serving
from weft.client import Client
from weft.log import Log
from weft.testing import Environment, Handle, crash_everywhere

ADA = Subscription("Ada", months_max=12)
DAY = timedelta(days=1)


def test_year_is_twelve_runs_and_twelve_bills(env: Environment) -> None:
    run = env.start(subscription, ADA, id="ada")
    assert run.result() == Farewell(12, 12 * PRICES["basic"], "over")
    assert env.elapsed == 12 * MONTH
    keys = [call.arguments[2] for call in env.calls(charge)]
    assert keys == [f"ada/{month}" for month in range(1, 13)]
    assert len(run.former_histories) == 11
    assert max(len(history.events) for history in run.former_histories) < 10


def test_change_of_plan_counts_from_the_next_month_on(env: Environment) -> None:
    run = env.start(subscription, ADA, id="ada")
    run.signal("change_plan", "family", after=45 * DAY)
    run.signal("change_plan", "golden", after=46 * DAY)
    run.signal("cancel", after=100 * DAY)
    cents = [900, 900, 1900, 1900]
    assert run.result() == Farewell(4, sum(cents), "cancelled")
    assert [call.arguments[1] for call in env.calls(charge)] == cents
    assert env.elapsed == 4 * MONTH


def test_declined_card_may_be_replaced_within_a_week(env: Environment) -> None:
    env.fake(charge, CardDeclinedError("no money"))
    run = env.start(subscription, ADA, id="ada")
    env.advance(3 * DAY)
    env.fake(charge, "a receipt")
    run.signal("new_card")
    run.signal("cancel")
    assert run.result().months == 1
    assert [call.arguments[1] for call in env.calls(send_mail)] == [
        "Your card was declined",
        "Goodbye",
    ]


def test_subscription_ends_when_nobody_pays(env: Environment) -> None:
    env.fake(charge, CardDeclinedError("no money"))
    assert env.start(subscription, ADA).result() == Farewell(0, 0, "unpaid")
    assert env.elapsed == 7 * DAY


def change_and_cancel(env: Environment, run: Handle[Any]) -> None:
    env.fake(charge, ConnectionError("away"), "one receipt", "another", takes=60)
    run.signal("change_plan", "family", after=45 * DAY)
    run.signal("cancel", after=70 * DAY)
    run.suspend(after=50 * DAY)
    run.resume(after=80 * DAY)


@pytest.mark.requirement("R1-28")
def test_subscription_ends_the_same_when_its_worker_crashes_anywhere() -> None:
    assert crash_everywhere(subscription, ADA, id="ada") == Farewell(12, 10_800, "over")
    expected = Farewell(2, 1800, "cancelled")
    assert crash_everywhere(subscription, ADA, id="ada", play=change_and_cancel) == expected


def test_year_of_moments_on_a_log(log: Log, namespace: str) -> None:
    make_topics(log, namespace)
    asyncio.run(_year(log, namespace))


async def _year(log: Log, namespace: str) -> None:
    short = Subscription("Ada", months_max=12, month=timedelta(seconds=0.05))
    async with (
        Client(log, namespace=namespace) as client,
        serving(log, namespace, [subscription], [charge, send_mail]),
    ):
        handle = await client.start(subscription, short, id="ada", wait_s=30)
        await handle.signal("change_plan", "family", timeout_s=30)
        farewell = await handle.result(timeout=60)
        assert (farewell.months, farewell.reason) == (12, "over")
        assert 12 * 900 < farewell.paid_cents <= 12 * 1900
        assert (await handle.describe()).run_number == 12
