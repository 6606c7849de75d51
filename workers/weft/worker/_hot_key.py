"""Whether one workflow gets most of what comes in: its records are taken one after the other, whatever is added."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from weft.log import LogRecord

logger = logging.getLogger("weft.worker")

WINDOW_S = 10.0
RECORDS_MIN = 1000
"""Fewer within a window are no load."""
HOT_SHARE = 0.5
_AGAIN_S = 600.0
_key_of = attrgetter("key")


class HotKey:
    """Counts the records of one owner's batches by workflow, window by window."""

    def __init__(self, namespace: str) -> None:
        self.share = 0.0
        """Of the busiest workflow, in the last window; 0 when little came in."""
        self._namespace = namespace
        self._counts: Counter[bytes | None] = Counter()
        self._ends_s = 0.0
        self._warned_s = float("-inf")

    def note(self, records: Sequence[LogRecord], now_s: float) -> None:
        """These came in."""
        if now_s >= self._ends_s:
            self._end_window(now_s)
        self._counts.update(map(_key_of, records))

    def _end_window(self, now_s: float) -> None:
        total = self._counts.total()
        seconds = now_s - self._ends_s + WINDOW_S
        self._ends_s = now_s + WINDOW_S
        if total < RECORDS_MIN:
            self.share = 0.0
        else:
            ((key, count),) = self._counts.most_common(1)
            self.share = count / total
            if self.share > HOT_SHARE and now_s - self._warned_s >= _AGAIN_S:
                self._warned_s = now_s
                self._warn(key or b"", count, seconds)
        self._counts.clear()

    def _warn(self, key: bytes, count: int, seconds: float) -> None:
        logger.warning(
            "workflow %s of %s gets %.0f%% of what comes in here, %.0f records a second: they are taken one after the "
            "other. Split its work over several workflow IDs.",
            key.decode(errors="backslashreplace"),
            self._namespace,
            100 * self.share,
            count / seconds,
        )
