"""Code that changed under a running execution: the replay says where, what, and what to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import START_MS, DrivenRun
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.errors import NondeterminismError
from weft.workflow import Context, GeneratorContext, Workflow

HERE = str(Path(__file__))


@activity.define
async def charge(cents: int) -> int:
    return cents


@activity.define
async def ship(cents: int) -> int:
    return cents


@workflow.define(name="fulfil")
async def original(ctx: Context) -> Any:
    paid = await ctx.execute_activity(charge, 1)
    await ctx.sleep(30)
    return await ctx.execute_activity(ship, paid)


@workflow.define(name="fulfil")
async def renamed(ctx: Context) -> Any:
    paid = await ctx.execute_activity("debit", 1)  # the line that the error names
    await ctx.sleep(30)
    return await ctx.execute_activity(ship, paid)


@workflow.define(name="fulfil")
async def without_the_sleep(ctx: Context) -> Any:
    paid = await ctx.execute_activity(charge, 1)
    return await ctx.execute_activity(ship, paid)  # the line that the error names


@workflow.define(name="fulfil")
async def with_another_sleep(ctx: Context) -> Any:
    paid = await ctx.execute_activity(charge, 1)
    await ctx.sleep(60)  # the line that the error names
    return await ctx.execute_activity(ship, paid)


@workflow.define(name="fulfil")
async def with_one_more(ctx: Context) -> Any:
    paid = await ctx.execute_activity(charge, 1)
    ctx.execute_activity(ship, 0)
    await ctx.sleep(30)  # the line that the error names
    return await ctx.execute_activity(ship, paid)


@workflow.define(name="fulfil")  # the line that the error names
async def ending_early(ctx: Context) -> Any:
    return await ctx.execute_activity(charge, 1)


@workflow.define(name="fulfil")  # the line that the error names
async def failing_early(ctx: Context) -> Any:
    raise ValueError("new check")


@workflow.define(name="fulfil")
async def waiting_forever(ctx: Context) -> Any:
    paid = await ctx.execute_activity(charge, 1)
    await ctx.receive_signal("approval")  # the line that the error names
    return paid


@workflow.define(name="fulfil")
def generator(ctx: GeneratorContext) -> Any:
    yield ctx.call_activity(charge, input=1)
    yield ctx.create_timer(timedelta(minutes=1))  # the line that the error names


@workflow.define(name="fulfil")
async def in_a_helper(ctx: Context) -> Any:
    await asyncio.gather(ctx.execute_activity(charge, 1))
    await _helper(ctx)


async def _helper(ctx: Context) -> None:
    await ctx.sleep(60)  # the line that the error names


def line_named(code: Workflow[Any, Any]) -> int:
    """The number of the commented line of a function (of its helper, if it has none)."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    first = code.function.__code__.co_firstlineno
    return next(
        number
        for number, line in enumerate(lines, start=1)
        if number >= first and line.endswith("# the line that the error names")
    )


@pytest.fixture
def halfway(drive: Drive) -> DrivenRun:
    """Paid, and asleep: history events 1 to 4."""
    run = drive(original)
    run.complete("charge", 1)
    return run


SLEEP = f"StartTimer number 2, due at {START_MS + 30_000} ms"


@pytest.mark.parametrize(
    ("code", "event_id", "expected", "actual"),
    [
        (renamed, 2, 'ScheduleActivity "charge" (number 1)', 'ScheduleActivity "debit" (number 1)'),
        (without_the_sleep, 4, SLEEP, 'ScheduleActivity "ship" (number 2)'),
        (with_another_sleep, 4, SLEEP, f"StartTimer number 2, due at {START_MS + 60_000} ms"),
        (with_one_more, 4, SLEEP, 'ScheduleActivity "ship" (number 2)'),
        (ending_early, 4, SLEEP, "CompleteWorkflow"),
        (failing_early, 2, 'ScheduleActivity "charge" (number 1)', "FailWorkflow with ValueError"),
        (waiting_forever, 4, SLEEP, "nothing"),
        (generator, 4, SLEEP, f"StartTimer number 2, due at {START_MS + 60_000} ms"),
        (in_a_helper, 4, SLEEP, f"StartTimer number 2, due at {START_MS + 60_000} ms"),
    ],
    ids=lambda value: value.function.__name__ if isinstance(value, Workflow) else "",
)
def test_replay_is_refused_when_the_code_asks_for_something_else(
    halfway: DrivenRun, code: Workflow[Any, Any], event_id: int, expected: str, actual: str
) -> None:
    with pytest.raises(NondeterminismError) as raised:
        halfway.replay(code)
    error = raised.value
    assert (error.event_id, error.expected, error.actual) == (event_id, expected, actual)
    line = line_named(code)
    assert str(error) == (
        f"Replay of order-42 differs from its history at event {event_id} (2023-11-14 22:13:20 UTC): the history has "
        f"{expected}, the code asked for {actual} ({HERE}, line {line}). The workflow's code changed under a running "
        "execution, or it is not deterministic (`weft lint` finds what is not). Deploy code that takes the recorded "
        "path; `ctx.patched` lets it take a new one as well. The run continues by itself then. Before the next deploy, "
        "`weft replay` tells which recorded histories would not fit."
    )


