"""What is in the file, and how a file is made.

A record's row number is `partition_id * 2**40 + offset`: one tree holds all records, clustered by partition and
then by offset, and a range of offsets is a range of row numbers. `ends` says where every partition ends; it is
small and hot, so that one look tells a reader which partitions have news. Partition IDs are never used again, nor
are offsets.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from weft.errors import LogError

SCHEMA_VERSION = 2
"""2: records, offsets and topics carry checksums."""
APPLICATION_ID = 0x57656674
"""`Weft` in ASCII, in the file's header: tells our files from others'."""
OFFSET_BITS = 40

_TABLES = """
CREATE TABLE weft (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE topics (
    topic_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    retention_ms INTEGER,
    replication INTEGER NOT NULL,
    record_bytes_max INTEGER NOT NULL,
    first_partition_id INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE TABLE ends (
    partition_id INTEGER PRIMARY KEY AUTOINCREMENT,
    end_offset INTEGER NOT NULL
);

CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    key BLOB,
    timestamp_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    headers BLOB,
    value BLOB
);

CREATE TABLE cleanings (
    partition_id INTEGER PRIMARY KEY,
    cleaned_to_offset INTEGER NOT NULL,
    kept_count INTEGER NOT NULL,
    oldest_tombstone_ms INTEGER
);

CREATE TABLE producers (
    transactional_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE groups (
    group_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL
);

CREATE TABLE offsets (
    group_id INTEGER NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (group_id, partition_id)
) WITHOUT ROWID;

CREATE TABLE members (
    member_id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    lead_topic_id INTEGER NOT NULL,
    instance_id TEXT,
    incarnation INTEGER NOT NULL,
    host TEXT NOT NULL,
    process_id INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    UNIQUE (group_id, instance_id)
);

CREATE TABLE owners (
    group_id INTEGER NOT NULL,
    topic_id INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    owner INTEGER,
    target INTEGER,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (group_id, topic_id, partition)
) WITHOUT ROWID;
"""

TABLES = tuple(re.findall(r"CREATE TABLE (\w+)", _TABLES))


def create_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Make an empty file a log. Who comes second, of several processes that try at once, finds it done."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LogError(
            f"SQLite cannot keep a write-ahead log beside {path} (it answered '{mode}'). The file "
            "must lie on a local disk."
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT INTO weft VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")
