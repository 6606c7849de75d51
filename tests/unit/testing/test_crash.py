"""`crash_everywhere`: what comes through a crash anywhere, and what does not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.testing import flows
from tests.unit.testing.flows import Receipt, charge, price, weigh
from weft import workflow
from weft.errors import NondeterminismError, UpdateFailedError, UpdateRejectedError, UsageError
from weft.testing import CrashError, Environment, Handle, crash_everywhere
from weft.testing import _crash as kit
from weft.testing._owner import Owner

_kept: dict[str, list[str]] = {}
"""What a careless workflow keeps outside of its own variables."""


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    _kept.clear()


def approve(env: Environment, run: Handle[Any]) -> None:
    env.fake(charge, RuntimeError("down"), Receipt("lamp", 5))
    run.signal("approval", "Grace", after=timedelta(days=31))


def order(_: Environment, run: Handle[Any]) -> None:
    run.signal("order", "lamp")
    run.signal("order", "desk lamp", after=60)


def fill(_: Environment, run: Handle[Any]) -> None:
    """With updates in flight, and one that is rejected."""
    run.update("add", "lamp", wait="accepted")
    assert run.update("add", "chair") == [4, 5]
    with pytest.raises(UpdateRejectedError):
        run.update("add", "grand piano, black")
    with pytest.raises(UpdateFailedError):
        run.update("pay", 0)
    run.update("pay", 1, after=60)


@pytest.mark.requirement("R1-28", "R2-42")
def test_workflow_comes_through_a_crash_at_every_event() -> None:
    assert crash_everywhere(flows.approved, "lamp", play=approve) == "Grace 5"
    assert crash_everywhere(flows.buy, "lamp") == "100 4 40"
    assert crash_everywhere(flows.collecting, 2, play=order) == [4, 9]
    assert crash_everywhere(flows.basket, play=fill) == 9


@workflow.define
async def at_once(ctx: workflow.Context, count: int) -> list[int]:
    gate = asyncio.Semaphore(count // 2)
    order: list[int] = []

    async def one(number: int) -> None:
        async with gate:
            await ctx.execute_activity(weigh, str(number))
            order.append(number)

    await asyncio.gather(*(one(number) for number in range(count)))
    return order


def test_what_ends_at_one_moment_ends_in_the_same_order_whatever_crashed() -> None:
    """More than a second each, so that starts are noted, and other timers are set, in between."""

    def play(env: Environment, _: object) -> None:
        env.fake(weigh, 1, takes=30)

    assert crash_everywhere(at_once, 10, play=play) == list(range(10))


def test_each_event_has_its_crash_and_all_of_them_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rebuilt: list[int] = []
    rebuild = Owner._rebuild

    def noted(owner: Owner) -> None:
        rebuilt.append(1)
        rebuild(owner)

    monkeypatch.setattr(Owner, "_rebuild", noted)
    assert crash_everywhere(flows.patient, play=lambda _, run: run.signal("word", "x")) == "x"
    # Three turns (start, signal, timer), each lost before its commit and once more after it: alone, then all together.
    assert len(rebuilt) == 2 * (3 + 3)


@pytest.mark.parametrize("ending", ["fail", "cancel", "terminate", "suspend"])
def test_run_that_is_interfered_with_comes_through_too(ending: str) -> None:
    def play(env: Environment, run: Handle[Any]) -> None:
        env.fake(charge, RuntimeError("never") if ending == "fail" else Receipt("", 1), takes=60)
        env.fake(weigh, 1, takes=30)
        if ending == "fail":
            return
        if ending == "cancel":
            run.cancel("enough", after=10)
        elif ending == "terminate":
            run.terminate("enough", after=10)
        else:
            run.suspend(after=10)
            run.resume(after=100)

    result = crash_everywhere(flows.buy, "lamp", play=play)
    assert result == ("1 1 40" if ending == "suspend" else None)


def test_inline_activities_that_run_again_do_not_change_the_outcome() -> None:
    def play(env: Environment, run: Handle[Any]) -> None:
        env.fake(price, 1, takes=60)
        env.fake(weigh, 2, takes=30)

    assert crash_everywhere(flows.buy, "lamp", play=play) == "100 2 1"


@workflow.define
async def forgetful(ctx: workflow.Context, order: str) -> int:
    """Counts in a module's global."""
    words = _kept.setdefault(ctx.info.run_id, [])
    while len(words) < 2:
        words.append(await ctx.receive_signal("word", str))
        await ctx.sleep(1)
    return len(words)


def say_two_words(env: Environment, run: Handle[Any]) -> None:
    _kept.clear()
    run.signal("word", "one")
    run.signal("word", "two", after=timedelta(hours=1))


def test_workflow_that_keeps_state_elsewhere_is_caught_at_its_first_turn() -> None:
    with pytest.raises(NondeterminismError, match="keep state in the workflow's own variables"):
        crash_everywhere(forgetful, "lamp", play=say_two_words)


@workflow.define
async def loses_a_signal(ctx: workflow.Context) -> str:
    """Whether it waits for the signal follows from what this process has seen: a new process takes another path."""
    await ctx.sleep(timedelta(hours=1))
    if ctx.info.run_id in _kept:
        return await ctx.receive_signal("word", str)
    await ctx.sleep(timedelta(hours=1))
    return "nobody spoke"


def test_crash_error_names_the_event_when_a_workflow_ends_otherwise() -> None:
    """What the process knows is put there by the test and lost by the crash, as a cache of its own would be."""

    def play(env: Environment, run: Handle[Any]) -> None:
        _kept[run.run_id] = []
        crashes = env._owner.crashes

        def forget(workflow_id: str, run_id: str, first: int, last: int) -> bool:
            is_lost = crashes is not None and crashes(workflow_id, run_id, first, last)
            if is_lost:
                _kept.clear()
            return is_lost

        env._owner.crashes = forget
        run.signal("word", "hello")

    with pytest.raises(CrashError) as caught:
        crash_everywhere(loses_a_signal, play=play)
    text = str(caught.value)
    assert "after a crash at event 3 of loses_a_signal-1 (SignalReceived)" in text
    assert 'completed with "hello" without it, completed with "nobody spoke" with it' in text


def test_first_run_that_fails_its_test_is_no_matter_of_crashes() -> None:
    def play(env: Environment, run: Handle[Any]) -> None:
        env.fake(charge, "no receipt")

    with pytest.raises(UsageError, match="gave what the activity never does"):
        crash_everywhere(flows.buy, "lamp", play=play)
    with pytest.raises(UsageError, match="at least one crash"):
        crash_everywhere(flows.buy, "lamp", crashes_max=0)


def test_places_are_spread_over_a_long_run() -> None:
    turns = [kit._Turn("a", "r", number, number) for number in range(10)]
    assert [turn.first_event_id for turn in kit._spread(turns, 5)] == [0, 2, 4, 6, 8]
    assert kit._spread(turns, 10) == turns
