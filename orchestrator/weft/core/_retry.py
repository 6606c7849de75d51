"""When a failed attempt is tried again."""

from __future__ import annotations

from weft.records import FailureInfo, RetryPolicy


def is_retryable(policy: RetryPolicy, failure: FailureInfo, attempt: int) -> bool:
    """Whether another attempt may follow `attempt` (which counts from 1)."""
    return (
        attempt < policy.max_attempts
        and not failure.non_retryable
        and failure.type not in policy.non_retryable
    )


def retry_interval_ms(policy: RetryPolicy, attempt: int, draw: float) -> int:
    """The pause after failed attempt `attempt` (from 1); `draw` is uniform in [0, 1).

    Capped before it is multiplied, so that a policy with thousands of attempts does not overflow.
    """
    base_ms = float(policy.initial_interval_ms)
    ceiling_ms = policy.max_interval_ms or float("inf")
    for _ in range(attempt - 1):
        if base_ms >= ceiling_ms:
            break
        base_ms *= policy.backoff_coefficient
        if base_ms == 0 or base_ms > _INTERVAL_MS_MAX:
            break
    base_ms = min(base_ms, ceiling_ms, _INTERVAL_MS_MAX)
    factor = 1.0 - policy.jitter + 2.0 * policy.jitter * draw
    return int(min(base_ms * factor, ceiling_ms))


_INTERVAL_MS_MAX = 100 * 365 * 24 * 3600 * 1000.0
