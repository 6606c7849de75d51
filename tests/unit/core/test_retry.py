"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest

from weft.core import is_retryable, retry_interval_ms
from weft.records import FailureInfo, RetryPolicy

MIDDLE = 0.5
"""The draw that leaves an interval as it is."""


@pytest.mark.requirement("R1-22", "R1-23")
def test_interval_grows_with_each_attempt_up_to_the_cap() -> None:
    policy = RetryPolicy(initial_interval_ms=100, backoff_coefficient=2.0, max_interval_ms=1000)
    intervals = [retry_interval_ms(policy, attempt, MIDDLE) for attempt in range(1, 7)]
    assert intervals == [100, 200, 400, 800, 1000, 1000]


@pytest.mark.requirement("R1-23")
@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.25)])
def test_jitter_spreads_the_interval_by_half(draw: float, factor: float) -> None:
    assert retry_interval_ms(RetryPolicy(), 2, draw) == 200 * factor


def test_interval_is_clipped_to_the_cap_after_the_jitter() -> None:
    policy = RetryPolicy(initial_interval_ms=100, max_interval_ms=100)
    assert retry_interval_ms(policy, 1, 0.99) == 100
    assert retry_interval_ms(policy, 1, 0.0) == 50


def test_interval_is_exact_when_there_is_no_jitter() -> None:
    assert retry_interval_ms(RetryPolicy(jitter=0.0), 1, 0.99) == 100


def test_interval_shrinks_when_the_coefficient_is_below_one() -> None:
    policy = RetryPolicy(initial_interval_ms=8000, backoff_coefficient=0.5, max_interval_ms=4000)
    intervals = [retry_interval_ms(policy, attempt, MIDDLE) for attempt in range(1, 6)]
    assert intervals == [4000, 4000, 2000, 1000, 500]


def test_interval_stays_finite_when_there_is_no_cap() -> None:
    """The package that the contract comes from overflows to negative after 37 doublings."""
    policy = RetryPolicy(max_interval_ms=0)
    assert retry_interval_ms(policy, 20, MIDDLE) == 100 * 2**19
    century_ms = 100 * 365 * 24 * 3600 * 1000
    for attempt in (38, 1000, 1_000_000):
        assert retry_interval_ms(policy, attempt, 0.999) == century_ms


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_attempts_are_counted_from_the_first(attempt: int, again: bool) -> None:
    assert is_retryable(RetryPolicy(max_attempts=3), FailureInfo("E"), attempt) is again


def test_failure_is_final_when_its_type_is_listed() -> None:
    policy = RetryPolicy(non_retryable=("CardDeclined",))
    assert not is_retryable(policy, FailureInfo("CardDeclined"), 1)
    assert is_retryable(policy, FailureInfo("CardDeclinedForNow"), 1)


def test_failure_is_final_when_it_says_so() -> None:
    assert not is_retryable(RetryPolicy(), FailureInfo("E", non_retryable=True), 1)
