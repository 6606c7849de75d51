"""What a broker's cleaner does to one partition, and what retention does.

Kafka's rules: nothing at or behind the last stable offset goes, nor the newest record (it is in the active segment). Of
each key the last record before that point stays. A tombstone, and the marker of a transaction, goes when a cleaning has
already left it as it is, that was `delay_s` ago, and nothing older of its key is left.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.simulation.log._partition import Entry, Partition


def clean(partition: Partition, now_s: float, delay_s: float, *, share: float = 1.0) -> int:
    """Clean this share of what may be cleaned; returns how many records went."""
    legal = bisect_left(partition.offsets, min(partition.stable_end, partition.end_offset - 1))
    count = int(legal * share)
    entries = partition.entries
    last_by_key = {
        entry.record.key: entry.offset
        for entry in entries[:count]
        if entry.record is not None and entry.decided
    }
    kept = [entry for entry in entries[:count] if _stays(entry, last_by_key, now_s, delay_s)]
    removed = [entry for entry in entries[:count] if entry.record is not None]
    removed_count = len(removed) - sum(entry.record is not None for entry in kept)
    partition.replace(kept + entries[count:])
    return removed_count


def _stays(
    entry: Entry, last_by_key: dict[bytes | None, int], now_s: float, delay_s: float
) -> bool:
    record = entry.record
    if record is not None:
        if not entry.decided or last_by_key[record.key] != entry.offset:
            return False
        if record.value is not None:
            return True
    if entry.cleaned_s is None:
        entry.cleaned_s = now_s
        return True
    return entry.cleaned_s + delay_s > now_s


def expire(partition: Partition, before_ms: int) -> int:
    """Remove the oldest records, up to the first one that is newer; returns how many went."""
    legal = bisect_left(partition.offsets, min(partition.stable_end, partition.end_offset - 1))
    count = 0
    while count < legal:
        record = partition.entries[count].record
        if record is not None and record.timestamp_ms >= before_ms:
            break
        count += 1
    removed_count = sum(entry.record is not None for entry in partition.entries[:count])
    if count:
        partition.replace(partition.entries[count:])
        partition.start_offset = partition.offsets[0]
    return removed_count
