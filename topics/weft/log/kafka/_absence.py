"""A member that is in no group, and stays so.

Kafka's client sometimes does not join again when its session ran out while no coordinator could be reached: it has no
member ID then, asks for none, and says nothing (3 of 50 restarts of a lone broker, with librdkafka 2.16). A join
that is merely slow looks the same, since a rebalance waits for its slowest member: so the patience grows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 15.0
PATIENCE_S_MAX = 120.0


class AbsenceWatch:
    """Tells when to join anew."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._patience_s = PATIENCE_S
        self._since_s = monotonic()

    def present(self) -> None:
        """It has a member ID."""
        self._patience_s = PATIENCE_S
        self._since_s = self._monotonic()

    def is_too_long(self) -> bool:
        """It has none: whether that has been so for too long, since it was present or this was last said."""
        now_s = self._monotonic()
        if now_s - self._since_s < self._patience_s:
            return False
        self._since_s = now_s
        self._patience_s = min(2 * self._patience_s, PATIENCE_S_MAX)
        return True
