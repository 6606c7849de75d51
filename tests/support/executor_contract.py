"""What every executor must do: the same cases on each. Derive from it and say how one is opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.errors import AlreadyStartedError, UsageError, WorkflowFailedError
from weft.executor import (
    DurableExecutor,
    ExecutorError,
    Hooks,
    Middleware,
    Passing,
    RetryPolicy,
    Signal,
    WorkflowFunction,
    WorkflowHandle,
    WorkflowOptions,
    WorkflowStatus,
    apply_middleware,
    with_hooks,
)
from weft.workflow import Context

OPTIONS = WorkflowOptions
SOON = RetryPolicy(max_attempts=5, initial_interval=0.001, backoff_coefficient=1.5)


async def formatted(ctx: Any, input: Any) -> str:
    return f"processed: {input}"


async def broken(ctx: Any, input: Any) -> None:
    raise ValueError("broken")


async def sleepy(ctx: Any, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "awake"


async def approved(ctx: Any, input: Any) -> str:
    return f"approved: {await ctx.receive_signal('approval')}".lower()


async def double(number: int) -> int:
    return number * 2


def triple(number: int) -> int:
    return number * 3


async def described(ctx: Any, number: int) -> str:
    return f"{ctx.activity} of {ctx.workflow_id}, attempt {ctx.attempt}: {number}"


@activity.define(inline=True)
async def defined_double(number: int) -> int:
    return number * 2


@workflow.define
async def defined(ctx: Context, number: int) -> int:
    return await ctx.execute_activity(defined_double, number)


Case = Callable[[DurableExecutor], Awaitable[None]]


class ExecutorContract:
    """Cases E1 to E17 and what goes with them."""

    wait_s = 30.0

    def open_executor(
        self, hooks: Hooks | None = None
    ) -> AbstractAsyncContextManager[DurableExecutor]:
        raise NotImplementedError("say how the executor is opened that is to be tested")

    def run(self, case: Case, hooks: Hooks | None = None) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(self.wait_s), self.open_executor(hooks) as executor:
                await case(executor)

        asyncio.run(bounded())

    async def result(
        self, executor: DurableExecutor, function: WorkflowFunction, input: Any = None
    ) -> Any:
        handle = await executor.execute(function, OPTIONS(input=input))
        return await handle.result()

    @pytest.mark.requirement("R1-1", "R1-3", "R1-12", "R1-17", "R1-18")
    def test_workflow_runs_under_its_id_and_gives_its_result(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(formatted, OPTIONS(id="wf-1", input="hello"))
            assert isinstance(handle, WorkflowHandle)
            assert handle.id == "wf-1"
            assert await handle.result() == "processed: hello"
            assert handle.run_id
            assert await handle.status() == WorkflowStatus.COMPLETED

        self.run(case)

    @pytest.mark.requirement("R1-18")
    def test_result_raises_when_the_workflow_raises(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(broken)
            with pytest.raises(WorkflowFailedError, match="broken") as caught:
                await handle.result()
            assert caught.value.type == "ValueError"
            assert await handle.status() == WorkflowStatus.FAILED

        self.run(case)

    @pytest.mark.requirement("R1-6", "R1-10", "R1-15")
    def test_cancelled_workflow_ends_at_once_as_canceled(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(sleepy, OPTIONS(id="wf-1", input=30))
            await executor.cancel("wf-1")
            with pytest.raises(WorkflowFailedError) as caught:
                await handle.result()
            assert caught.value.status == "cancelled"
            assert await handle.status() == "canceled"
            assert await executor.query("wf-1", "status") == "canceled"

        self.run(case)

    def test_cancelled_workflow_may_clean_up(self) -> None:
        async def careful(ctx: Any, input: Any) -> str:
            try:
                await ctx.receive_signal("never")
            except asyncio.CancelledError:
                await ctx.sleep(0.001)
                await ctx.execute_activity(double, 2)
                raise
            return "not reached"

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(careful, OPTIONS(id="wf-1"))
            await executor.cancel("wf-1")
            with pytest.raises(WorkflowFailedError):
                await handle.result()
            assert await handle.status() == WorkflowStatus.CANCELED

        self.run(case)

    @pytest.mark.requirement("R1-4", "R1-5", "R1-6")
    def test_unknown_workflow_is_told(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            for call, text in (
                (executor.cancel("no"), 'workflow/cancel: workflow "no" not found or not running'),
                (
                    executor.signal("no", Signal("go")),
                    'workflow/signal: workflow "no" not found or not running',
                ),
                (executor.query("no", "status"), 'workflow/query: workflow "no" not found'),
            ):
                with pytest.raises(ExecutorError) as caught:
                    await call
                assert (str(caught.value), caught.value.code) == (text, "not_found")

        self.run(case)

    @pytest.mark.requirement("R1-4", "R1-6")
    def test_ended_workflow_takes_neither_signal_nor_cancellation(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(formatted, OPTIONS(id="wf-1"))
            await handle.result()
            for call in (executor.signal("wf-1", Signal("go")), executor.cancel("wf-1")):
                with pytest.raises(ExecutorError, match="not found or not running"):
                    await call

        self.run(case)

    @pytest.mark.requirement("R1-4", "R1-9", "R1-25")
    def test_signal_reaches_the_workflow_that_waits_for_it(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(approved, OPTIONS(id="wf-1"))
            await executor.signal("wf-1", Signal("approval", payload=True, sender_id="ada"))
            assert await handle.result() == "approved: true"

        self.run(case)

    @pytest.mark.requirement("R1-9", "R1-25")
    def test_signals_are_kept_in_order_until_they_are_received(self) -> None:
        async def collector(ctx: Any, count: int) -> list[Any]:
            await ctx.receive_signal("begin")
            return [await ctx.receive_signal("item") for _ in range(count)]

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(collector, OPTIONS(id="wf-1", input=15))
            for number in range(15):
                await executor.signal("wf-1", Signal("item", number))
            await executor.signal("wf-1", Signal("begin"))
            assert await handle.result() == list(range(15))

        self.run(case)

    @pytest.mark.requirement("R1-9", "R1-15")
    def test_receive_is_raced_against_other_receives_and_time(self) -> None:
        """As a select over channels: what loses stays where it is."""

        async def racer(ctx: Any, input: Any) -> list[Any]:
            yes, no = ctx.receive_signal("yes"), ctx.receive_signal("no")
            await asyncio.wait([yes, no], return_when=asyncio.FIRST_COMPLETED)
            no.cancel()
            await ctx.receive_signal("both sent")
            late = None
            try:
                await ctx.receive_signal("never", timeout=0.01)
            except TimeoutError:
                late = "timeout"
            return [yes.result(), await ctx.receive_signal("no"), late]

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(racer, OPTIONS(id="wf-1"))
            for name, payload in (("yes", 1), ("no", 2), ("both sent", None)):
                await executor.signal("wf-1", Signal(name, payload))
            assert await handle.result() == [1, 2, "timeout"]

        self.run(case)

    def test_signal_without_a_name_is_refused(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(approved, OPTIONS(id="wf-1"))
            with pytest.raises(ExecutorError, match="signal name cannot be empty") as caught:
                await executor.signal("wf-1", Signal(""))
            assert caught.value.code == "invalid_input"
            await executor.signal("wf-1", Signal("approval", False))
            assert await handle.result() == "approved: false"

        self.run(case)

    @pytest.mark.requirement("R1-5", "R1-26")
    def test_query_tells_status_and_result(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(approved, OPTIONS(id="wf-1"))
            assert await executor.query("wf-1", "status") == "running"
            assert await handle.status() == WorkflowStatus.RUNNING
            with pytest.raises(ExecutorError) as caught:
                await executor.query("wf-1", "weather")
            assert str(caught.value) == 'workflow/query: unknown query type "weather"'
            assert caught.value.code == "invalid_input"
            await executor.signal("wf-1", Signal("approval", True))
            await handle.result()
            assert await executor.query("wf-1", "status") == "completed"
            assert await executor.query("wf-1", "result") == "approved: true"
            with pytest.raises(ExecutorError, match='unknown query type "weather"'):
                await executor.query("wf-1", "weather")

        self.run(case)

    @pytest.mark.requirement("R1-5")
    def test_query_is_answered_by_the_workflows_code(self) -> None:
        async def counting(ctx: Any, input: Any) -> int:
            count = 0
            ctx.on_query("count")(lambda: count)
            while count < 2:
                count += await ctx.receive_signal("add")
            return count

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(counting, OPTIONS(id="wf-1"))
            await executor.signal("wf-1", Signal("add", 1))
            assert await executor.query("wf-1", "count") == 1
            await executor.signal("wf-1", Signal("add", 1))
            assert await handle.result() == 2

        self.run(case)

    @pytest.mark.requirement("R1-8")
    def test_activity_gets_its_input_and_gives_its_result(self) -> None:
        async def steps(ctx: Any, number: int) -> list[Any]:
            return list(
                await asyncio.gather(
                    ctx.execute_activity(double, number),
                    ctx.execute_activity(triple, number),
                    ctx.execute_activity(described, number),
                    ctx.execute_activity(defined_double, number + 1),
                )
            )

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(steps, OPTIONS(id="wf-1", input=7))
            assert await handle.result() == [14, 21, "described of wf-1, attempt 1: 7", 16]

        self.run(case)

    def test_workflow_that_was_defined_runs_as_well(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            assert await self.result(executor, defined, 21) == 42
            with pytest.raises(UsageError, match=r"workflow defined, input: "):
                await executor.execute(defined, OPTIONS(input="no number"))

        self.run(case)

    @pytest.mark.requirement("R1-13", "R1-22", "R1-23")
    def test_activity_is_tried_again_as_its_policy_says(self) -> None:
        calls = []

        async def flaky() -> str:
            calls.append(time.monotonic())
            if len(calls) < 3:
                raise RuntimeError("not yet")
            return "done"

        async def retrying(ctx: Any, input: Any) -> str:
            done: str = await ctx.execute_activity(flaky, retry=SOON)
            return done

        async def case(executor: DurableExecutor) -> None:
            assert await self.result(executor, retrying) == "done"

        self.run(case)
        assert len(calls) == 3

    @pytest.mark.requirement("R1-13")
    def test_activity_fails_after_its_last_attempt(self) -> None:
        calls = []

        async def failing() -> None:
            calls.append(1)
            raise RuntimeError("bad")

        async def once(ctx: Any, input: Any) -> None:
            await ctx.execute_activity(failing)

        async def thrice(ctx: Any, input: Any) -> None:
            await ctx.execute_activity(failing, retry=RetryPolicy(3, 0.001))

        async def case(executor: DurableExecutor) -> None:
            with pytest.raises(WorkflowFailedError, match="bad") as caught:
                await self.result(executor, once)
            assert (caught.value.message, len(calls)) == ("bad", 1)
            calls.clear()
            with pytest.raises(WorkflowFailedError) as caught:
                await self.result(executor, thrice)
            assert caught.value.message == "workflow/retry: max attempts (3) exceeded: bad"
            assert len(calls) == 3

        self.run(case)

    @pytest.mark.requirement("R1-14")
    def test_activity_that_takes_too_long_fails(self) -> None:
        ended = []

        async def slow() -> None:
            try:
                await asyncio.sleep(30)
            finally:
                ended.append(1)

        async def impatient(ctx: Any, input: Any) -> None:
            await ctx.execute_activity(slow, timeout=0.05)

        async def case(executor: DurableExecutor) -> None:
            with pytest.raises(WorkflowFailedError, match="start-to-close timeout of 50 ms"):
                await self.result(executor, impatient)

        self.run(case)
        assert ended == [1]

    @pytest.mark.requirement("R1-14")
    def test_timeout_is_each_attempts_own(self) -> None:
        calls = []

        async def slow_at_first() -> str:
            calls.append(1)
            if len(calls) < 3:
                await asyncio.sleep(30)
            return "done"

        async def patient(ctx: Any, input: Any) -> str:
            policy = RetryPolicy(4, 0.001)
            done: str = await ctx.execute_activity(slow_at_first, retry=policy, timeout=0.05)
            return done

        async def case(executor: DurableExecutor) -> None:
            assert await self.result(executor, patient) == "done"

        self.run(case)
        assert len(calls) == 3

    @pytest.mark.requirement("R1-10")
    def test_sleep_takes_its_time(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            began = time.monotonic()
            assert await self.result(executor, sleepy, 0.05) == "awake"
            assert time.monotonic() - began >= 0.04

        self.run(case)

    @pytest.mark.requirement("R1-17")
    def test_id_is_generated_when_none_is_given(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            first, second = await executor.execute(formatted), await executor.execute(formatted)
            assert first.id
            assert first.id != second.id
            assert first.run_id != second.run_id

        self.run(case)

    @pytest.mark.requirement("R1-17")
    def test_workflow_ends_when_its_time_is_over(self) -> None:
        async def stubborn(ctx: Any, input: Any) -> str:
            while True:
                try:
                    await ctx.sleep(30)
                except BaseException:  # noqa: BLE001  # it is stubborn
                    await ctx.sleep(30)

        async def case(executor: DurableExecutor) -> None:
            options = OPTIONS(id="wf-1", timeout=timedelta(milliseconds=50))
            handle = await executor.execute(stubborn, options)
            with pytest.raises(WorkflowFailedError) as caught:
                await handle.result()
            assert caught.value.type == "TimeoutError"
            assert await handle.status() == WorkflowStatus.FAILED

        self.run(case)

    @pytest.mark.requirement("R1-18")
    def test_who_waits_no_longer_leaves_the_workflow_running(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(approved, OPTIONS(id="wf-1"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await handle.result()
            assert await handle.status() == WorkflowStatus.RUNNING
            await executor.signal("wf-1", Signal("approval", True))
            assert await handle.result() == "approved: true"

        self.run(case)

    def test_running_id_is_refused_and_an_ended_one_is_used_again(self) -> None:
        async def case(executor: DurableExecutor) -> None:
            first = await executor.execute(approved, OPTIONS(id="wf-1"))
            with pytest.raises(AlreadyStartedError):
                await executor.execute(formatted, OPTIONS(id="wf-1"))
            await executor.signal("wf-1", Signal("approval", True))
            await first.result()
            second = await executor.execute(formatted, OPTIONS(id="wf-1", input=2))
            assert await second.result() == "processed: 2"
            assert await executor.query("wf-1", "result") == "processed: 2"

        self.run(case)

    @pytest.mark.requirement("R1-7")
    def test_context_is_deterministic(self) -> None:
        """What it gives is in the history, or follows from it."""

        async def odd(ctx: Any, input: Any) -> list[Any]:
            now, drawn, made = ctx.now(), ctx.random().random(), ctx.uuid4()
            await ctx.sleep(0.001)
            return [now < ctx.now(), 0 <= drawn < 1, made != ctx.uuid4(), ctx.info.workflow_id]

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(odd, OPTIONS(id="wf-1"))
            assert await handle.result() == [True, True, True, "wf-1"]

        self.run(case)

    @pytest.mark.requirement("R1-16", "R1-33", "R1-34", "R1-35")
    def test_hooks_are_told_what_happens(self) -> None:
        told: list[tuple[str, str, Any]] = []

        def noting(name: str) -> Callable[[str, Any], None]:
            return lambda workflow_id, about: told.append((name, workflow_id, about))

        names = (
            "workflow_start",
            "workflow_complete",
            "workflow_fail",
            "workflow_cancel",
            "activity_start",
            "activity_complete",
            "activity_fail",
            "signal",
            "retry",
        )
        hooks = Hooks(**{f"on_{name}": noting(name) for name in names})  # type: ignore[arg-type]

        async def failing(number: int) -> None:
            raise RuntimeError("bad")

        async def eventful(ctx: Any, input: Any) -> int:
            await ctx.receive_signal("go")
            with suppress(Exception):
                await ctx.execute_activity(failing, 1, retry=RetryPolicy(2, 0.001))
            result: int = await ctx.execute_activity(double, 4)
            return result

        async def case(executor: DurableExecutor) -> None:
            handle = await executor.execute(eventful, OPTIONS(id="good", input={"a": 1}))
            await executor.signal("good", Signal("go", "now"))
            await handle.result()
            failed = await executor.execute(broken, OPTIONS(id="bad"))
            with pytest.raises(WorkflowFailedError):
                await failed.result()
            await executor.execute(sleepy, OPTIONS(id="tired", input=30))
            await executor.cancel("tired")
            while not any(name == "workflow_cancel" for name, _, _ in told):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        self.run(case, hooks)
        good = [(name, about) for name, workflow_id, about in told if workflow_id == "good"]
        names_told = [name for name, _ in good]
        assert names_told == [
            "workflow_start",
            "signal",
            "activity_start",
            "retry",
            "retry",
            "activity_fail",
            "activity_start",
            "activity_complete",
            "workflow_complete",
        ]
        abouts = dict(good)
        assert abouts["workflow_start"] == {"a": 1}
        assert (abouts["signal"].name, abouts["signal"].payload) == ("go", "now")
        assert [about for name, about in good if name == "activity_start"] == [1, 4]
        assert (str(abouts["retry"]), abouts["retry"].attempts) == ("bad", 2)
        assert (abouts["activity_complete"], abouts["workflow_complete"]) == (8, 8)
        bad = [(name, str(about)) for name, workflow_id, about in told if workflow_id == "bad"]
        assert bad == [("workflow_start", "None"), ("workflow_fail", "broken")]
        tired = [name for name, workflow_id, _ in told if workflow_id == "tired"]
        assert tired == ["workflow_start", "workflow_cancel"]

    def test_hook_that_raises_changes_nothing(self) -> None:
        def raising(workflow_id: str, about: Any) -> None:
            raise RuntimeError("a broken hook")

        hooks = Hooks(on_workflow_start=raising, on_workflow_complete=raising)

        async def case(executor: DurableExecutor) -> None:
            assert await self.result(executor, formatted, 1) == "processed: 1"
            while hooks.failures.count < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        self.run(case, hooks)
        assert hooks.failures.count == 2

    @pytest.mark.requirement("R1-36")
    def test_middleware_stands_around_it_the_first_outermost(self) -> None:
        order: list[str] = []
        seen: list[tuple[str, Any]] = []

        def noting(name: str) -> Middleware:
            class Noting(Passing):
                async def execute(
                    self, fn: WorkflowFunction, options: WorkflowOptions | None = None
                ) -> WorkflowHandle:
                    order.append(name)
                    return await super().execute(fn, options)

            return Noting

        hooks = Hooks(
            on_workflow_start=lambda workflow_id, about: seen.append((workflow_id, about)),
            on_signal=lambda workflow_id, signal: seen.append((workflow_id, signal.name)),
        )

        async def case(executor: DurableExecutor) -> None:
            assert apply_middleware(executor) is executor
            wrapped = apply_middleware(
                executor, noting("outer"), noting("inner"), with_hooks(hooks)
            )
            assert isinstance(wrapped, DurableExecutor)
            handle = await wrapped.execute(approved, OPTIONS(input=1))
            await wrapped.signal(handle.id, Signal("approval", True))
            assert await handle.result() == "approved: true"
            assert await wrapped.query(handle.id, "status") == "completed"
            assert seen == [(handle.id, 1), (handle.id, "approval")]
            for call in (wrapped.query("no", "status"), wrapped.cancel("no")):
                with pytest.raises(ExecutorError, match="not found"):
                    await call

        self.run(case)
        assert order == ["outer", "inner"]
