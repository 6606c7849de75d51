"""How much one batch may take: a bound on what a transaction holds, and on how long everybody else waits for it.

Each source of turns (records, results of inline activities, what is due) has a part of its own: a flood of one of them
makes batches full, and yet every batch has some of each.
"""

from __future__ import annotations

from weft.host import HOST, Host
from weft.worker._batch import Batch
from weft.workflow import UNGUARDED, Guard

BATCH_BYTES_MAX = 16 * 1024 * 1024
"""What a batch may write before it takes no further turn. One turn may still go beyond, by what it writes itself."""
TURNS_S_MAX = 0.3
"""How long the turns of a batch may take, likewise: answers wait for the commit, and the group for a sign of life."""


class Room:
    """What is left of a batch. Made when it begins."""

    def __init__(self, batch: Batch, guard: Guard = UNGUARDED, host: Host = HOST) -> None:
        self._batch = batch
        self._guard = guard
        self._monotonic = host.monotonic
        self._interrupted_count = guard.interrupted_count
        self._end_s = host.monotonic() + TURNS_S_MAX
        self._part_end_s = self._end_s
        self._part_bytes_max = float(BATCH_BYTES_MAX)
        self._is_untouched = True

    def begin_part(self, share: float) -> None:
        """From now on there is this share of what is left, and in any case room for one turn."""
        now_s = self._monotonic()
        self._part_end_s = now_s + max(0.0, self._end_s - now_s) * share
        used_bytes = self._batch.planned_bytes
        self._part_bytes_max = used_bytes + max(0, BATCH_BYTES_MAX - used_bytes) * share
        self._is_untouched = True

    @property
    def is_left(self) -> bool:
        """Whether another turn may be taken; to be asked before each.

        None when a workflow's code had to be interrupted: it took seconds, so the rest is committed before others of
        its kind take more of them.
        """
        if self._guard.interrupted_count != self._interrupted_count:
            return False
        if self._batch.planned_bytes < self._part_bytes_max and (
            self._monotonic() < self._part_end_s
        ):
            self._is_untouched = False
            return True
        is_first, self._is_untouched = self._is_untouched, False
        return is_first
