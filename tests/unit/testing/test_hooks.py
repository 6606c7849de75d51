"""Hooks of the worker, in virtual time: told once, after the commit, whatever crashes, and never in a replay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tracing.kit import Spans
from weft import activity, workflow
from weft.executor import Hooks
from weft.testing import Environment
from weft.tracing import RunTracing

Told = list[tuple[str, str, Any]]


@activity.define(retry=activity.Retry(max_attempts=2))
async def charge(cents: int) -> int:
    return cents


@workflow.define
async def buy(ctx: workflow.Context, cents: int) -> str:
    total = await ctx.execute_activity(charge, cents)
    await ctx.sleep(60)
    return f"{await ctx.receive_signal('name', str)}: {total}"


@workflow.define
async def breaks(ctx: workflow.Context) -> None:
    await ctx.receive_signal("go")
    ctx.execute_activity(charge, 1)
    raise SystemExit(1)


@workflow.define
async def twice(ctx: workflow.Context, number: int) -> str:
    if number == 1:
        await ctx.sleep(60)
        ctx.continue_as_new(2)
    return await ctx.receive_signal("name", str)


def hooks_of(told: Told) -> Hooks:
    names = (
        "workflow_start",
        "workflow_complete",
        "workflow_fail",
        "activity_start",
        "activity_complete",
        "activity_fail",
        "signal",
        "retry",
    )

    def noting(name: str) -> Any:
        return lambda workflow_id, about: told.append((name, workflow_id, about))

    return Hooks(**{f"on_{name}": noting(name) for name in names})


def told_by(crash_at: int) -> tuple[Told, int]:
    """What is told of one run that crashes at that commit, and how many commits there are."""
    told: Told = []
    commits = 0

    def crashes(_workflow: str, _run_id: str, _first: int, _last: int) -> bool:
        nonlocal commits
        commits += 1
        return commits == crash_at

    attempts = []

    def charged(cents: int) -> int:
        attempts.append(cents)
        if len(attempts) == 1:
            raise RuntimeError("declined")
        return cents

    with Environment(hooks=hooks_of(told)) as env:
        env._crash_at(crashes)
        env.fake(charge, charged)
        run = env.start(buy, 42, id="buy-1")
        run.signal("name", "Ada")
        assert run.result() == "Ada: 42"
    return told, commits


@pytest.mark.requirement("R1-33", "R1-34")
def test_hooks_are_told_once_when_the_worker_crashes_at_any_commit() -> None:
    told, commits = told_by(crash_at=0)
    unharmed = [(name, str(about)) for name, _, about in told]
    assert [name for name, _ in unharmed] == [
        "workflow_start",
        "activity_start",
        "signal",
        "retry",
        "activity_complete",
        "workflow_complete",
    ]
    assert commits >= 5
    for crash_at in range(1, commits + 1):
        told, _ = told_by(crash_at)
        assert [(name, str(about)) for name, _, about in told] == unharmed


def test_nothing_is_told_of_a_turn_that_is_taken_back() -> None:
    told: Told = []
    with Environment(hooks=hooks_of(told), replay_check=False) as env:
        run = env.start(breaks, id="breaks-1")
        run.signal("go")
        assert run.status == "blocked"
    assert [name for name, _, _ in told] == ["workflow_start"]


def test_signal_is_told_once_when_another_run_takes_it_over() -> None:
    told: Told = []
    spans = Spans()
    observers = [RunTracing(spans.provider)]
    with Environment(hooks=hooks_of(told), observers=observers) as env:
        run = env.start(twice, 1, id="twice-1")
        run.signal("name", "Ada")
        assert run.result() == "Ada"
    assert [name for name, _, _ in told] == [
        "workflow_start",
        "signal",
        "workflow_start",
        "workflow_complete",
    ]
    assert [(span.name, (span.attributes or {})["workflow.status"]) for span in spans.all] == [
        ("workflow twice", "continued"),
        ("workflow twice", "completed"),
    ]
