"""Recorded histories against other code, and the check after each turn."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.testing import flows
from tests.unit.testing.flows import charge, weigh
from weft import activity, workflow
from weft.codec import encode_reference
from weft.errors import NondeterminismError, UsageError
from weft.records import StoredPayload
from weft.testing import Environment, History, replay

_count = itertools.count()


@workflow.define(name="buy")
async def buy_otherwise(ctx: workflow.Context, order: str) -> str:
    weight = await ctx.execute_activity(weigh, order)
    return str(weight)


@workflow.define(name="buy")
async def buy_nothing(ctx: workflow.Context, order: str) -> str:
    return order


@workflow.define(name="buy")
async def buy_more(ctx: workflow.Context, order: str) -> str:
    result = await flows.buy.function(ctx, order)
    await ctx.sleep(1)
    return str(result)


@workflow.define
async def guessing(ctx: workflow.Context) -> int:
    """The argument is another one each time."""
    await ctx.sleep(1)
    return await ctx.execute_activity(weigh, str(next(_count)))


@workflow.define
async def guessing_child(ctx: workflow.Context) -> int:
    await ctx.sleep(1)
    return await ctx.execute_child(echo, next(_count))


@workflow.define
async def guessing_signal(ctx: workflow.Context) -> None:
    await ctx.sleep(1)
    await ctx.signal("other", "word", next(_count))


@workflow.define
async def echo(ctx: workflow.Context, number: int) -> int:
    return number


@workflow.define
async def deciding(ctx: workflow.Context) -> None:
    """The step is another one each time."""
    await ctx.sleep(1)
    if next(_count) % 2:
        await ctx.sleep(1)
    else:
        await ctx.execute_activity(weigh, "")


@workflow.define
async def returning(ctx: workflow.Context) -> int:
    """The result is another one each time."""
    return next(_count)


def recorded(env: Environment, order: str = "lamp") -> History:
    run = env.start(flows.buy, order, id=f"order-{order}")
    run.result()
    return History.of(run.id, run.history)


def test_history_fits_the_code_that_wrote_it_in_each_of_its_forms(
    env: Environment, tmp_path: Path
) -> None:
    history = recorded(env)
    path = tmp_path / "order.json"
    history.save(path)
    document = json.loads(path.read_text())
    assert set(document) == {"workflow_id", "run_id", "events"}
    forms: list[Any] = [history, path, str(path), document, history.events, tmp_path]
    for form in forms:
        assert replay(form, flows.buy) == 1
    assert replay(forms, [flows.approved, flows.buy]) == len(forms)
    assert History.load(path).events == list(history.events)


def test_open_run_fits_as_far_as_it_came(env: Environment) -> None:
    run = env.start(flows.approved, "lamp")
    for _ in range(3):
        assert replay(History.of(run.id, run.history), flows.approved) == 1
        env.advance(15 * 86400 + 1)


@pytest.mark.parametrize(
    "other,parts",
    [
        (
            buy_otherwise,
            [
                "at event 2:",
                'the history has ScheduleActivity "charge" (number 1)',
                'the code asked for ScheduleActivity "weigh" (number 1)',
                "test_replay.py, line ",
            ],
        ),
        (buy_nothing, ["at event 2:", "the code asked for CompleteWorkflow"]),
        (buy_more, ["the history has CompleteWorkflow", "the code asked for StartTimer number 4"]),
    ],
)
def test_history_that_does_not_fit_is_told_with_all_that_one_needs(
    env: Environment, tmp_path: Path, other: Any, parts: list[str]
) -> None:
    history = recorded(env)
    path = tmp_path / "order.json"
    history.save(path)
    with pytest.raises(NondeterminismError) as caught:
        replay([path], other)
    for part in [
        str(path),
        "order-lamp",
        history.run_id,
        "workflow 'buy'",
        "Let the code take the recorded path",
        *parts,
    ]:
        assert part in str(caught.value)


def test_options_and_payloads_may_change_between_versions(env: Environment) -> None:
    @workflow.define(name="buy")
    async def patient(ctx: workflow.Context, order: str) -> str:
        await ctx.execute_activity(charge.options(timeout=5, queue="slow"), order.upper())
        return "other"

    @workflow.define(name="buy")
    async def first(ctx: workflow.Context, order: str) -> str:
        await ctx.execute_activity(charge, order)
        return "one"

    run = env.start(first, "lamp")
    run.result()
    assert replay(run.history, patient) == 1


@pytest.mark.parametrize(
    "text,problem",
    [
        ("{", "is no JSON"),
        ("[1]", "is no history"),
        ("{}", "is no history"),
        ('{"workflow_id": "a", "events": []}', "does not begin with WorkflowStarted"),
        ('{"workflow_id": "a", "events": [{"type": "Nothing"}]}', "is no history"),
    ],
)
def test_file_that_is_no_history_says_so(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        replay(path, flows.buy)


def test_gate_without_histories_lets_nothing_pass(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no history to replay"):
        replay(tmp_path, flows.buy)
    with pytest.raises(UsageError, match=r"missing\.json cannot be read"):
        replay(tmp_path / "missing.json", flows.buy)


def test_history_of_a_workflow_that_is_not_there_is_a_mistake(env: Environment) -> None:
    with pytest.raises(
        UsageError, match=r"workflow 'buy', which is not there \(there is: approved\)"
    ):
        replay(recorded(env), flows.approved)


def test_history_with_payloads_in_a_store_is_to_be_downloaded_with_them() -> None:
    reference = encode_reference(StoredPayload("key" * 50, "0" * 64, 10))
    start = {"type": "WorkflowStarted", "event_id": 1, "time_ms": 1, "run_id": "r"}
    start |= {"workflow": "buy", "input": json.loads(bytes(reference))}
    document = {"workflow_id": "a", "events": [start]}
    with pytest.raises(
        UsageError, match="holds encoded payloads, or references to a payload store"
    ):
        replay(document, flows.buy)


@pytest.mark.requirement("R2-42")
@pytest.mark.parametrize(
    "wrong,expected,actual",
    [
        (guessing, r'ScheduleActivity "weigh" with \["\d+"\]', r'ScheduleActivity "weigh" with'),
        (deciding, "(StartTimer|ScheduleActivity)", "(StartTimer|ScheduleActivity)"),
        (guessing_child, r'StartChild "echo" with \d+', r'StartChild "echo" with \d+'),
        (guessing_signal, r'SendSignal "word" with \d+', r'SendSignal "word" with \d+'),
        (returning, r"CompleteWorkflow with \d+", r"CompleteWorkflow with \d+"),
    ],
)
def test_workflow_that_does_not_repeat_itself_fails_its_test(
    env: Environment, wrong: Any, expected: str, actual: str
) -> None:
    text = rf"event \d: the history has {expected}.*asked for {actual}.*test_replay\.py, line \d+.*ctx\.random"
    with pytest.raises(NondeterminismError, match=text):
        env.start(wrong).result()


def test_nothing_is_replayed_when_the_check_is_off() -> None:
    with Environment(replay_check=False) as env:
        assert env.start(guessing).result() > 0


def test_chance_of_the_context_repeats_itself(env: Environment) -> None:
    @workflow.define
    async def fair(ctx: workflow.Context) -> list[Any]:
        await ctx.sleep(1)
        return [ctx.random().random(), str(ctx.uuid4()), ctx.now().isoformat()]

    first = env.start(fair).result()
    assert first != env.start(fair).result(), "another run, another chance"


def test_mistake_late_in_a_long_history_is_found(env: Environment) -> None:
    @workflow.define
    async def late(ctx: workflow.Context) -> None:
        for number in range(150):
            await ctx.execute_activity(weigh, str(number))
        with workflow.unguarded():
            chance = random.random()
        await ctx.execute_activity(weigh, str(chance))  # the mistake

    with pytest.raises(NondeterminismError, match="at event 302"):
        env.start(late).result()


def test_code_that_breaks_in_replay_fails_its_test(env: Environment) -> None:
    seen: list[int] = []

    @activity.define
    async def nothing() -> None: ...

    @workflow.define
    async def once(ctx: workflow.Context) -> None:
        await ctx.execute_activity(nothing)
        if seen:
            raise SystemExit("only once")
        seen.append(1)

    with pytest.raises(NondeterminismError, match=r"SystemExit: only once.*test_replay\.py"):
        env.start(once).result()
