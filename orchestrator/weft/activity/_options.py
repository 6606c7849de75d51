"""How an activity is run: retries and timeouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from weft.errors import UsageError
from weft.records import DEFAULT_START_TO_CLOSE_MS, RetryPolicy


def to_ms(value: timedelta | float, what: str) -> int:
    """A duration (timedelta, or seconds) in whole milliseconds. Raises UsageError when it is none, or not positive."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float):
        raise UsageError(f"{what} must be a timedelta, or seconds, not {value!r}")
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


def policy_of(retry: Retry, what: str) -> RetryPolicy:
    """The policy as it stands in a history. Raises UsageError for what is no `Retry`: nobody may have checked types."""
    if not isinstance(retry, Retry):
        raise UsageError(
            f"{what}: retry takes a weft.activity.Retry, such as Retry(max_attempts=5), not {retry!r}"
        )
    return retry.to_policy()


DEFAULT_TIMEOUT = timedelta(milliseconds=DEFAULT_START_TO_CLOSE_MS)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """What bounds an activity; each is a timedelta or seconds, None is without limit.

    `start_to_close` bounds each attempt, `heartbeat` the time between two calls of `activity.heartbeat` in it,
    `schedule_to_start` the time that each attempt waits on its queue, `schedule_to_close` everything together: all
    attempts and the pauses between them.
    """

    start_to_close: timedelta | float = DEFAULT_TIMEOUT
    heartbeat: timedelta | float | None = None
    schedule_to_start: timedelta | float | None = None
    schedule_to_close: timedelta | float | None = None

    @property
    def start_to_close_ms(self) -> int:
        """The default is its own object: records leave it out, and an activity costs a third less on the log."""
        timeout_ms = to_ms(self.start_to_close, "timeout")
        return DEFAULT_START_TO_CLOSE_MS if timeout_ms == DEFAULT_START_TO_CLOSE_MS else timeout_ms

    @property
    def heartbeat_ms(self) -> int:
        return _limit_ms(self.heartbeat, "heartbeat_timeout")

    @property
    def schedule_to_start_ms(self) -> int:
        return _limit_ms(self.schedule_to_start, "schedule_to_start")

    @property
    def schedule_to_close_ms(self) -> int:
        return _limit_ms(self.schedule_to_close, "schedule_to_close")


def _limit_ms(value: timedelta | float | None, what: str) -> int:
    return 0 if value is None else to_ms(value, what)
