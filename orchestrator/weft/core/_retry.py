"""When a failed attempt is tried again."""

from __future__ import annotations

from weft.records import FailureInfo, RetryPolicy

_INTERVAL_MS_MAX = 100 * 365 * 24 * 3600 * 1000


def is_retryable(policy: RetryPolicy, failure: FailureInfo, attempt: int) -> bool:
    """Whether another attempt may follow `attempt` (which counts from 1)."""
    return (
        attempt < policy.max_attempts
        and not failure.non_retryable
        and failure.type not in policy.non_retryable
    )


def retry_interval_ms(policy: RetryPolicy, attempt: int, draw: float) -> int:
    """The pause after failed attempt `attempt` (from 1); `draw` is uniform in [0, 1).

    Never overflows, however many attempts there are: a policy without a cap stops growing at a hundred years.
    """
    ceiling_ms = policy.max_interval_ms if policy.max_interval_ms > 0 else _INTERVAL_MS_MAX
    try:
        base_ms = policy.initial_interval_ms * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        base_ms = ceiling_ms
    factor = 1.0 - policy.jitter + 2.0 * policy.jitter * draw
    return int(min(min(base_ms, ceiling_ms) * factor, ceiling_ms))
