"""`Retry`: what it takes, and what of it stands in a history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from weft.activity import Retry
from weft.errors import Failure, UsageError
from weft.records import RetryPolicy


class CardDeclined(Failure):
    pass


@pytest.mark.requirement("R1-22")
def test_retry_says_everything_in_milliseconds_and_names() -> None:
    retry = Retry(
        max_attempts=5,
        initial_interval=timedelta(milliseconds=250),
        backoff_coefficient=1.5,
        max_interval=30,
        jitter=0.25,
        non_retryable=[CardDeclined, "OutOfStock"],
    )
    assert retry.to_policy() == RetryPolicy(
        5, 250, 1.5, 30_000, 0.25, ("CardDeclined", "OutOfStock")
    )


@pytest.mark.requirement("R1-24")
def test_retry_alone_is_the_default_policy() -> None:
    policy = Retry().to_policy()
    assert policy == RetryPolicy(3, 100, 2.0, 10_000, 0.5, ())
    assert policy == RetryPolicy()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_attempts": 0}, "max_attempts counts the first attempt: at least 1, not 0"),
        ({"max_attempts": -3}, "max_attempts"),
        ({"backoff_coefficient": 0.0}, "backoff_coefficient must be positive and finite, not 0.0"),
        ({"backoff_coefficient": -2.0}, "backoff_coefficient"),
        ({"backoff_coefficient": float("inf")}, "backoff_coefficient"),
        ({"backoff_coefficient": float("nan")}, "backoff_coefficient"),
        ({"jitter": -0.1}, "jitter must be between 0 and 1, not -0.1"),
        ({"jitter": 1.5}, "jitter"),
        ({"jitter": float("nan")}, "jitter"),
        ({"initial_interval": 0}, "initial_interval must be longer than zero, not 0"),
        ({"initial_interval": timedelta(seconds=-1)}, "initial_interval"),
        ({"max_interval": float("inf")}, "max_interval"),
    ],
)
def test_retry_is_refused_when_it_makes_no_sense(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Retry(**wrong)


def test_shrinking_intervals_and_full_jitter_are_allowed() -> None:
    retry = Retry(backoff_coefficient=0.5, jitter=1.0)
    assert (retry.to_policy().backoff_coefficient, retry.to_policy().jitter) == (0.5, 1.0)
