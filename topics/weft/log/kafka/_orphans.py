"""Partitions of a group that nobody has, although the group is at rest.

A static member that is killed while it gives partitions up, and is back before its session is over, joins a group that
looks stable: the broker hands it its last assignment again, and the rebalance in which the others would have got the
rest never comes. So a static member that has just started looks whether the group is whole. When partitions stay
without an owner, it leaves and joins again: that is a rebalance.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_S = 2.0
"""What a member gives up is free until its next rebalance, which is over sooner than this."""
LOOKS = 3
"""So many looks in a row must find an orphan: giving up may take a while."""


class OrphanWatch:
    """Looks every 2 s until the group is whole. `is_whole` answers None where it cannot tell."""

    def __init__(
        self, is_whole: Callable[[], bool | None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_over = False
        self._is_whole = is_whole
        self._monotonic = monotonic
        self._look_at = monotonic() + LOOK_S
        self._found_count = 0

    def finds_orphans(self) -> bool:
        """Whether to leave and join again, now. Call it often; mostly it does nothing."""
        now = self._monotonic()
        if self.is_over or now < self._look_at:
            return False
        answer = self._is_whole()
        self._look_at = self._monotonic() + LOOK_S
        self.is_over = answer is True
        self._found_count = self._found_count + 1 if answer is False else 0
        if self._found_count < LOOKS:
            return False
        self._found_count = 0
        return True
