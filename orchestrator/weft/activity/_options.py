"""How an activity is run: retries, timeout, queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from weft.errors import UsageError
from weft.records import RetryPolicy


def to_ms(value: timedelta | float, what: str) -> int:
    """A duration (timedelta, or seconds) in whole milliseconds. Raises UsageError when it is not positive."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{what} must be longer than zero, not {value!r}")
    return max(1, round(seconds * 1000))


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed activity is tried again.

    `max_attempts` counts the first. The interval before retry k is `min(initial * coefficient**(k-1), max)` times a
    factor drawn uniformly from `[1-jitter, 1+jitter)`, clipped to `max`. Exceptions in `non_retryable` (classes or
    names) end it at once. Intervals are timedeltas or seconds.
    """

    max_attempts: int = 3
    initial_interval: timedelta | float = field(default=timedelta(milliseconds=100))
    backoff_coefficient: float = 2.0
    max_interval: timedelta | float = field(default=timedelta(seconds=10))
    jitter: float = 0.5
    non_retryable: Sequence[type[BaseException] | str] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise UsageError(
                f"max_attempts counts the first attempt: at least 1, not {self.max_attempts}"
            )
        if not 0 < self.backoff_coefficient < float("inf"):
            raise UsageError(
                f"backoff_coefficient must be positive and finite, not {self.backoff_coefficient}"
            )
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"jitter must be between 0 and 1, not {self.jitter}")
        to_ms(self.initial_interval, "initial_interval")
        to_ms(self.max_interval, "max_interval")

    def to_policy(self) -> RetryPolicy:
        """As it stands in a history."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            initial_interval_ms=to_ms(self.initial_interval, "initial_interval"),
            backoff_coefficient=self.backoff_coefficient,
            max_interval_ms=to_ms(self.max_interval, "max_interval"),
            jitter=self.jitter,
            non_retryable=tuple(
                kind if isinstance(kind, str) else kind.__name__ for kind in self.non_retryable
            ),
        )
