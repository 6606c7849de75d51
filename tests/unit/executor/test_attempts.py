"""Activities of the executor in this process: what their code may do, and what comes of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.activity import Activity
from weft.core import StartTimer
from weft.errors import UsageError, WorkflowFailedError
from weft.executor import DefaultExecutor, RetryPolicy, WorkflowOptions
from weft.executor import _local_run as local_run
from weft.stores import InMemoryStore

SOON = RetryPolicy(max_attempts=3, initial_interval=0.001)


def result_of(function: Any, input: Any = None, **options: Any) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(30), DefaultExecutor(InMemoryStore(), **options) as executor:
            handle = await executor.execute(function, WorkflowOptions(input=input))
            return await handle.result()

    return asyncio.run(run())


def failure_of(function: Any, **options: Any) -> WorkflowFailedError:
    with pytest.raises(WorkflowFailedError) as caught:
        result_of(function, **options)
    return caught.value


def calling(called: Any, *args: Any, **options: Any) -> Any:
    async def caller(ctx: Any, input: Any) -> Any:
        return await ctx.execute_activity(called, *args, **options)

    return caller


def test_attempt_that_is_silent_for_too_long_fails_and_the_next_knows_how_far_it_was() -> None:
    @activity.define(heartbeat_timeout=0.05, inline=True)
    async def beating() -> Any:
        info = activity.info()
        activity.heartbeat({"attempt": info.attempt})
        if info.attempt == 1:
            await asyncio.sleep(30)
        for _ in range(4):
            await asyncio.sleep(0.03)
            activity.heartbeat()
        return info.heartbeat_details

    assert result_of(calling(beating, retry=SOON)) == {"attempt": 1}
    error = failure_of(calling(beating, retry=RetryPolicy(1)))
    assert (error.type, "its heartbeat timeout" in error.message) == ("HeartbeatTimeoutError", True)


def test_plain_function_that_takes_too_long_fails() -> None:
    def slow() -> None:
        time.sleep(0.3)

    error = failure_of(calling(slow, timeout=timedelta(milliseconds=30)))
    assert (error.type, "timeout of 30 ms" in error.message) == ("TimeoutError", True)


def test_timeout_that_the_code_swallows_is_one_all_the_same() -> None:
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "nothing happened"

    assert failure_of(calling(stubborn, timeout=0.02)).type == "TimeoutError"


def test_cancellation_within_the_code_is_a_failure() -> None:
    async def cancels_itself() -> None:
        task = asyncio.ensure_future(asyncio.sleep(30))
        task.cancel()
        await task

    assert failure_of(calling(cancels_itself)).type == "CancelledError"


def test_timeout_of_the_codes_own_is_a_failure() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)

    assert "start-to-close" not in failure_of(calling(impatient, timeout=20)).message


def test_exit_of_an_activity_ends_no_process() -> None:
    async def leaves() -> None:
        raise SystemExit(3)

    assert failure_of(calling(leaves)).type == "SystemExit"


def test_input_and_result_that_do_not_fit_are_not_tried_again() -> None:
    calls = []

    async def typed(number: int) -> Any:
        calls.append(number)
        return object()

    assert "argument 'number'" in failure_of(calling(typed, "no number", retry=SOON)).message
    assert calls == []
    assert "the result of activity typed" in failure_of(calling(typed, 1, retry=SOON)).message
    assert calls == [1]


def test_activity_is_called_by_its_name_when_the_executor_has_it() -> None:
    async def double(number: int) -> int:
        return number * 2

    assert result_of(calling("double", 4), activities=[double]) == 8
    error = failure_of(calling("double", 4))
    assert error.type == "UnknownActivityError"
    assert "this executor has no activity 'double'" in error.message


def test_two_of_one_name_are_refused() -> None:
    def first() -> None: ...
    def second() -> None: ...
    async def third(ctx: Any) -> None: ...
    async def fourth(ctx: Any) -> None: ...

    second.__name__, fourth.__name__ = "first", "third"
    with pytest.raises(UsageError, match="two activities are called 'first'"):
        DefaultExecutor(activities=[first, second])
    with pytest.raises(UsageError, match="two workflows are called 'third'"):
        DefaultExecutor(workflows=[third, fourth])


@pytest.mark.parametrize("what", [7, "name", activity])
def test_what_is_no_workflow_is_refused(what: Any) -> None:
    async def run() -> None:
        async with DefaultExecutor() as executor:
            with pytest.raises(UsageError):
                await executor.execute(what)

    asyncio.run(run())


def test_options_of_an_activity_that_was_defined_are_kept_unless_others_are_given() -> None:
    calls = []

    @activity.define(retry=activity.Retry(max_attempts=2, initial_interval=0.001))
    async def failing() -> None:
        calls.append(1)
        raise RuntimeError("bad")

    assert failure_of(calling(failing)).message == "bad"
    assert len(calls) == 2
    calls.clear()
    assert "max attempts (3) exceeded" in failure_of(calling(failing, retry=SOON)).message
    assert len(calls) == 3


def test_schedule_to_start_is_no_matter_of_an_activity_that_begins_at_once() -> None:
    @activity.define(schedule_to_start=0.02)
    async def begins() -> str:
        await asyncio.sleep(0.06)
        return "done"

    assert result_of(calling(begins)) == "done"


def test_generator_workflow_runs_too() -> None:
    @activity.define
    def double(number: int) -> int:
        return number * 2

    @workflow.define
    def chain(ctx: workflow.GeneratorContext, number: int) -> Any:
        first = yield ctx.call_activity(double, input=number)
        second = yield ctx.call_activity(double, input=first)
        return second

    assert result_of(chain, 3) == 12


def test_code_that_does_not_come_to_rest_fails_its_run() -> None:
    async def restless(ctx: Any, input: Any) -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(-1)

    assert failure_of(restless).type == "TurnLimitError"


def test_command_that_only_the_engine_can_do_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = local_run._DONE_HERE - {StartTimer}
    monkeypatch.setattr(local_run, "_DONE_HERE", known)

    async def asks(ctx: Any, input: Any) -> None:
        await ctx.sleep(1)

    error = failure_of(asks)
    assert error.type == "UsageError"
    assert (
        "the default executor cannot do what this workflow asks for (StartTimer)" in error.message
    )


def test_workflows_run_without_a_store() -> None:
    async def double(number: int) -> int:
        return number * 2

    async def run() -> None:
        async with DefaultExecutor() as executor:
            handle = await executor.execute(calling(double, 4), WorkflowOptions(id="wf-1"))
            assert await handle.result() == 8
            assert await executor.recover() == []
            with pytest.raises(Exception, match="not found"):
                await executor.query("wf-1", "status")

    asyncio.run(run())


def test_function_stays_what_it_is() -> None:
    """An activity that is given options does not change the one that was defined."""

    @activity.define
    async def plain() -> None: ...

    before = plain.policy
    from weft.executor import as_activity  # noqa: PLC0415

    other = as_activity(plain, SOON, 5)
    assert isinstance(other, Activity)
    assert (plain.policy, plain.start_to_close_ms) == (before, 600_000)
    assert (other.policy.max_attempts, other.start_to_close_ms) == (3, 5000)


@activity.define(process=True)
def of_a_process() -> None: ...


def test_activity_for_a_process_of_its_own_is_refused() -> None:
    error = failure_of(calling(of_a_process))
    assert error.type == "UsageError"
    assert "this executor runs all in its own process" in error.message
