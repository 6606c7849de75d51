"""The history that a run leaves: every step, in order, before and after a crash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.runs import START_MS
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.activity import Retry
from weft.codec import encode_payload
from weft.records import (
    ActivityCompleted,
    ActivityDispatched,
    ActivityRetryScheduled,
    ActivityScheduled,
    FailureInfo,
    RetryPolicy,
    SignalReceived,
    TimerCancelled,
    TimerStarted,
    WorkflowCompleted,
    WorkflowStarted,
)
from weft.workflow import Context


@activity.define(retry=Retry(max_attempts=2), timeout=30)
async def step_a(line: int) -> int:
    return line


@activity.define
async def step_b(line: int) -> int:
    return line


@activity.define
async def step_c(line: int) -> int:
    return line


@workflow.define(version="2")
async def three_steps(ctx: Context, line: int) -> int:
    first = await ctx.execute_activity(step_a, line)
    second = await ctx.execute_activity(step_b, first)
    return await ctx.execute_activity(step_c, second)


@workflow.define
async def approval(ctx: Context) -> Any:
    return await ctx.receive_signal("approval", timeout=60)


@pytest.mark.requirement("R1-27", "R1-29", "R2-3", "R2-4", "R2-5", "R2-6", "R2-41")
def test_history_holds_each_step_when_the_worker_dies_between_b_and_c(drive: Drive) -> None:
    """What is kept is what happened, with inputs and results; a replay gets A and B from it and runs neither."""
    run = drive(three_steps, 1)
    run.now_ms += 10
    run.complete("step_a", 2)
    run.now_ms += 10
    run.complete("step_b", 3)
    default = RetryPolicy()
    assert run.events == [
        WorkflowStarted(
            1, START_MS, "run-1", "three_steps", "2", encode_payload(1), 0, "request-1"
        ),
        ActivityScheduled(
            2, START_MS, 1, "step_a", encode_payload([1]), "default", False, 30_000, RetryPolicy(2)
        ),
        ActivityCompleted(3, START_MS + 10, 1, "step_a", 1, encode_payload(2)),
        ActivityScheduled(
            4, START_MS + 10, 2, "step_b", encode_payload([2]), "default", False, 600_000, default
        ),
        ActivityCompleted(5, START_MS + 20, 2, "step_b", 1, encode_payload(3)),
        ActivityScheduled(
            6, START_MS + 20, 3, "step_c", encode_payload([3]), "default", False, 600_000, default
        ),
    ]
    run.crash()
    assert run.open == ["step_c"]
    assert run.dispatched == [(1, 1), (2, 1), (3, 1)], "nothing was brought out again"
    run.complete("step_c", 4)
    assert run.events[6:] == [
        ActivityCompleted(7, START_MS + 20, 3, "step_c", 1, encode_payload(4)),
        WorkflowCompleted(8, START_MS + 20, encode_payload(4)),
    ]


def test_history_holds_failed_attempts_with_the_time_of_the_next(drive: Drive) -> None:
    run = drive(three_steps, 1)
    run.draw = 0.75
    run.fail("step_a")
    run.advance(1000)
    failure = FailureInfo("RuntimeError", "RuntimeError on purpose")
    assert run.events[2:] == [
        ActivityRetryScheduled(3, START_MS, 1, "step_a", 1, START_MS + 125, failure),
        ActivityDispatched(4, START_MS + 125, 1, 2),
    ]


def test_history_holds_signals_and_timers(drive: Drive) -> None:
    run = drive(approval)
    run.now_ms += 5
    run.signal("approval", {"by": "Ada"}, id="s-1")
    granted = encode_payload({"by": "Ada"})
    assert run.events[1:] == [
        TimerStarted(2, START_MS, 1, START_MS + 60_000),
        SignalReceived(3, START_MS + 5, "approval", granted, "s-1"),
        TimerCancelled(4, START_MS + 5, 1),
        WorkflowCompleted(5, START_MS + 5, granted),
    ]
