"""Code that changes under running executions, and says with `ctx.patched` which of them take the new way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.runs import DrivenRun, comparable_events
from tests.unit.workflow.conftest import Drive
from weft import workflow
from weft.errors import NondeterminismError
from weft.records import ActivityCompleted, HistoryEvent, WorkflowPatched
from weft.testing import History
from weft.testing._replay import check
from weft.workflow import Context, GeneratorContext, Machine, Workflow


@workflow.define(name="bill")
async def before(ctx: Context) -> list[str]:
    await ctx.execute_activity("reserve")
    await ctx.execute_activity("charge")
    return ["old"]


@workflow.define(name="bill")
async def changed(ctx: Context) -> list[str]:
    await ctx.execute_activity("reserve")
    if ctx.patched("tax-2026"):
        await ctx.execute_activity("tax")
        await ctx.execute_activity("charge")
        return ["new"]
    await ctx.execute_activity("charge")
    return ["old"]


@workflow.define(name="bill")
async def after(ctx: Context) -> list[str]:
    """The old way is deleted, and with it the question."""
    await ctx.execute_activity("reserve")
    await ctx.execute_activity("tax")
    await ctx.execute_activity("charge")
    return ["new"]


@workflow.define(name="bill")
def changed_generator(ctx: GeneratorContext) -> Any:
    yield ctx.call_activity("reserve")
    if ctx.patched("tax-2026"):
        yield ctx.call_activity("tax")
    yield ctx.call_activity("charge")
    return ["new"]


@workflow.define(name="loop")
async def loop_before(ctx: Context) -> list[bool]:
    for _ in range(3):
        await ctx.execute_activity("old")
    return [False] * 3


@workflow.define(name="loop")
async def loop_changed(ctx: Context) -> list[bool]:
    ways = []
    for _ in range(3):
        ways.append(ctx.patched("faster"))
        await ctx.execute_activity("new" if ways[-1] else "old")
    return ways


def deployed(run: DrivenRun, code: Workflow[Any, Any]) -> None:
    """The worker is replaced by one with this code."""
    run.workflow = code
    if run._replica is not None:
        run._replica.close()
        run._replica = run.replay(code)
    run.crash()


def complete_all(run: DrivenRun) -> DrivenRun:
    while run.open:
        run.complete(run.open[0])
    return run


def patches_of(events: list[HistoryEvent]) -> list[str]:
    return [event.patch_id for event in events if isinstance(event, WorkflowPatched)]


def completed(events: list[HistoryEvent]) -> list[str]:
    return [event.activity for event in events if isinstance(event, ActivityCompleted)]


@pytest.mark.parametrize("crashed", [False, True])
def test_new_run_takes_the_new_way_and_records_it_once(drive: Drive, crashed: bool) -> None:
    run = complete_all(drive(changed, crashed=crashed))
    assert run.result == ["new"]
    assert patches_of(run.events) == run.run.patches == ["tax-2026"]
    assert run.story[2:5] == ["ActivityCompleted", "WorkflowPatched", "ActivityScheduled"]


def test_run_takes_the_old_way_when_it_had_passed_before_the_change(drive: Drive) -> None:
    run = drive(before)
    run.complete("reserve")
    deployed(run, changed)
    assert run.open == ["charge"]
    assert complete_all(run).result == ["old"]
    assert patches_of(run.events) == []


def test_run_takes_the_new_way_when_it_comes_there_after_the_change(drive: Drive) -> None:
    run = drive(before)
    deployed(run, changed)
    run.complete("reserve")
    assert run.open == ["tax"]
    assert complete_all(run).result == ["new"]


@pytest.mark.parametrize("steps", range(4))
def test_change_may_be_deployed_after_any_step(drive: Drive, steps: int) -> None:
    """And whatever way the run takes then, it takes again after every crash."""
    run = drive(loop_before)
    for _ in range(steps):
        run.complete("old")
    if not run.run.ended:
        deployed(run, loop_changed)
        complete_all(run)
    # The first of the three steps is asked for with the start: a run that was there has passed.
    assert run.result == [False] * 3
    run.replay(loop_changed).close()
    assert set(completed(run.events)) == {"old"}


@pytest.mark.parametrize("crashed", [False, True])
def test_answer_is_the_same_in_every_round_of_a_loop(drive: Drive, crashed: bool) -> None:
    run = complete_all(drive(loop_changed, crashed=crashed))
    assert run.result == [True] * 3
    assert patches_of(run.events) == ["faster"]


@pytest.mark.parametrize(
    ("recorded", "codes"),
    [
        (before, [before, changed]),
        (changed, [changed, after, changed_generator]),
        (after, [after]),
        (loop_before, [loop_before, loop_changed]),
        (loop_changed, [loop_changed]),
    ],
    ids=lambda value: value.function.__name__ if isinstance(value, Workflow) else "",
)
def test_replay_is_accepted_for_every_code_that_knows_the_way(
    drive: Drive, recorded: Workflow[Any, Any], codes: list[Workflow[Any, Any]]
) -> None:
    """From every event on: what such a history gave, continued by other code, is the same history."""
    whole = complete_all(drive(recorded)).events
    for code in codes:
        for steps in range(len(completed(whole)) + 1):
            run = drive(recorded)
            for _ in range(steps):
                run.complete(run.open[0])
            run.replay(code).close()
    assert comparable_events(complete_all(drive(recorded)).events) == comparable_events(whole)


@pytest.mark.parametrize(
    ("recorded", "code", "expected", "actual"),
    [
        (
            changed,
            before,
            'ScheduleActivity "tax" (number 2)',
            'ScheduleActivity "charge" (number 2)',
        ),
        (
            before,
            after,
            'ScheduleActivity "charge" (number 2)',
            'ScheduleActivity "tax" (number 2)',
        ),
    ],
    ids=["new history, old code", "old history, new code"],
)
def test_replay_is_refused_when_the_code_does_not_know_the_way(
    drive: Drive,
    recorded: Workflow[Any, Any],
    code: Workflow[Any, Any],
    expected: str,
    actual: str,
) -> None:
    run = complete_all(drive(recorded))
    with pytest.raises(NondeterminismError) as raised:
        run.replay(code)
    assert (raised.value.expected, raised.value.actual) == (expected, actual)


def test_replay_is_refused_when_the_mark_is_missing_from_the_history(drive: Drive) -> None:
    run = complete_all(drive(changed))
    kept = [event for event in run.events if not isinstance(event, WorkflowPatched)]
    machine = Machine(changed, "order-42")
    with pytest.raises(NondeterminismError, match="tax"):
        machine.replay(kept)
    machine.close()


def test_every_patch_has_an_answer_of_its_own(drive: Drive) -> None:
    @workflow.define(name="bill")
    async def changed_twice(ctx: Context) -> list[bool]:
        await ctx.execute_activity("reserve")
        first = ctx.patched("tax-2026")
        if first:
            await ctx.execute_activity("tax")
        second = ctx.patched("no-charge")
        if not second:
            await ctx.execute_activity("charge")
        return [first, second, ctx.patched("tax-2026")]

    old, middle, new = drive(before), drive(changed), drive(changed_twice)
    for run in (old, middle):
        run.complete("reserve")
    middle.complete("tax")
    for run in (old, middle):
        deployed(run, changed_twice)
    assert complete_all(old).result == [False, False, False]
    assert complete_all(middle).result == [True, False, True]
    assert complete_all(new).result == [True, True, True]
    assert new.run.patches == ["tax-2026", "no-charge"]


def test_patch_that_is_asked_for_by_tasks_at_once_is_recorded_once(drive: Drive) -> None:
    @workflow.define
    async def together(ctx: Context) -> list[bool]:
        async def one(seconds: int) -> bool:
            await asyncio.sleep(seconds)
            return ctx.patched("both")

        return list(await asyncio.gather(one(1), one(1), one(2)))

    run = drive(together, crashed=True)
    while run.advance_to_next():
        pass
    assert run.result == [True, True, True]
    assert patches_of(run.events) == ["both"]


@pytest.mark.parametrize("patch_id", ["", "x" * 256, "a\nb", "\ud800"])
def test_patch_id_is_refused_when_it_is_no_short_word(drive: Drive, patch_id: str) -> None:
    @workflow.define
    async def refused(ctx: Context) -> None:
        ctx.patched(patch_id)

    run = drive(refused)
    assert run.failure.type == "UsageError"
    assert "a patch has an ID of 1 to 255 printable characters" in run.failure.message


def test_judge_of_recorded_histories_passes_over_the_mark(drive: Drive) -> None:
    """It compares the inputs of activities one by one: the mark in between is none of them."""

    @workflow.define
    async def counted(ctx: Context) -> None:
        for number in range(2):
            ctx.patched("numbers")
            await ctx.execute_activity("count", number)

    run = complete_all(drive(counted))
    history = History.of("order-42", run.events)  # type: ignore[arg-type]
    check(history, {counted.name: counted}, is_same_code=True)
