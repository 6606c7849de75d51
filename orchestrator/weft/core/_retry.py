"""When a failed attempt is tried again."""

from __future__ import annotations

from weft.records import FailureInfo, RetryPolicy

LOST_ATTEMPTS_MAX = 10
"""Attempts that may be lost with their workers before each further one counts: one that kills them must come to an end.
"""
_INTERVAL_MS_MAX = 100 * 365 * 24 * 3600 * 1000


def is_retryable(policy: RetryPolicy, failure: FailureInfo, tries: int) -> bool:
    """Whether another attempt may follow after so many."""
    return (
        tries < policy.max_attempts
        and not failure.non_retryable
        and failure.type not in policy.non_retryable
    )


def retry_interval_ms(policy: RetryPolicy, tries: int, draw: float) -> int:
    """The pause after so many failed attempts; `draw` is uniform in [0, 1).

    Never overflows, however many attempts there are: a policy without a cap stops growing at a hundred years.
    """
    ceiling_ms = policy.max_interval_ms if policy.max_interval_ms > 0 else _INTERVAL_MS_MAX
    try:
        base_ms = policy.initial_interval_ms * policy.backoff_coefficient ** (tries - 1)
    except OverflowError:
        base_ms = ceiling_ms
    factor = 1.0 - policy.jitter + 2.0 * policy.jitter * draw
    return int(min(min(base_ms, ceiling_ms) * factor, ceiling_ms))
