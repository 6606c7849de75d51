"""Cleaning: the last value of each key on compacted topics, retention on the others.

It works beside everything else: a partition is looked through without the write lock, and what may go is deleted in
short write transactions. What was found removable stays so, since a newer record of a key never goes away before
the older one. The newest record of a partition always stays, so that its timestamp and offset remain to be seen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from weft.log.embedded._append import now_ms
from weft.log.embedded._catalogue import Topic, read_topics
from weft.log.embedded._database import Database
from weft.log.embedded._schema import OFFSET_BITS

_LOOK_RECORDS = 4_000
_DELETE_RECORDS = 500
_PAUSE_S = 0.001
"""After each write transaction, so that whoever waits for the file gets it."""

_NEXT_BOUNDARY = (
    "SELECT record_id FROM records WHERE record_id >= ? AND record_id < ? "
    "ORDER BY record_id LIMIT 1 OFFSET ?"
)
_NOTE_KEYS = (
    "INSERT INTO temp.last_by_key (key, record_id) SELECT key, max(record_id) FROM main.records "
    "WHERE record_id >= ? AND record_id < ? AND key IS NOT NULL GROUP BY key "
    "ON CONFLICT (key) DO UPDATE SET record_id = excluded.record_id"
)
_REMOVABLE = (
    "SELECT record.record_id FROM main.records AS record "
    "LEFT JOIN temp.last_by_key AS last ON last.key = record.key "
    "WHERE record.record_id >= ? AND record.record_id < ? "
    "AND (record.record_id < last.record_id OR (record.value IS NULL AND record.timestamp_ms < ?))"
)
_KEPT = (
    "SELECT count(*), min(CASE WHEN value IS NULL THEN timestamp_ms END) FROM records "
    "WHERE record_id >= ? AND record_id < ?"
)
_NOTE_CLEANING = (
    "INSERT INTO cleanings (partition_id, cleaned_to_offset, kept_count, oldest_tombstone_ms) "
    "VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET cleaned_to_offset = "
    "excluded.cleaned_to_offset, kept_count = excluded.kept_count, oldest_tombstone_ms = "
    "excluded.oldest_tombstone_ms"
)


@dataclass(frozen=True, slots=True)
class _Cleaning:
    """Where the last cleaning of a partition stood."""

    cleaned_to_offset: int = 0
    kept_count: int = 0
    oldest_tombstone_ms: int | None = None


def compact(database: Database, *, tombstone_delay_s: float, dirty_ratio_min: float) -> int:
    """Clean every topic; returns how many records were removed.

    A compacted partition is left alone until at least `dirty_ratio_min` of its records are new since the last
    cleaning, or a tombstone in it is older than `tombstone_delay_s`: a cleaning reads the whole partition.
    """
    database.query(
        "CREATE TABLE IF NOT EXISTS temp.last_by_key (key BLOB PRIMARY KEY, record_id INTEGER) "
        "WITHOUT ROWID"
    )
    removed_count = 0
    at_ms = now_ms()
    for topic in read_topics(database):
        for partition in range(topic.partitions):
            partition_id = topic.partition_id(partition)
            if topic.compacted:
                tombstone_before_ms = at_ms - int(tombstone_delay_s * 1000)
                removed_count += _clean(
                    database, partition_id, tombstone_before_ms, dirty_ratio_min
                )
            if topic.retention_ms is not None and topic.retention_ms >= 0:
                removed_count += _expire(database, topic, partition_id, at_ms)
    return removed_count


def _clean(
    database: Database, partition_id: int, tombstone_before_ms: int, dirty_ratio_min: float
) -> int:
    end_offset = _end_offset(database, partition_id)
    last = _last_cleaning(database, partition_id)
    dirty_count = end_offset - last.cleaned_to_offset
    tombstone_due = (
        last.oldest_tombstone_ms is not None and last.oldest_tombstone_ms < tombstone_before_ms
    )
    if (
        dirty_count < max(1.0, dirty_ratio_min * (last.kept_count + dirty_count))
        and not tombstone_due
    ):
        return 0
    first_id = partition_id << OFFSET_BITS
    newest_id = first_id + end_offset - 1
    for low, high in _slices(database, first_id + last.cleaned_to_offset, first_id + end_offset):
        database.query(_NOTE_KEYS, (low, high))
    removed_count = kept_count = 0
    tombstones_ms: list[int] = []
    for low, high in _slices(database, first_id, newest_id):
        removable = database.query(_REMOVABLE, (low, high, tombstone_before_ms))
        _delete(database, removable)
        removed_count += len(removable)
        slice_kept_count, oldest_ms = database.query(_KEPT, (low, high))[0]
        kept_count += slice_kept_count
        if oldest_ms is not None:
            tombstones_ms.append(oldest_ms)
    database.query("DELETE FROM temp.last_by_key")
    with database.write():
        database.execute(
            _NOTE_CLEANING,
            (partition_id, end_offset - 1, kept_count, min(tombstones_ms, default=None)),
        )
    return removed_count


def _expire(database: Database, topic: Topic, partition_id: int, at_ms: int) -> int:
    """Remove the oldest records, up to the first within the retention; timestamps grow along a partition."""
    assert topic.retention_ms is not None
    before_ms = at_ms - topic.retention_ms
    first_id = partition_id << OFFSET_BITS
    newest_id = first_id + _end_offset(database, partition_id) - 1
    removed_count = 0
    while True:
        rows = database.query(
            "SELECT record_id, timestamp_ms FROM records WHERE record_id >= ? AND record_id < ? "
            "ORDER BY record_id LIMIT ?",
            (first_id, newest_id, _DELETE_RECORDS),
        )
        expired = [(record_id,) for record_id, timestamp_ms in rows if timestamp_ms < before_ms]
        _delete(database, expired)
        removed_count += len(expired)
        if len(expired) < _DELETE_RECORDS:
            return removed_count


def _slices(database: Database, low: int, past: int) -> list[tuple[int, int]]:
    """Row number ranges that hold a bounded number of records each, whatever the gaps."""
    bounds = [low]
    while rows := database.query(_NEXT_BOUNDARY, (bounds[-1], past, _LOOK_RECORDS)):
        bounds.append(rows[0][0])
    return list(zip(bounds, [*bounds[1:], past], strict=True))


def _delete(database: Database, record_ids: list[tuple[int]] | list[tuple[object, ...]]) -> None:
    for start in range(0, len(record_ids), _DELETE_RECORDS):
        with database.write():
            database.executemany(
                "DELETE FROM records WHERE record_id = ?",
                record_ids[start : start + _DELETE_RECORDS],
            )
        time.sleep(_PAUSE_S)


def _end_offset(database: Database, partition_id: int) -> int:
    rows = database.query("SELECT end_offset FROM ends WHERE partition_id = ?", (partition_id,))
    return rows[0][0] if rows else 0


def _last_cleaning(database: Database, partition_id: int) -> _Cleaning:
    rows = database.query(
        "SELECT cleaned_to_offset, kept_count, oldest_tombstone_ms FROM cleanings WHERE "
        "partition_id = ?",
        (partition_id,),
    )
    return _Cleaning(*rows[0]) if rows else _Cleaning()
