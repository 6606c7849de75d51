"""Putting records at the ends of partitions, inside a write transaction that the caller opened."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from weft.log.embedded._checksum import record_checksum, row_checksum
from weft.log.embedded._database import Database, Row
from weft.log.embedded._schema import OFFSET_BITS

PendingRecord = tuple[bytes | None, bytes | None, bytes | None]
"""(key, encoded headers, value)"""

_TAKE_OFFSETS = (
    "UPDATE ends SET end_offset = end_offset + ? WHERE partition_id = ? RETURNING end_offset"
)
_INSERT = (
    "INSERT INTO records (record_id, key, timestamp_ms, checksum, headers, value) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_STORE_OFFSET = (
    "INSERT INTO offsets (group_id, partition_id, next_offset, checksum) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, checksum = excluded.checksum"
)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def append_records(
    database: Database, records_by_partition: Mapping[int, Sequence[PendingRecord]]
) -> dict[int, int]:
    """Append, and return each partition's first new offset. A partition that no longer exists is absent.

    The timestamp is taken here, under the write lock, so that it does not go back along a partition.
    """
    timestamp_ms = now_ms()
    first_offset_by_partition: dict[int, int] = {}
    rows: list[Row] = []
    for partition_id, records in records_by_partition.items():
        taken = database.execute(_TAKE_OFFSETS, (len(records), partition_id)).fetchall()
        if not taken:
            continue
        first_offset = taken[0][0] - len(records)
        first_offset_by_partition[partition_id] = first_offset
        first_record_id = (partition_id << OFFSET_BITS) + first_offset
        rows += [
            (
                record_id,
                key,
                timestamp_ms,
                record_checksum(record_id, timestamp_ms, key, headers, value),
                headers,
                value,
            )
            for record_id, (key, headers, value) in enumerate(records, first_record_id)
        ]
    database.executemany(_INSERT, rows)
    return first_offset_by_partition


def store_offsets(
    database: Database, group_id: int, next_offsets: Iterable[tuple[int, int]]
) -> None:
    """Store (partition ID, next offset) pairs for the group."""
    rows = [(group_id, *pair) for pair in next_offsets]
    database.executemany(_STORE_OFFSET, [(*row, row_checksum(*row)) for row in rows])


def stored_offsets(database: Database, group_id: int) -> dict[int, int]:
    """The group's next offsets by partition ID. Raises `LogError` for one that is damaged."""
    rows = database.query(
        "SELECT partition_id, next_offset, checksum FROM offsets WHERE group_id = ?", (group_id,)
    )
    for partition_id, next_offset, checksum in rows:
        if row_checksum(group_id, partition_id, next_offset) != checksum:
            raise database.damaged(
                f"the offset that group {group_id} committed for partition ID {partition_id} does "
                "not fit its checksum"
            )
    return {partition_id: next_offset for partition_id, next_offset, _ in rows}