def test_replay_is_refused_when_the_code_asks_for_more_before_the_next_event(drive: Drive) -> None:
    run = drive(without_the_sleep)
    run.complete("charge", 1)
    run.complete("ship", 1)
    assert run.status == "completed"

    @workflow.define(name="fulfil")
    async def more(ctx: Context) -> Any:
        ctx.execute_activity(ship, 0)
        return await ctx.execute_activity(charge, 1)

    with pytest.raises(NondeterminismError) as raised:
        run.replay(more)
    assert raised.value.event_id == 2

    @workflow.define(name="fulfil")
    async def more_after(ctx: Context) -> Any:
        paid = ctx.execute_activity(charge, 1)
        await asyncio.sleep(10)
        return await paid

    with pytest.raises(NondeterminismError) as raised:
        run.replay(more_after)
    error = raised.value
    assert (error.event_id, error.expected) == (3, "nothing")
    assert error.actual == f"StartTimer number 2, due at {START_MS + 10_000} ms"
    assert "has no further command there" in str(error)


def test_replay_is_refused_when_the_code_asks_for_more_at_the_end(drive: Drive) -> None:
    run = drive(waiting_forever)
    run.complete("charge", 1)
    with pytest.raises(NondeterminismError, match="differs from its history at its end") as raised:
        run.replay(with_another_sleep)
    assert (raised.value.event_id, raised.value.expected) == (0, "nothing")


def test_replay_is_refused_when_two_commands_changed_places(drive: Drive) -> None:
    @workflow.define
    async def first(ctx: Context) -> Any:
        return await asyncio.gather(ctx.execute_activity(charge, 1), ctx.execute_activity(ship, 1))

    @workflow.define
    async def second(ctx: Context) -> Any:
        return await asyncio.gather(ctx.execute_activity(ship, 1), ctx.execute_activity(charge, 1))

    with pytest.raises(NondeterminismError) as raised:
        drive(first).replay(second)
    assert raised.value.event_id == 2
    assert raised.value.actual == 'ScheduleActivity "ship" (number 1)'


def test_replay_is_refused_when_a_cancelled_wait_is_kept(drive: Drive) -> None:
    def code(*, cancels: bool) -> Workflow[None, Any]:
        @workflow.define
        async def racing(ctx: Context) -> Any:
            slow = ctx.execute_activity(ship, 1)
            await ctx.execute_activity(charge, 1)
            if cancels:
                slow.cancel()
            await ctx.receive_signal("never")

        return racing

    run = drive(code(cancels=True))
    run.complete("charge", 1)
    with pytest.raises(NondeterminismError) as raised:
        run.replay(code(cancels=False))
    assert (raised.value.expected, raised.value.actual) == ("CancelActivity number 1", "nothing")


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "other"},
        {"timeout": 5},
        {"retry": activity.Retry(max_attempts=9)},
        {"inline": True},
    ],
)
def test_replay_is_accepted_when_only_options_changed(
    halfway: DrivenRun, options: dict[str, Any]
) -> None:
    @workflow.define(name="fulfil")
    async def changed(ctx: Context) -> Any:
        paid = await ctx.execute_activity(charge.options(**options), 2)
        await ctx.sleep(30)
        return await ctx.execute_activity(ship, paid + 1)

    halfway.replay(changed).close()


def test_replay_uses_the_recorded_result_and_not_another(halfway: DrivenRun) -> None:
    """What an activity decided once stands: new code sees it, and goes on from there."""
    seen = []

    @workflow.define(name="fulfil")
    async def looking(ctx: Context) -> Any:
        seen.append(await ctx.execute_activity(charge, 1))
        await ctx.sleep(30)

    halfway.replay(looking).close()
    assert seen == [1]
