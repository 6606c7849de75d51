from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from weft.executor import (
    ExecutorError,
    RetryPolicy,
    compute_interval,
    default_retry_policy,
    retry,
)
from weft.host import Host

SOON = RetryPolicy(max_attempts=5, initial_interval=0.001)


class Flaky:
    """Fails so often, then succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"bad {self.calls}")
        return "good"


@pytest.mark.requirement("R1-24")
def test_default_policy_is_the_contracts() -> None:
    policy = default_retry_policy()
    assert (policy.max_attempts, policy.backoff_coefficient) == (3, 2.0)
    assert policy.initial_interval == timedelta(milliseconds=100)
    assert policy.max_interval == timedelta(seconds=10)


@pytest.mark.requirement("R1-22", "R1-23")
def test_intervals_grow_up_to_the_cap() -> None:
    policy = RetryPolicy(initial_interval=0.1, max_interval=1.0)
    in_ms = [compute_interval(policy, n) / timedelta(milliseconds=1) for n in (0, 1, 2, 3, 4, 10)]
    assert in_ms == [100, 200, 400, 800, 1000, 1000]


def test_interval_never_overflows_when_there_is_no_cap() -> None:
    policy = RetryPolicy(max_interval=0)
    assert (
        compute_interval(policy, 30)
        < compute_interval(policy, 5000)
        == compute_interval(policy, 9000)
    )


@pytest.mark.requirement("R1-22")
def test_values_that_are_not_positive_get_their_defaults() -> None:
    record = RetryPolicy(0, 0, -1, -1).to_record()
    assert (record.max_attempts, record.initial_interval_ms) == (1, 100)
    assert (record.backoff_coefficient, record.max_interval_ms) == (2.0, 0)
    assert RetryPolicy(backoff_coefficient=0.5).to_record().backoff_coefficient == 0.5


@pytest.mark.requirement("R1-22")
def test_function_is_called_until_it_succeeds() -> None:
    flaky = Flaky(failures=1)
    assert asyncio.run(retry(SOON, flaky)) == "good"
    assert flaky.calls == 2


def test_error_of_the_last_attempt_is_told_once() -> None:
    flaky = Flaky(failures=9)
    told: list[str] = []
    with pytest.raises(ExecutorError) as caught:
        asyncio.run(retry(RetryPolicy(3, 0.001), flaky, on_retry=lambda e: told.append(str(e))))
    assert str(caught.value) == "workflow/retry: max attempts (3) exceeded: bad 3"
    assert caught.value.code == "provider_unavailable"
    assert isinstance(caught.value.__cause__, ValueError)
    assert (flaky.calls, told) == (3, ["bad 1", "bad 2", "bad 3"])


def test_non_retryable_error_ends_it_at_once() -> None:
    flaky = Flaky(failures=9)
    with pytest.raises(ExecutorError, match=r"max attempts \(1\) exceeded: bad 1"):
        asyncio.run(retry(RetryPolicy(5, 0.001, non_retryable=[ValueError]), flaky))
    assert flaky.calls == 1


def test_cancelled_task_calls_nothing() -> None:
    flaky = Flaky(failures=0)

    async def run() -> None:
        task = asyncio.ensure_future(retry(SOON, flaky))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert flaky.calls == 0


def test_cancellation_ends_the_wait_before_an_attempt() -> None:
    flaky = Flaky(failures=9)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await retry(RetryPolicy(3, 60.0, 2.0, 60.0), flaky)

    asyncio.run(run())
    assert flaky.calls == 1


class _Draws(Host):
    """Chance that is known."""

    def __init__(self, draw: float) -> None:
        self.draw = draw

    def random(self) -> float:
        return self.draw


@pytest.mark.requirement("R1-23")
@pytest.mark.parametrize("draw,expected_s", [(0.0, 0.05), (0.5, 0.1), (0.999, 0.1499)])
def test_interval_is_spread_by_a_half(draw: float, expected_s: float) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await retry(RetryPolicy(2, 0.1), Flaky(failures=1), host=_Draws(draw))
        return loop.time() - began

    waited_s = asyncio.run(run())
    assert expected_s - 0.002 <= waited_s < expected_s + 0.5
