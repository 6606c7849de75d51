"""Waiting until the code's own state says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.unit.workflow.conftest import Drive
from weft import workflow
from weft.errors import TurnLimitError
from weft.workflow import Context, _conditions


@workflow.define
async def tally(ctx: Context, wanted: int) -> list[int]:
    got: list[int] = []

    async def listen() -> None:
        async for number in ctx.signals("number", int):
            got.append(number)  # noqa: PERF401  # one by one is the point

    listening = asyncio.create_task(listen())
    await ctx.wait_condition(lambda: len(got) >= wanted)
    listening.cancel()
    return got


def test_condition_is_met_by_the_step_that_makes_it_true(drive: Drive) -> None:
    run = drive(tally, 2)
    run.signal("number", 4)
    assert run.status == "running"
    run.signal("number", 5)
    assert run.result == [4, 5]


def test_condition_that_is_true_already_is_not_waited_for(drive: Drive) -> None:
    assert drive(tally, 0).result == []


@workflow.define
async def patient(ctx: Context) -> str:
    state = {"open": False}

    async def listen() -> None:
        await ctx.receive_signal("open")
        state["open"] = True

    listening = asyncio.create_task(listen())
    try:
        await ctx.wait_condition(lambda: state["open"], timeout=timedelta(days=2))
    except TimeoutError as error:
        listening.cancel()
        return str(error)
    return "open"


def test_condition_is_given_up_after_its_timeout(drive: Drive) -> None:
    run = drive(patient)
    run.advance(timedelta(days=2))
    assert run.result == "no condition became true in time"


def test_timer_of_a_condition_goes_once_it_is_met(drive: Drive) -> None:
    run = drive(patient)
    assert run.timers == [2 * 24 * 3600 * 1000]
    run.signal("open")
    assert (run.result, run.timers) == ("open", [])


@workflow.define
async def relay(ctx: Context) -> list[str]:
    """Each condition is made true by who waited for the one before."""
    told: list[str] = []

    async def runner(name: str, after: str) -> None:
        await ctx.wait_condition(lambda: after in told)
        told.append(name)

    runners = [asyncio.create_task(runner(name, after)) for name, after in (("c", "b"), ("b", "a"))]
    told.append(await ctx.receive_signal("first", str))
    await asyncio.gather(*runners)
    return told


def test_conditions_that_follow_from_one_another_are_met_in_one_turn(drive: Drive) -> None:
    run = drive(relay)
    run.signal("first", "a")
    assert run.result == ["a", "b", "c"]


@workflow.define
async def broken(ctx: Context) -> str:
    state: dict[str, int] = {}
    waiting = ctx.wait_condition(lambda: state.get("a") is not None and state["b"])
    state["a"] = 1
    try:
        await waiting
    except KeyError as error:
        return f"told: {error}"
    return "met"


def test_what_a_condition_raises_is_told_where_it_is_awaited(drive: Drive) -> None:
    assert drive(broken).result == "told: 'b'"


@workflow.define
async def given_up(ctx: Context) -> str:
    looked: list[int] = []

    def never() -> bool:
        looked.append(1)
        return False

    waiting = ctx.wait_condition(never)
    await asyncio.sleep(0)
    waiting.cancel()
    await ctx.sleep(1)
    before = len(looked)
    await ctx.sleep(1)
    return "alone" if len(looked) == before else "still asked"


def test_condition_that_was_given_up_is_not_asked_any_more(drive: Drive) -> None:
    run = drive(given_up)
    run.advance(2000)
    assert run.result == "alone"


@workflow.define
async def restless(ctx: Context) -> None:
    turns = {"count": 0}

    async def hop(own: int) -> None:
        while True:
            await ctx.wait_condition(lambda: turns["count"] % 2 == own)
            turns["count"] += 1

    await asyncio.gather(hop(0), hop(1))


def test_turn_is_refused_when_its_conditions_do_not_end(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_conditions, "CALLBACKS_MAX", 100)
    with pytest.raises(TurnLimitError, match="100 conditions in one turn"):
        drive(restless)
