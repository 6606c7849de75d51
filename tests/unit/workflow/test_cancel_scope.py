"""Blocks that are cancelled on their own, and blocks that nothing from outside cancels."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.unit.workflow.conftest import Drive
from weft import workflow
from weft.errors import Failure
from weft.workflow import Context


def fail() -> None:
    raise Failure("on purpose")


both = pytest.mark.parametrize("crashed", [False, True])


@workflow.define
async def cleaning(ctx: Context) -> Any:
    try:
        await ctx.execute_activity("work")
    finally:
        async with ctx.cancel_scope(shield=True):
            await ctx.execute_activity("refund")
            await ctx.execute_activity("notify")


@workflow.define
async def protected(ctx: Context) -> Any:
    async with ctx.cancel_scope(shield=True):
        first = await ctx.execute_activity("reserve")
        second = await asyncio.gather(ctx.execute_activity("a"), ctx.execute_activity("b"))
    await ctx.execute_activity("never")
    return [first, second]


@both
def test_shielded_cleanup_is_done_although_the_workflow_is_cancelled_again(
    drive: Drive, crashed: bool
) -> None:
    run = drive(cleaning, crashed=crashed)
    run.cancel("enough")
    run.complete("refund")
    run.complete("notify")
    assert run.status == "cancelled"


@both
def test_cancellation_comes_through_when_the_shielded_block_is_over(
    drive: Drive, crashed: bool
) -> None:
    run = drive(protected, crashed=crashed)
    run.cancel("enough")
    assert run.open == ["reserve"]
    run.complete("reserve")
    run.complete("a")
    assert run.open == ["b"]
    run.complete("b")
    assert run.status == "cancelled"
    assert "never" not in run.open


@workflow.define
async def timed(ctx: Context) -> Any:
    """The inner timeout ends what the shield protects; the outer one waits for it."""
    told = []
    try:
        async with asyncio.timeout(10):
            async with ctx.cancel_scope(shield=True):
                try:
                    async with asyncio.timeout(20):
                        await ctx.execute_activity("slow")
                except TimeoutError:
                    told.append("inner")
                await ctx.execute_activity("last")
            told.append("not reached")
    except TimeoutError:
        told.append("outer")
    task = asyncio.current_task()
    assert task is not None
    return [*told, task.cancelling()]


@both
def test_timeouts_inside_work_and_timeouts_outside_wait(drive: Drive, crashed: bool) -> None:
    run = drive(timed, crashed=crashed)
    run.advance(15_000)
    assert run.open == ["slow"]
    run.advance(5_000)
    assert run.open == ["last"]
    run.complete("last")
    assert run.result == ["inner", "outer", 0]


@both
def test_group_inside_a_shield_fails_as_a_whole(drive: Drive, crashed: bool) -> None:
    @workflow.define
    async def grouped(ctx: Context) -> Any:
        async def failing() -> None:
            await ctx.sleep(1)
            fail()

        told = ""
        async with ctx.cancel_scope(shield=True):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(failing())
                    await ctx.execute_activity("slow")
            except* Failure:
                told = "failed"
        return told

    run = drive(grouped, crashed=crashed)
    run.advance_to_next()
    assert run.result == "failed"
    assert run.open == []


@both
def test_group_around_a_shield_waits_for_it(drive: Drive, crashed: bool) -> None:
    @workflow.define
    async def grouped(ctx: Context) -> Any:
        done = []

        async def careful() -> None:
            async with ctx.cancel_scope(shield=True):
                await ctx.execute_activity("slow")
                done.append("slow")
            done.append("not reached")

        async def failing() -> None:
            await ctx.sleep(1)
            fail()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(careful())
                tasks.create_task(failing())
        except* Failure:
            done.append("failed")
        return done

    run = drive(grouped, crashed=crashed)
    run.advance_to_next()
    assert run.open == ["slow"]
    run.complete("slow")
    assert run.result == ["slow", "failed"]


async def scoped(ctx: Context) -> Any:
    """Whoever sends `stop` ends the block and the two that it waits for, and nothing else."""
    async with ctx.cancel_scope() as scope:

        async def listen() -> None:
            await ctx.receive_signal("stop")
            scope.cancel()

        listening = asyncio.create_task(listen())
        await asyncio.gather(ctx.execute_activity("a"), ctx.execute_activity("b"))
    listening.cancel()
    task = asyncio.current_task()
    assert task is not None
    return [scope.cancelled, scope.cancel_called, task.cancelling()]


@workflow.define
async def scoped_and_on(ctx: Context) -> Any:
    told = await scoped(ctx)
    await ctx.execute_activity("after")
    return told


@both
def test_scope_is_cancelled_with_all_that_it_waits_for(drive: Drive, crashed: bool) -> None:
    run = drive(scoped_and_on, crashed=crashed)
    assert run.open == ["a", "b"]
    run.signal("stop")
    assert run.open == ["after"]
    run.complete("after")
    assert run.result == [True, True, 0]
    assert run.story.count("ActivityCancelled") == 2


@both
def test_scope_that_is_not_cancelled_changes_nothing(drive: Drive, crashed: bool) -> None:
    run = drive(scoped_and_on, crashed=crashed)
    run.complete("a")
    run.complete("b")
    run.complete("after")
    assert run.result == [False, False, 0]


@both
def test_cancelling_the_workflow_goes_through_an_open_scope(drive: Drive, crashed: bool) -> None:
    run = drive(scoped_and_on, crashed=crashed)
    run.cancel()
    assert run.status == "cancelled"


@both
@pytest.mark.parametrize("fails", [False, True])
def test_scope_cancelled_in_its_last_step_leaves_nothing_behind(
    drive: Drive, crashed: bool, fails: bool
) -> None:
    @workflow.define
    async def last_step(ctx: Context) -> Any:
        scope = ctx.cancel_scope()
        with suppress(Failure):
            async with scope:
                await ctx.execute_activity("a")
                scope.cancel()
                if fails:
                    fail()
        scope.cancel()  # is over
        await ctx.execute_activity("b")
        return scope.cancelled

    run = drive(last_step, crashed=crashed)
    run.complete("a")
    run.complete("b")
    assert run.result is False


@both
def test_shield_inside_a_scope_ends_first_and_a_shielded_scope_can_be_cancelled(
    drive: Drive, crashed: bool
) -> None:
    @workflow.define
    async def nested(ctx: Context) -> Any:
        async def stop() -> None:
            await ctx.receive_signal("stop")
            outer.cancel()

        told = []
        stopping = asyncio.create_task(stop())
        async with ctx.cancel_scope(shield=True) as outer:
            async with ctx.cancel_scope(shield=True) as inner:
                told.append(await ctx.execute_activity("commit"))
            told.append("not reached")
        await stopping
        return [told, inner.cancelled, outer.cancelled]

    run = drive(nested, crashed=crashed)
    run.signal("stop")
    assert run.open == ["commit"]
    run.complete("commit", "safe")
    assert run.result == [["safe"], False, True]


@both
def test_error_of_a_shielded_block_goes_before_the_cancellation(
    drive: Drive, crashed: bool
) -> None:
    @workflow.define
    async def failing(ctx: Context) -> Any:
        try:
            async with ctx.cancel_scope(shield=True):
                await ctx.execute_activity("a")
                fail()
        except Failure:
            await ctx.execute_activity("never")

    run = drive(failing, crashed=crashed)
    run.cancel()
    run.complete("a")
    assert run.status == "cancelled"
    assert run.story.count("ActivityScheduled") == 1


def test_scope_is_refused_when_it_is_entered_twice(drive: Drive) -> None:
    @workflow.define
    async def twice(ctx: Context) -> None:
        scope = ctx.cancel_scope()
        for _ in range(2):
            async with scope:
                pass

    assert drive(twice).failure.type == "UsageError"
