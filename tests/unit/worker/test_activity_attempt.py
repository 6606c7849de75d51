"""Every way in which an attempt can end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from weft import activity
from weft.activity import Activity, ActivityInfo
from weft.codec import decode_payload, decode_reference, encode, encode_payload, is_stored
from weft.errors import Failure, PayloadError
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads, PayloadStore
from weft.records import (
    NULL,
    PAYLOAD_BYTES_MAX,
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    AttemptUnreadable,
    FailureInfo,
    Payload,
    StoredPayload,
)
from weft.worker import _attempt
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._attempt import AttemptRunner

FOREVER_S = 60.0


@dataclass
class Order:
    id: str
    amount: float


class Bench:
    """A runner with one activity, and what its metrics say."""

    def __init__(self, function: Callable[..., Any], payloads: Payloads | None = None) -> None:
        self.activity: Activity[..., Any] = activity.define(name="step")(function)
        self.metrics = WorkerMetrics()
        self.runner = AttemptRunner(
            {"step": self.activity}, self.metrics, threads_max=2, payloads=payloads
        )

    async def run(
        self, *args: object, name: str = "step", timeout_ms: int = 60_000
    ) -> AttemptCompleted | AttemptFailed:
        result = await self.run_with(
            AttemptPulse(), *args, activity=name, start_to_close_ms=timeout_ms
        )
        assert result is not None, "nobody has cancelled it"
        return result

    async def run_with(
        self, pulse: AttemptPulse, *args: object, activity: str = "step", **options: Any
    ) -> AttemptCompleted | AttemptFailed | None:
        task = ActivityTask("run-1", 7, 2, activity, Payload(encode(args)), "fulfil", **options)
        result = await self.runner.run(task, "order-1", pulse)
        assert not isinstance(result, AttemptUnreadable), "nothing is encoded here"
        return result

    def count(self, outcome: str) -> float:
        labels = {"activity": "step", "outcome": outcome}
        return self.metrics.registry.get_sample_value("weft_activities_total", labels) or 0.0

    def astray(self) -> float | None:
        return self.metrics.registry.get_sample_value("weft_activity_threads_abandoned")

    def running(self) -> float | None:
        return self.metrics.registry.get_sample_value("weft_activities_running")


def ended(function: Callable[..., Any], *args: object, timeout_ms: int = 60_000) -> Any:
    """The result of one attempt, which must be completed."""
    bench = Bench(function)
    result = asyncio.run(bench.run(*args, timeout_ms=timeout_ms))
    bench.runner.close()
    assert isinstance(result, AttemptCompleted), result
    assert (result.run_id, result.activity_id, result.attempt) == ("run-1", 7, 2)
    assert (bench.count("completed"), bench.count("failed"), bench.count("timed_out")) == (1, 0, 0)
    assert bench.running() == 0
    return decode_payload(result.result)


def failed(
    function: Callable[..., Any],
    *args: object,
    timeout_ms: int = 60_000,
    outcome: str = "failed",
) -> FailureInfo:
    """The failure of one attempt, which must be failed and counted as such."""
    bench = Bench(function)
    result = asyncio.run(bench.run(*args, timeout_ms=timeout_ms))
    bench.runner.close()
    assert isinstance(result, AttemptFailed), result
    assert (result.run_id, result.activity_id, result.attempt) == ("run-1", 7, 2)
    counts = {name: bench.count(name) for name in ("completed", "failed", "timed_out")}
    assert counts == {"completed": 0, "failed": 0, "timed_out": 0, outcome: 1}
    assert bench.running() == 0
    encode(result)
    return result.failure


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What activities in threads wait for; they are let go after the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.requirement("R3-13")
def test_async_function_completes_with_its_result() -> None:
    async def step(order: Order, times: int = 2) -> dict[str, float]:
        await asyncio.sleep(0)
        return {order.id: order.amount * times}

    assert ended(step, {"id": "a", "amount": 1.5}) == {"a": 3.0}
    assert ended(step, {"id": "a", "amount": 1.5}, 10) == {"a": 15.0}


def test_sync_function_runs_in_another_thread_with_the_callers_context() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour")
    colour.set("blue")
    caller = threading.get_ident()

    def step(name: str) -> list[object]:
        return [name, colour.get(), threading.get_ident() == caller, activity.info().attempt]

    assert ended(step, "Ada") == ["Ada", "blue", False, 2]


def test_function_without_a_result_completes_with_null() -> None:
    async def step() -> None:
        pass

    assert ended(step) is None


def test_activity_knows_which_attempt_it_is() -> None:
    found: list[ActivityInfo] = []

    async def step() -> None:
        found.append(activity.info())

    ended(step)
    assert found == [ActivityInfo("order-1", "run-1", "fulfil", "step", 7, 2)]


def test_what_one_attempt_sets_in_its_context_no_other_sees() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")

    async def step(name: str) -> str:
        before = colour.get()
        colour.set(name)
        return before

    async def both() -> list[Any]:
        bench = Bench(step)
        tasks = [asyncio.create_task(bench.run(name)) for name in ("red", "blue")]
        return [decode_payload(result.result) for result in await asyncio.gather(*tasks)]  # type: ignore[union-attr]

    assert asyncio.run(both()) == ["none", "none"]


@pytest.mark.parametrize(
    "args, problem",
    [
        (({"id": "a", "amount": "much"},), "Expected `float`, got `str` - at `$.amount`"),
        (({"id": "a"},), "missing required field `amount`"),
        ((), "needs 1 arguments, got 0"),
        (({"id": "a", "amount": 1}, 1, 2), "takes 2 arguments, got 3"),
    ],
)
def test_wrong_input_is_a_failure_that_is_not_retried(args: tuple[Any, ...], problem: str) -> None:
    async def step(order: Order, times: int = 1) -> None:
        raise AssertionError("must not run")

    failure = failed(step, *args)
    assert problem in failure.message
    assert (failure.type, failure.non_retryable) == ("UsageError", True)


def test_exception_becomes_a_failure_with_its_type_and_cause() -> None:
    class CardDeclinedError(Exception):
        pass

    async def step() -> None:
        try:
            int("card")
        except ValueError as error:
            raise CardDeclinedError("no credit") from error

    failure = failed(step)
    assert (failure.type, failure.message) == ("CardDeclinedError", "no credit")
    assert not failure.non_retryable
    assert failure.cause is not None
    assert failure.cause.type == "ValueError"
    assert "in step" in failure.stack


def test_exception_in_a_thread_becomes_a_failure() -> None:
    def step() -> None:
        raise ValueError("bad")

    failure = failed(step)
    assert (failure.type, failure.message, failure.non_retryable) == ("ValueError", "bad", False)
    assert "in step" in failure.stack


def test_failure_keeps_type_details_and_whether_it_is_retried() -> None:
    async def step() -> None:
        raise Failure("sold out", type="SoldOut", details={"left": 0}, non_retryable=True)

    failure = failed(step)
    assert (failure.type, failure.non_retryable) == ("SoldOut", True)
    assert decode_payload(failure.details) == {"left": 0}


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), asyncio.CancelledError()])
def test_exceptions_with_a_meaning_for_the_worker_fail_the_attempt_alone(
    error: BaseException,
) -> None:
    async def step() -> None:
        raise error

    def step_in_thread() -> None:
        raise error

    for function in (step, step_in_thread):
        failure = failed(function)
        assert not failure.non_retryable
        names = (failure.type, failure.cause.type if failure.cause else "")
        assert type(error).__name__ in names


def test_keyboard_interrupt_in_a_thread_fails_the_attempt_alone() -> None:
    def step() -> None:
        raise KeyboardInterrupt

    assert failed(step).type == "KeyboardInterrupt"


@pytest.mark.parametrize("result", [object(), {1, 2j}, "\ud800"])
def test_result_that_cannot_be_stored_is_a_failure_that_is_not_retried(result: object) -> None:
    async def step() -> object:
        return result

    failure = failed(step)
    assert failure.message.startswith("the result of activity step: ")
    assert failure.non_retryable


def test_result_that_is_too_large_is_a_failure_that_is_not_retried() -> None:
    async def step() -> str:
        return "x" * PAYLOAD_BYTES_MAX

    failure = failed(step)
    assert failure.type == "PayloadTooLargeError"
    assert failure.message.startswith(
        "The result of activity step is 900,002 bytes as JSON; 900,000"
    )
    assert "WEFT_PAYLOAD_STORE" in failure.message
    assert "pass a reference" in failure.message
    assert failure.non_retryable
    assert len(failure.message) < 1000


def task_with(data: Payload) -> ActivityTask:
    return ActivityTask("run-1", 7, 2, "step", data, "fulfil")


def test_large_input_and_result_go_through_the_payload_store(tmp_path: Path) -> None:
    payloads = Payloads("shop", PayloadStore(tmp_path / "payloads"))

    async def step(text: str) -> str:
        return text + "!"

    text = "x" * PAYLOAD_BYTES_MAX
    data = payloads.set_aside(
        encode_payload([text]), workflow_id="order-1", scope="run-1", what="It"
    )
    bench = Bench(step, payloads)
    result = asyncio.run(bench.runner.run(task_with(data), "order-1"))
    bench.runner.close()
    assert isinstance(result, AttemptCompleted)
    assert is_stored(result.result)
    assert decode_payload(payloads.fetch(result.result)) == text + "!"


def test_input_that_cannot_be_had_is_a_failure_that_is_retried(tmp_path: Path) -> None:
    payloads = Payloads("shop", PayloadStore(tmp_path / "payloads"))
    called: list[str] = []

    def step(text: str) -> None:
        called.append(text)

    data = payloads.store_aside(NULL, workflow_id="order-1", scope="run-1", what="It")
    assert payloads.store is not None
    payloads.store.delete([decode_reference(data).key])
    bench = Bench(step, payloads)
    result = asyncio.run(bench.runner.run(task_with(data), "order-1"))
    bench.runner.close()
    assert isinstance(result, AttemptFailed)
    assert (result.failure.type, result.failure.non_retryable) == ("PayloadError", False)
    assert "is missing" in result.failure.message
    assert called == []
    assert bench.count("failed") == 1


@pytest.mark.parametrize("failures", [2, 99])
def test_result_is_brought_to_a_store_that_is_down_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """The work is done once, however often the store is asked; only a store that stays down has it done again."""
    monkeypatch.setattr(_attempt, "_STORE_AGAIN_S", (0.01, 0.01, 0.01))
    payloads = Payloads("shop", PayloadStore(tmp_path / "payloads"))
    assert payloads.store is not None
    write, asked, called = payloads.store.write, [0], [0]

    def refuse_at_first(key: str, data: bytes) -> StoredPayload:
        asked[0] += 1
        if asked[0] <= failures:
            raise PayloadError("down")
        return write(key, data)

    monkeypatch.setattr(payloads.store, "write", refuse_at_first)

    async def step() -> str:
        called[0] += 1
        return "x" * PAYLOAD_BYTES_MAX

    bench = Bench(step, payloads)
    result = asyncio.run(bench.run())
    bench.runner.close()
    assert called == [1]
    if failures == 2:
        assert isinstance(result, AttemptCompleted)
        assert is_stored(result.result)
    else:
        assert isinstance(result, AttemptFailed)
        assert (result.failure.type, result.failure.non_retryable) == ("PayloadError", False)
        assert asked == [4]


def test_coroutine_from_a_plain_function_is_a_failure_that_says_why() -> None:
    async def inner() -> int:
        return 1

    def step() -> object:
        return inner()

    assert "define it with `async def`" in failed(step).message


@pytest.mark.requirement("R1-14")
def test_attempt_out_of_time_is_cancelled_and_fails_with_timeout() -> None:
    cleaned: list[str] = []

    async def step() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            cleaned.append("up")

    failure = failed(step, timeout_ms=1, outcome="timed_out")
    assert failure.type == "TimeoutError"
    assert failure.message == (
        "attempt 2 of activity step was not done within its start-to-close timeout of 1 ms"
    )
    assert not failure.non_retryable
    assert cleaned == ["up"]


def test_attempt_out_of_time_fails_also_when_it_swallows_its_cancellation() -> None:
    async def swallow() -> str:
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            return "anything"
        return "never"

    async def turn_into_another() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            raise ValueError("while cleaning up") from None

    assert failed(swallow, timeout_ms=1, outcome="timed_out").type == "TimeoutError"
    failure = failed(turn_into_another, timeout_ms=1, outcome="timed_out")
    assert failure.type == "TimeoutError"
    assert failure.cause is not None
    assert failure.cause.type == "ValueError"


def test_timeout_that_the_activity_raises_itself_is_an_ordinary_failure() -> None:
    async def step() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(FOREVER_S)

    failure = failed(step)
    assert (failure.type, "start-to-close" in failure.message) == ("TimeoutError", False)


def test_next_await_of_the_same_task_is_not_cancelled_when_an_attempt_timed_out() -> None:
    async def step() -> None:
        await asyncio.sleep(FOREVER_S)

    async def then_go_on() -> int:
        await Bench(step).run(timeout_ms=1)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(then_go_on()) == 0


def test_thread_out_of_time_is_let_go_and_its_place_is_free(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    def step(wait: bool) -> str:
        if wait:
            release.wait()
        return "done"

    async def go() -> list[Any]:
        bench = Bench(step)
        late = [asyncio.create_task(bench.run(True, timeout_ms=1)) for _ in range(3)]
        failures = await asyncio.gather(*late)
        prompt = await bench.run(False)
        assert bench.astray() == 3
        bench.runner.close()
        return [*failures, prompt]

    with caplog.at_level(logging.WARNING, "weft.worker"):
        *failures, prompt = asyncio.run(go())
    assert [failure.failure.type for failure in failures] == ["TimeoutError"] * 3
    assert isinstance(prompt, AttemptCompleted), "two threads are three already, and one is left"
    assert caplog.text.count("its thread is let go") == 3


def test_sync_activities_do_not_block_async_ones(release: threading.Event) -> None:
    order: list[str] = []

    def block() -> None:
        release.wait()
        order.append("sync")

    async def quick() -> None:
        order.append("async")

    async def go() -> None:
        blocked = Bench(block)
        waiting = asyncio.create_task(blocked.run())
        await asyncio.sleep(0)
        await Bench(quick).run()
        release.set()
        await waiting
        blocked.runner.close()

    asyncio.run(go())
    assert order == ["async", "sync"]


def test_waiting_for_a_thread_is_not_the_attempts_time(release: threading.Event) -> None:
    """Two threads are taken; the third attempt has all its time still when one is free."""

    def step(name: str) -> str:
        if name == "long":
            release.wait()
        return name

    async def go() -> AttemptCompleted | AttemptFailed:
        bench = Bench(step)
        long_ones = [asyncio.create_task(bench.run("long")) for _ in range(2)]
        await asyncio.sleep(0)
        third = asyncio.create_task(bench.run("third", timeout_ms=5_000))
        await asyncio.sleep(0)
        assert not third.done()
        release.set()
        await asyncio.gather(*long_ones)
        bench.runner.close()
        return await third

    assert isinstance(asyncio.run(go()), AttemptCompleted)


def test_cancelling_the_caller_goes_through_and_gives_no_result() -> None:
    async def step() -> None:
        await asyncio.sleep(FOREVER_S)

    def step_in_thread() -> None:
        time.sleep(0.001)

    async def go(function: Callable[..., Any]) -> None:
        bench = Bench(function)
        attempt = asyncio.create_task(bench.run())
        await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert bench.running() == 0
        assert bench.count("failed") == 0
        bench.runner.close()

    asyncio.run(go(step))
    asyncio.run(go(step_in_thread))


def test_unknown_activity_fails_for_good_and_says_which_there_are() -> None:
    async def step() -> None:
        pass

    bench = Bench(step)
    result = asyncio.run(bench.run(name="sail"))
    assert isinstance(result, AttemptFailed)
    failure = result.failure
    assert (failure.type, failure.non_retryable) == ("UnknownActivityError", True)
    assert "no activity 'sail' (it has: step)" in failure.message


class Awkward(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error, kind, message",
    [
        (Failure("odd \ud800 text", type="Odd"), "Odd", "odd \\ud800 text"),
        (Failure("x", details="x" * 899_990), "Failure", "x"),
        (Failure("x", details=object(), non_retryable=True), "Failure", "x"),
        (Awkward(), "Awkward", "(its text cannot be read)"),
    ],
)
def test_failure_is_always_one_that_can_be_written(
    error: Exception, kind: str, message: str
) -> None:
    async def step() -> None:
        raise error

    failure = failed(step)
    assert (failure.type, failure.message) == (kind, message)
    assert failure.non_retryable == (isinstance(error, Failure) and error.non_retryable)
    assert len(encode(failure)) < PAYLOAD_BYTES_MAX


def test_runner_serves_loops_in_several_threads_at_once() -> None:
    """Inline activities run on a loop of their own."""

    async def step(name: str) -> str:
        await asyncio.sleep(0)
        return name

    def step_in_thread(name: str) -> str:
        return name

    for function in (step, step_in_thread):
        bench = Bench(function)
        results: list[object] = []

        def serve(bench: Bench = bench, results: list[object] = results) -> None:
            async def many() -> None:
                results.extend(await asyncio.gather(*(bench.run(str(n)) for n in range(20))))

            asyncio.run(many())

        threads = [threading.Thread(target=serve) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bench.runner.close()
        assert len(results) == 60
        assert bench.count("completed") == 60
        assert bench.running() == 0


def test_attempt_leaves_no_cycle_for_the_garbage_collector() -> None:
    class Holder:
        def __init__(self) -> None:
            self.pulse = AttemptPulse(on_long=self.report)

        def report(self, _started_ms: int) -> None: ...

    async def step() -> None:
        await asyncio.sleep(0)

    bench, holder = Bench(step), Holder()
    gone = weakref.ref(holder)
    gc.disable()
    try:
        asyncio.run(bench.run_with(holder.pulse))
        del holder
        assert gone() is None
    finally:
        gc.enable()
