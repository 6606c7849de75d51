"""Steps that are undone when what follows them fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.runs import DrivenRun
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.errors import UsageError
from weft.workflow import Context


@activity.define
async def reserve(order: str) -> str:
    return order


@activity.define
async def release(order: str) -> None: ...


@activity.define
async def charge(order: str) -> str:
    return order


@activity.define
async def refund(order: str, in_full: str = "") -> None: ...


@activity.define
async def ship(order: str) -> str:
    return order


@workflow.define
async def fulfil(ctx: Context, order: str) -> str:
    async with ctx.saga() as saga:
        await ctx.execute_activity(reserve, order)
        saga.on_failure(release, order)
        await ctx.execute_activity(charge, order)
        saga.on_failure(refund, order, in_full="yes")
        return await ctx.execute_activity(ship, order)


def charged(drive: Drive) -> DrivenRun:
    """Reserved and charged, and about to ship."""
    run = drive(fulfil, "A-1")
    run.complete("reserve", "A-1")
    run.complete("charge", "A-1")
    return run


def test_saga_undoes_nothing_when_the_block_ends_well(drive: Drive) -> None:
    run = charged(drive)
    run.complete("ship", "by sea")
    assert (run.status, run.result) == ("completed", "by sea")


@pytest.mark.requirement("R2-30")
def test_saga_undoes_the_steps_that_were_done_last_first_when_one_fails(drive: Drive) -> None:
    run = charged(drive)
    run.fail_for_good("ship")
    assert (run.open, run.inputs) == (["refund"], [["A-1", "yes"]])
    run.complete("refund")
    assert (run.open, run.inputs) == (["release"], [["A-1"]])
    run.complete("release")
    assert run.status == "failed"
    assert run.failure.type == "RuntimeError"


def test_saga_undoes_no_step_that_was_not_done(drive: Drive) -> None:
    run = drive(fulfil, "A-1")
    run.complete("reserve", "A-1")
    run.fail_for_good("charge")
    assert run.open == ["release"]
    run.complete("release")
    assert run.status == "failed"


def test_saga_undoes_when_the_run_is_cancelled_and_the_run_ends_cancelled(drive: Drive) -> None:
    run = charged(drive)
    run.cancel("changed my mind")
    assert run.open == ["refund"]
    run.complete("refund")
    run.complete("release")
    assert run.status == "cancelled"


def test_saga_goes_on_undoing_when_the_run_is_cancelled_meanwhile(drive: Drive) -> None:
    run = charged(drive)
    run.fail_for_good("ship")
    run.cancel("enough")
    assert run.open == ["refund"], "as it was"
    run.complete("refund")
    assert run.open == ["release"]
    run.complete("release")
    assert run.status == "failed"


def test_saga_undoes_the_others_when_one_cannot_be_undone_and_names_it(drive: Drive) -> None:
    run = charged(drive)
    run.fail_for_good("ship", "NoShip")
    run.fail_for_good("refund", "BankDown")
    run.complete("release")
    failure = run.failure
    assert failure.type == "CompensationError"
    assert "1 of 2 steps could not be undone (refund: " in failure.message
    assert "BankDown" in failure.message
    assert failure.cause is not None
    assert failure.cause.type == "NoShip"


@workflow.define
async def by_hand(ctx: Context) -> list[str]:
    """Undone by an activity of another app, and by the workflow's own code."""
    done: list[str] = []

    async def tidy(what: str) -> None:
        done.append(what)
        await ctx.sleep(5)

    try:
        async with ctx.saga() as saga:
            saga.on_failure("elsewhere", 7)
            saga.on_failure(tidy, "desk")
            async with asyncio.timeout(60):
                await ctx.receive_signal("never")
    except TimeoutError:
        done.append("over")
    return done


def test_saga_takes_names_and_functions_and_is_over_before_the_error_goes_on(drive: Drive) -> None:
    run = drive(by_hand)
    run.advance(60_000)
    assert run.open == []
    run.advance(5_000)
    assert (run.open, run.inputs) == (["elsewhere"], [[7]])
    run.complete("elsewhere")
    assert run.result == ["desk", "over"]


@workflow.define
async def wrongly(ctx: Context) -> None:
    async with ctx.saga() as saga:
        undo: Any = print
        saga.on_failure(undo, "nothing")


def test_saga_refuses_what_it_could_not_wait_for(drive: Drive) -> None:
    run = drive(wrongly)
    assert run.failure.type == UsageError.__name__
    assert "an activity, its name, or an async function" in run.failure.message


@pytest.mark.parametrize("steps", range(3))
def test_saga_does_nothing_when_its_code_is_dropped(drive: Drive, steps: int) -> None:
    run = drive(fulfil, "A-1")
    for step in ("reserve", "charge")[:steps]:
        run.complete(step, "A-1")
    commands_before = len(run.events)
    run.crash()
    assert len(run.events) == commands_before
    run.complete(run.open[0], "A-1")
    assert run.status == ("completed" if steps == 2 else "running")
