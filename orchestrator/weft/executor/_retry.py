"""Try a function again: the policy of the contract, for activities and for any other call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from weft.activity import to_failure
from weft.core import is_retryable, retry_interval_ms
from weft.executor._errors import ExecutorError
from weft.host import HOST, Host
from weft.records import RetryPolicy as RecordedPolicy

T = TypeVar("T")

_COEFFICIENT = 2.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to try again. `max_attempts` counts the first; intervals are timedeltas or seconds.

    The interval before retry k is `min(initial * coefficient**(k-1), max)` times a factor drawn uniformly from
    [0.5, 1.5), clipped to `max`. What is not positive gets its default: one attempt, 100 ms, 2.0, no cap.
    """

    max_attempts: int = 3
    initial_interval: timedelta | float = field(default=timedelta(milliseconds=100))
    backoff_coefficient: float = _COEFFICIENT
    max_interval: timedelta | float = field(default=timedelta(seconds=10))
    non_retryable: Sequence[type[BaseException] | str] = ()

    def to_record(self, *, jitter: float = 0.5) -> RecordedPolicy:
        """As it stands in a history, with what is not positive made good."""
        return RecordedPolicy(
            max_attempts=max(1, self.max_attempts),
            initial_interval_ms=_ms(self.initial_interval) or 100,
            backoff_coefficient=self.backoff_coefficient
            if self.backoff_coefficient > 0
            else _COEFFICIENT,
            max_interval_ms=_ms(self.max_interval),
            jitter=jitter,
            non_retryable=tuple(
                kind if isinstance(kind, str) else kind.__name__ for kind in self.non_retryable
            ),
        )


ONE_ATTEMPT = RetryPolicy(max_attempts=1)
"""What a plain function gets that is called without a policy."""


def default_retry_policy() -> RetryPolicy:
    """3 attempts, 100 ms, 2.0, at most 10 s."""
    return RetryPolicy()


def compute_interval(policy: RetryPolicy, retry: int) -> timedelta:
    """The interval before retry `retry` (from 0), before a factor is drawn for it."""
    interval_ms = retry_interval_ms(policy.to_record(jitter=0.0), retry + 1, 0.0)
    return timedelta(milliseconds=interval_ms)


async def retry(
    policy: RetryPolicy,
    function: Callable[[], Awaitable[T]],
    *,
    on_retry: Callable[[Exception], object] | None = None,
    host: Host = HOST,
) -> T:
    """Call until it succeeds. `on_retry` is told of every failed attempt, the last one included.

    Raises ExecutorError (`provider_unavailable`) after the last attempt, with its error as the cause; CancelledError at
    once, also from a task that was cancelled before its first attempt.
    """
    recorded = policy.to_record()
    await asyncio.sleep(0)  # a cancelled task calls nothing
    attempt = 0
    while True:
        attempt += 1
        try:
            return await function()
        except Exception as error:
            if on_retry is not None:
                on_retry(error)
            if not is_retryable(recorded, to_failure(error), attempt):
                raise attempts_exceeded(attempt, error) from error
        await asyncio.sleep(retry_interval_ms(recorded, attempt, host.random()) / 1000)


def attempts_exceeded(attempts: int, error: BaseException) -> ExecutorError:
    """Of a function that failed for good."""
    text = f"workflow/retry: max attempts ({attempts}) exceeded: {error}"
    return ExecutorError("provider_unavailable", text)


def _ms(interval: timedelta | float) -> int:
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    return max(1, round(seconds * 1000)) if seconds > 0 else 0
