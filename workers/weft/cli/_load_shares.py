"""How evenly records lie over partitions and workflows, from a sample of the newest of each partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

SKEW = 2.5
"""A partition with more than so many times the records that the others have on average is named."""
HOT_SHARE = 0.5
"""A workflow with more than this part of its partition's records is named."""
_RECORDS_MIN = 100
"""Fewer say nothing about shares."""
_WINDOW_S = 600.0
"""Older records are not today's load."""
_SPAN_S_MIN = 1.0


class Sample:
    """Records of one topic: of each partition the newest."""

    def __init__(self, partition_count: int, now_s: float) -> None:
        self.partition_count = partition_count
        self._now_s = now_s
        self._times: dict[int, list[float]] = {}
        self._recent_keys: dict[int, Counter[bytes]] = {}
        self.count = 0

    def add(self, partition: int, key: bytes, time_s: float) -> None:
        self.count += 1
        self._times.setdefault(partition, []).append(time_s)
        if self._now_s - time_s <= _WINDOW_S:
            self._recent_keys.setdefault(partition, Counter())[key] += 1

    def count_since(self, seconds: float) -> int:
        """How many are no older than this."""
        return sum(
            self._now_s - time_s <= seconds for times in self._times.values() for time_s in times
        )

    def recent(self) -> Iterator[tuple[int, Counter[bytes], float]]:
        """(partition, how many records by key, how many a second) within the window."""
        for partition, counts in self._recent_keys.items():
            oldest_s = min(
                time_s for time_s in self._times[partition] if self._now_s - time_s <= _WINDOW_S
            )
            yield partition, counts, counts.total() / max(self._now_s - oldest_s, _SPAN_S_MIN)


def skewed(sample: Sample) -> list[tuple[int, float, float]]:
    """(partition, records a second, the average of the others) of those that stand out, the worst first."""
    rates = {partition: per_s for partition, _, per_s in sample.recent()}
    found = []
    for partition, counts, per_s in sample.recent():
        others_per_s = (sum(rates.values()) - per_s) / max(sample.partition_count - 1, 1)
        says_something = sample.partition_count > 1 and counts.total() >= _RECORDS_MIN
        if says_something and per_s > SKEW * others_per_s:
            found.append((partition, per_s, others_per_s))
    return sorted(found, key=lambda one: -one[1])


def hot_keys(sample: Sample) -> list[tuple[bytes, int, float, float]]:
    """(key, partition, its part of the partition's records, how many a second), the hottest first."""
    found = []
    for partition, counts, per_s in sample.recent():
        total = counts.total()
        key, count = counts.most_common(1)[0]
        if total >= _RECORDS_MIN and count > HOT_SHARE * total:
            found.append((key, partition, count / total, per_s * count / total))
    return sorted(found, key=lambda one: -one[3])
