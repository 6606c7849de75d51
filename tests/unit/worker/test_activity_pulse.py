"""Heartbeats and cancellation: between an attempt's code and whoever waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.worker.test_activity_attempt import FOREVER_S, Bench
from weft import activity
from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError
from weft.records import HEARTBEAT_BYTES_MAX, NULL, AttemptCompleted, AttemptFailed
from weft.worker._activity_pulse import AttemptPulse

Result = AttemptCompleted | AttemptFailed | None


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What activities in threads wait for; they are let go after the test."""
    event = threading.Event()
    yield event
    event.set()


def run(function: Callable[..., Any], pulse: AttemptPulse, **options: Any) -> tuple[Result, Bench]:
    bench = Bench(function)
    result = asyncio.run(bench.run_with(pulse, **options))
    bench.runner.close()
    return result, bench


def cancelled_while_it_runs(function: Callable[..., Any]) -> tuple[Result, Bench]:
    """The outcome of an attempt whose owner cancels it soon."""
    bench = Bench(function)
    pulse = AttemptPulse()

    async def go() -> Result:
        attempt = asyncio.create_task(bench.run_with(pulse))
        await asyncio.sleep(0.02)
        pulse.cancel()
        pulse.cancel()  # another answer to another heartbeat
        result = await attempt
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return result

    result = asyncio.run(asyncio.wait_for(go(), 10))
    bench.runner.close()
    return result, bench


# Heartbeats.


def test_heartbeat_hands_over_its_details_once() -> None:
    pulse = AttemptPulse()
    taken = []

    async def step() -> None:
        activity.heartbeat({"row": 1})
        activity.heartbeat({"row": 2})
        taken.append(pulse.take_news())
        taken.append(pulse.take_news())
        activity.heartbeat()
        taken.append(pulse.take_news())

    result, _ = run(step, pulse)
    assert isinstance(result, AttemptCompleted)
    assert [decode_payload(details) for details in taken] == [{"row": 2}, None, None]
    assert pulse.last_s > 0


def test_details_that_were_not_delivered_are_handed_over_again() -> None:
    pulse = AttemptPulse()
    pulse.beat(encode_payload(7))
    assert decode_payload(pulse.take_news()) == 7
    pulse.put_news_back()
    assert decode_payload(pulse.take_news()) == 7


def test_heartbeat_in_a_thread_is_heard() -> None:
    pulse = AttemptPulse()

    def step() -> bool:
        activity.heartbeat("half")
        return activity.is_cancelled()

    result, _ = run(step, pulse)
    assert isinstance(result, AttemptCompleted)
    assert decode_payload(result.result) is False
    assert decode_payload(pulse.take_news()) == "half"


def test_next_attempt_finds_what_the_former_one_said() -> None:
    class Row(dict[str, int]):
        pass

    async def step() -> list[object]:
        info = activity.info()
        return [info.heartbeat_details, info.details_as(dict[str, int])]

    result, _ = run(step, AttemptPulse(), heartbeat_details=encode_payload({"row": 2}))
    assert isinstance(result, AttemptCompleted)
    assert decode_payload(result.result) == [{"row": 2}, {"row": 2}]
    result, _ = run(step, AttemptPulse())
    assert isinstance(result, AttemptCompleted)
    assert decode_payload(result.result) == [None, None]


def test_details_that_do_not_fit_their_hint_are_refused() -> None:
    async def step() -> None:
        activity.info().details_as(int)

    result, _ = run(step, AttemptPulse(), heartbeat_details=encode_payload("much"))
    assert isinstance(result, AttemptFailed)
    assert result.failure.type == "UsageError"


@pytest.mark.parametrize("details", [object(), "x" * HEARTBEAT_BYTES_MAX])
def test_details_that_cannot_be_kept_are_refused(details: object) -> None:
    async def step() -> None:
        activity.heartbeat(details)

    result, _ = run(step, AttemptPulse())
    assert isinstance(result, AttemptFailed)
    assert result.failure.type == "UsageError"


def test_heartbeat_outside_of_an_activity_is_a_mistake() -> None:
    for call in (activity.heartbeat, activity.is_cancelled):
        with pytest.raises(UsageError, match="inside a running activity only"):
            call()


def test_heartbeat_says_nothing_in_a_test_that_calls_the_function() -> None:
    token = activity.current.set(activity.ActivityInfo("w", "r", "fulfil", "step", 1, 1))
    try:
        activity.heartbeat({"row": 1})
        assert activity.is_cancelled() is False
    finally:
        activity.current.reset(token)


def test_failed_attempt_brings_the_details_that_nobody_has_taken() -> None:
    async def step(taken: bool) -> None:
        activity.heartbeat({"row": 1})
        if taken:
            pulse.take_news()
        raise ValueError("no")

    for taken, details in ((False, {"row": 1}), (True, None)):
        pulse = AttemptPulse()
        result = asyncio.run(Bench(step).run_with(pulse, taken))
        assert isinstance(result, AttemptFailed)
        assert decode_payload(result.heartbeat_details) == details


# Heartbeat timeout.


def test_silent_async_attempt_fails_with_a_timeout_of_its_own_kind() -> None:
    async def step() -> None:
        await asyncio.sleep(FOREVER_S)

    result, bench = run(step, AttemptPulse(), heartbeat_timeout_ms=20)
    assert isinstance(result, AttemptFailed)
    assert result.failure.type == "HeartbeatTimeoutError"
    assert "did not call activity.heartbeat() for 20 ms" in result.failure.message
    assert not result.failure.non_retryable
    assert bench.count("timed_out") == 1


