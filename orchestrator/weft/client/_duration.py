"""Durations as callers give them."""

from __future__ import annotations

import math
from datetime import timedelta

from weft.errors import UsageError

Duration = timedelta | float
"""A timedelta, or seconds."""


def seconds(duration: object, name: str) -> float:
    """Raises UsageError, naming the option, for what is not a duration of 0 or more."""
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        value = float(duration)
    else:
        raise UsageError(f"{name}={duration!r} is no duration: give a timedelta, or seconds.")
    if not 0 <= value < math.inf:
        raise UsageError(f"{name}={duration!r} is no duration: give 0 or more.")
    return value
