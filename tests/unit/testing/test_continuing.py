"""`ctx.continue_as_new` in virtual time: chains that are crashed at every event, replayed run by run, and followed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from weft import activity, workflow
from weft.errors import NondeterminismError, UsageError, WorkflowFailedError
from weft.records import WorkflowContinued, WorkflowStarted
from weft.testing import Environment, Handle, crash_everywhere, replay
from weft.workflow import Context, GeneratorContext


@activity.define
async def bill(month: int) -> str:
    return f"month {month}"


@workflow.define
async def months(ctx: Context, month: int) -> list[Any]:
    """A year of bills, each month a run; what was said in between is looked at in the last one only."""
    early = ctx.receive_signal("note", str)
    await ctx.execute_activity(bill, month)
    await ctx.sleep(timedelta(days=30))
    if month < 12:
        ctx.continue_as_new(month + 1)
    notes = [await early]
    while True:
        try:
            notes.append(await ctx.receive_signal("note", str, timeout=1))
        except TimeoutError:
            return [month, notes, ctx.info.run_number, bool(ctx.info.continued_from)]


def notes(_env: Environment, run: Handle[Any]) -> None:
    for number in range(4):
        run.signal(
            "note", f"note {number}", after=timedelta(days=80 * number + 5), id=f"n-{number}"
        )
        run.signal(
            "note", f"note {number}", after=timedelta(days=80 * number + 70), id=f"n-{number}"
        )
    run.suspend(after=timedelta(days=150))
    run.resume(after=timedelta(days=180))


def test_chain_ends_the_same_when_it_crashes_at_every_event_of_every_run() -> None:
    expected = [12, ["note 0", "note 1", "note 2", "note 3"], 12, True]
    assert crash_everywhere(months, 1, play=notes) == expected


def test_result_and_history_follow_the_chain() -> None:
    with Environment() as env:
        run = env.start(months, 1)
        notes(env, run)
        assert run.result()[0] == 12
        former = run.former_histories
        last = [history.events[-1] for history in former]
        following = [event.next_run_id for event in last if isinstance(event, WorkflowContinued)]
        assert following == [*(history.run_id for history in former[1:]), run.run_id]
        assert (len(former), len(env.calls(bill))) == (11, 12)
        first = run.history[0]
        assert isinstance(first, WorkflowStarted)
        assert first.continued_from == former[-1].run_id


def test_recorded_run_that_was_continued_is_replayed(tmp_path: Path) -> None:
    @workflow.define(name="months")
    async def changed(ctx: Context, month: int) -> int:
        await ctx.execute_activity(bill, month)
        await ctx.sleep(timedelta(days=30))
        return month

    with Environment() as env:
        run = env.start(months, 1)
        env.advance(timedelta(days=70))
        recorded = run.former_histories[1]
        recorded.save(tmp_path / "run.json")
        assert replay(tmp_path / "run.json", months) == 1
    with pytest.raises(NondeterminismError) as raised:
        replay(recorded, changed)
    assert (raised.value.expected, raised.value.actual) == ("ContinueAsNew", "CompleteWorkflow")


@pytest.mark.parametrize("save_events", [True, False])
def test_generators_continue_with_and_without_what_came(save_events: bool) -> None:
    @workflow.define
    def looping(ctx: GeneratorContext, number: int) -> Any:
        yield ctx.create_timer(timedelta(days=1))
        if number < 3:
            ctx.continue_as_new(number + 1, save_events=save_events)
        try:
            got = yield ctx.wait_for_external_event("word", timeout=timedelta(days=1))
        except TimeoutError:
            got = None
        return [number, got]

    def play(_env: Environment, run: Handle[Any]) -> None:
        run.signal("word", "kept", after=timedelta(hours=1))

    assert crash_everywhere(looping, 1, play=play) == [3, "kept" if save_events else None]


async def _pass_on(ctx: Context, number: int) -> None:
    await ctx.sleep(1)
    ctx.continue_as_new(number + 1)


@workflow.define
async def nested(ctx: Context, number: int) -> int:
    """From within everything that unwinds."""
    if number > 5:
        return number
    try:
        if number == 1:
            async with ctx.saga() as saga:
                saga.on_failure(bill, 100)
                ctx.continue_as_new(number + 1)
        if number == 2:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))
                await _pass_on(ctx, number)
        if number == 3:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(ctx, number))
        if number == 4:
            await asyncio.gather(asyncio.sleep(10), _pass_on(ctx, number))
        async with asyncio.timeout(5), ctx.cancel_scope(shield=True):
            await _pass_on(ctx, number)
    except Exception as error:
        raise AssertionError("it is no error") from error
    return -1


def test_continuing_unwinds_through_sagas_groups_and_scopes() -> None:
    assert crash_everywhere(nested, 1) == 6
    with Environment() as env:
        assert env.start(nested, 1).result() == 6
        assert env.calls(bill) == [], "nothing was undone"


def test_handler_cannot_continue_the_run() -> None:
    @workflow.define
    async def handling(ctx: Context, number: int) -> None:
        @ctx.on_signal("again")
        def again() -> None:
            ctx.continue_as_new(number + 1)

        await ctx.sleep(100)

    with Environment() as env:
        run = env.start(handling, 1)
        run.signal("again", after=1)
        with pytest.raises(WorkflowFailedError, match="only the main code can"):
            run.result()


def test_continuing_is_refused_with_an_input_that_the_workflow_does_not_take() -> None:
    @workflow.define
    async def typed(ctx: Context, number: int) -> list[str]:
        told = []
        for arguments in (("one",), (1, 2), ()):
            try:
                ctx.continue_as_new(*arguments)
            except UsageError as error:
                told.append(str(error))
        return told

    with Environment() as env:
        wrong, many, none = env.start(typed, 1).result()
    assert "workflow typed, input" in wrong
    assert "takes one input at most" in many
    assert "workflow typed, input" in none


def test_long_history_suggests_to_continue() -> None:
    @workflow.define
    async def growing(ctx: Context, number: int) -> list[int]:
        while not ctx.info.is_continue_suggested:
            await ctx.sleep(1)
        if number < 3:
            ctx.continue_as_new(number + 1)
        return [number, ctx.info.history_length]

    with Environment(replay_check=False) as env:
        run = env.start(growing, 1)
        assert run.result() == [3, 4001]
        assert env.elapsed < timedelta(hours=2)
