"""Reading: from positions in partitions to records, and the wait for news."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from weft.errors import CorruptRecordError, TopicError
from weft.log._api import FROM_END, FROM_START, LogRecord, TopicPartition, count_of_last
from weft.log.embedded._catalogue import Catalogue
from weft.log.embedded._checksum import record_checksum
from weft.log.embedded._database import Database, Row, Shared, rows_in
from weft.log.embedded._schema import OFFSET_BITS

FETCH_BYTES_MAX = 32 * 1024 * 1024
"""A fetch stops soon after this many bytes of values: a backlog of large records must not fill the memory."""
_CHUNK_RECORDS = 256

_SELECT = (
    "SELECT record_id, key, timestamp_ms, checksum, headers, value FROM records "
    "WHERE record_id >= ? AND record_id < ? ORDER BY record_id LIMIT ?"
)
_SELECT_AT = (
    "SELECT record_id, key, timestamp_ms, checksum, headers, value FROM records "
    "WHERE record_id IN (%s) ORDER BY record_id"
)
_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


class Fetcher:
    """Positions in partitions, and the records from there on. Only active partitions are read."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._position_by_id: dict[int, int] = {}
        self._partition_by_id: dict[int, TopicPartition] = {}
        self._active: set[int] = set()
        self._active_ids: tuple[int, ...] = ()
        self._ends_sql = ""
        self._turn = 0

    def add(self, partition_id: int, partition: TopicPartition, offset: int) -> None:
        """Watch a partition from an offset on; it is not read before `activate`."""
        self._partition_by_id[partition_id] = partition
        self.seek(partition_id, offset)

    def remove(self, partition_ids: Iterable[int]) -> None:
        for partition_id in partition_ids:
            self._position_by_id.pop(partition_id, None)
            self._partition_by_id.pop(partition_id, None)
            self._active.discard(partition_id)
        self._prepare()

    def activate(self, partition_ids: Iterable[int]) -> None:
        self._active.update(partition_ids)
        self._prepare()

    def deactivate(self, partition_ids: Iterable[int]) -> None:
        self._active.difference_update(partition_ids)
        self._prepare()

    def seek(self, partition_id: int, offset: int) -> None:
        count = count_of_last(offset)
        if offset == FROM_START:
            offset = 0
        elif offset == FROM_END:
            offset = self._end(partition_id)
        elif count is not None:
            offset = max(0, self._end(partition_id) - count)
        self._position_by_id[partition_id] = offset

    def _end(self, partition_id: int) -> int:
        rows = self._database.query(
            "SELECT end_offset FROM ends WHERE partition_id = ?", (partition_id,)
        )
        return int(rows[0][0]) if rows else 0

    def _prepare(self) -> None:
        self._active_ids = tuple(sorted(self._active))
        self._ends_sql = (
            "SELECT partition_id, end_offset FROM ends "
            f"WHERE partition_id IN ({rows_in(self._active_ids)})"
        )

    def ends(self) -> dict[int, int]:
        """The end offset of every active partition. Raises `TopicError` when one of the topics is gone."""
        if not self._active_ids:
            return {}
        rows = self._database.query(self._ends_sql, self._active_ids)
        if len(rows) != len(self._active_ids):
            missing = self._active.difference(partition_id for partition_id, _ in rows)
            topics = sorted({self._partition_by_id[partition_id][0] for partition_id in missing})
            for topic in topics:
                self._catalogue.forget(topic)
            raise TopicError(
                f"Topic {', '.join(topics)} was deleted from {self._catalogue.log_name} while it "
                "was being read. Make the topics again (`weft topics create`) and start this "
                "process again."
            )
        return dict(rows)

    def fetch(self, records_max: int, ends: Mapping[int, int] | None = None) -> list[LogRecord]:
        """What is there from the positions on, at most `records_max`, shared out among partitions with news."""
        position_by_id = self._position_by_id
        found = self.ends() if ends is None else ends
        news = [(id_, end) for id_, end in found.items() if end > position_by_id[id_]]
        if not news:
            return []
        if len(news) > 1:
            # Another partition comes first every time, so that none starves when `records_max` is small.
            self._turn += 1
            turn = self._turn % len(news)
            news = news[turn:] + news[:turn]
        before = {partition_id: position_by_id[partition_id] for partition_id, _ in news}
        try:
            return self._read_shares(news, records_max)
        except BaseException:
            # What was read from the others already is thrown away with the error: it must be read again.
            position_by_id.update(before)
            raise

    def _read_shares(self, news: Sequence[tuple[int, int]], records_max: int) -> list[LogRecord]:
        """Of each partition its share first, then what else there is room for."""
        share = max(1, records_max // len(news))
        records: list[LogRecord] = []
        size_bytes = 0
        for limit in (share, records_max):
            for partition_id, end_offset in news:
                room = min(limit, records_max - len(records))
                if (
                    room > 0
                    and size_bytes < FETCH_BYTES_MAX
                    and end_offset > self._position_by_id[partition_id]
                ):
                    size_bytes += self._read(partition_id, end_offset, room, records)
        return records

    def _read(self, partition_id: int, end_offset: int, limit: int, into: list[LogRecord]) -> int:
        topic, partition = self._partition_by_id[partition_id]
        first_id = partition_id << OFFSET_BITS
        parameters = (first_id + self._position_by_id[partition_id], first_id + end_offset, limit)
        cursor = self._database.select(_SELECT, parameters)
        read_count = 0
        size_bytes = 0
        try:
            while read_count < limit and (rows := cursor.fetchmany(_CHUNK_RECORDS)):
                into += _checked(rows, topic, partition, first_id)
                read_count += len(rows)
                size_bytes += sum([len(row[5]) for row in rows if row[5] is not None])
                if size_bytes >= FETCH_BYTES_MAX:
                    limit = read_count
        except sqlite3.Error as error:
            at = f"{topic}-{partition}@{self._position_by_id[partition_id] + read_count} or after"
            raise self._database.explained(error, at) from error
        finally:
            cursor.close()
        # Fewer than asked for: the rest up to the end are gaps.
        position = into[-1].offset + 1 if read_count == limit else end_offset
        self._position_by_id[partition_id] = position
        return size_bytes


def records_at(
    database: Database, partition_id: int, place: TopicPartition, offsets: Collection[int]
) -> list[LogRecord]:
    """The records at these offsets that are still there."""
    first_id = partition_id << OFFSET_BITS
    ids = [first_id + offset for offset in sorted(offsets)]
    records: list[LogRecord] = []
    for start in range(0, len(ids), _CHUNK_RECORDS):
        chunk = ids[start : start + _CHUNK_RECORDS]
        records += _checked(database.query(_SELECT_AT % rows_in(chunk), chunk), *place, first_id)
    return records


def _checked(rows: Iterable[Row], topic: str, partition: int, first_id: int) -> list[LogRecord]:
    """Rows as records. Raises `CorruptRecordError` for one that does not fit its checksum."""
    return [
        LogRecord(
            topic,
            partition,
            record_id - first_id,
            key,
            value,
            timestamp_ms,
            _decode_headers(headers) if headers is not None else (),
        )
        for record_id, key, timestamp_ms, checksum, headers, value in rows
        if checksum == record_checksum(record_id, timestamp_ms, key, headers, value)
        or _raise_damaged(topic, partition, record_id - first_id)
    ]


def _raise_damaged(topic: str, partition: int, offset: int) -> bool:
    raise CorruptRecordError(
        topic,
        partition,
        offset,
        "it does not fit its checksum, so the file is damaged there. Nothing from there on was read. Restore the "
        "file from a copy.",
    )


class Watch:
    """The wait for news: a commit of this process wakes at once, one of another process is looked for in short steps.

    The steps are a twentieth of how long it has been quiet, so waiting costs little latency while there is work, and
    little processor time while there is none. Records that came, and records that this process wrote (an answer may
    follow), end the quiet.
    """

    STEP_S_MIN = 0.0005
    STEP_S_MAX = 0.015
    QUIET_SHARE = 0.05

    def __init__(self, database: Database, shared: Shared) -> None:
        self._database = database
        self._commits = shared.commits
        self._commits_seen = shared.commits.count
        self._version_seen = -1
        self._quiet_since_s = time.monotonic()

    def note_records(self) -> None:
        """Records were found: look often for a while."""
        self._quiet_since_s = time.monotonic()

    def wait(self, until_s: float) -> None:
        """Return when another connection has committed since the last call, or at `until_s` (monotonic clock)."""
        while True:
            now_s = time.monotonic()
            if self._commits.count != self._commits_seen:
                self._commits_seen = self._commits.count
                self._quiet_since_s = now_s
            version = self._database.query("PRAGMA data_version")[0][0]
            if version != self._version_seen:
                self._version_seen = version
                return
            if now_s >= until_s:
                return
            step_s = (now_s - self._quiet_since_s) * self.QUIET_SHARE
            step_s = min(max(step_s, self.STEP_S_MIN), self.STEP_S_MAX, until_s - now_s)
            self._commits.wait(self._commits_seen, step_s)