def test_silent_thread_is_let_go_and_hears_of_it_from_its_next_heartbeat(
    release: threading.Event,
) -> None:
    heard: list[object] = []
    gone = threading.Event()

    def step() -> None:
        release.wait()
        heard.append(activity.is_cancelled())
        try:
            activity.heartbeat()
        except asyncio.CancelledError:
            heard.append("cancelled")
        gone.set()

    result, _ = run(step, AttemptPulse(), heartbeat_timeout_ms=20)
    assert isinstance(result, AttemptFailed)
    assert result.failure.type == "HeartbeatTimeoutError"
    release.set()
    assert gone.wait(5)
    assert heard == [True, "cancelled"]


def test_beating_attempt_goes_on() -> None:
    async def step() -> str:
        for _ in range(10):
            await asyncio.sleep(0.03)
            activity.heartbeat()
        return "done"

    result, _ = run(step, AttemptPulse(), heartbeat_timeout_ms=200)
    assert isinstance(result, AttemptCompleted)


# Cancellation.


def test_cancelled_async_attempt_sees_it_cleans_up_and_has_no_result() -> None:
    seen: list[str] = []

    async def step() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)  # a second cancellation would end this
            seen.append("cleaned up")
            raise

    result, bench = cancelled_while_it_runs(step)
    assert (result, seen) == (None, ["cleaned up"])
    assert (bench.count("cancelled"), bench.count("failed"), bench.running()) == (1, 0, 0)


@pytest.mark.parametrize("ending", ["result", "error"])
def test_cancelled_attempt_has_no_result_whatever_its_code_does(ending: str) -> None:
    async def step() -> str:
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            if ending == "error":
                raise ValueError("no") from None
        return "done all the same"

    result, bench = cancelled_while_it_runs(step)
    assert (result, bench.count("cancelled"), bench.count("completed")) == (None, 1, 0)


def test_cancelled_thread_hears_of_it_from_its_next_heartbeat() -> None:
    def step() -> None:
        while True:
            activity.heartbeat()
            threading.Event().wait(0.005)

    result, bench = cancelled_while_it_runs(step)
    assert (result, bench.count("cancelled"), bench.count("failed")) == (None, 1, 0)


def test_cancelled_thread_may_ask() -> None:
    def step() -> str:
        while not activity.is_cancelled():
            threading.Event().wait(0.005)
        return "stopped"

    result, bench = cancelled_while_it_runs(step)
    assert (result, bench.count("cancelled")) == (None, 1)


def test_attempt_that_waits_for_a_thread_is_cancelled_before_it_begins(
    release: threading.Event,
) -> None:
    begun: list[str] = []

    def step(name: str) -> None:
        begun.append(name)
        release.wait()

    async def go() -> None:
        bench = Bench(step)
        long_ones = [asyncio.create_task(bench.run(name)) for name in "ab"]
        pulse = AttemptPulse()
        third = asyncio.create_task(bench.run_with(pulse, "c"))
        await asyncio.sleep(0.02)
        pulse.cancel()
        assert await third is None
        release.set()
        await asyncio.gather(*long_ones)
        bench.runner.close()

    asyncio.run(go())
    assert sorted(begun) == ["a", "b"]


def test_attempt_that_is_cancelled_before_it_begins_does_not_run() -> None:
    for function in (_never_async, _never):
        pulse = AttemptPulse()
        pulse.cancel()
        result, bench = run(function, pulse)
        assert (result, bench.count("cancelled")) == (None, 1)


async def _never_async() -> None:
    raise AssertionError("must not run")


def _never() -> None:
    raise AssertionError("must not run")


def test_end_of_the_worker_goes_through_also_when_the_owner_cancelled_before() -> None:
    async def step() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            await asyncio.sleep(FOREVER_S)

    async def go() -> None:
        bench, pulse = Bench(step), AttemptPulse()
        attempt = asyncio.create_task(bench.run_with(pulse))
        await asyncio.sleep(0.01)
        pulse.cancel()
        await asyncio.sleep(0.01)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt

    asyncio.run(asyncio.wait_for(go(), 10))


# Threads astray.


def test_threads_astray_are_bounded_and_come_back(release: threading.Event) -> None:
    """Two threads may be astray beside the two that count; then the worker stands still and says so."""

    def step(wait: bool) -> str:
        if wait:
            release.wait()
        return "done"

    async def go() -> None:
        bench = Bench(step)
        for count in range(1, 5):
            assert not bench.runner.is_stuck
            result = await bench.run(True, timeout_ms=1)
            assert isinstance(result, AttemptFailed)
            assert bench.astray() == count
        assert bench.runner.is_stuck
        waiting = asyncio.create_task(bench.run(False, timeout_ms=1000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        release.set()
        assert isinstance(await waiting, AttemptCompleted)
        results = await asyncio.gather(*(bench.run(False) for _ in range(10)))
        assert all(isinstance(result, AttemptCompleted) for result in results)
        while bench.astray():  # noqa: ASYNC110  # threads tell no loop when they have gone
            await asyncio.sleep(0.005)
        assert not bench.runner.is_stuck
        assert bench.runner._threads._threads <= 2
        bench.runner.close()

    asyncio.run(asyncio.wait_for(go(), 10))


def test_no_news_are_no_details() -> None:
    assert AttemptPulse().take_news() is NULL
