"""What is in the file, and how a file is made and recognised.

A record's row number is `partition_id * 2**40 + offset`: one tree holds all records, clustered by partition and
then by offset, and a range of offsets is a range of row numbers. `ends` says where every partition ends; it is
small and hot, so that one look tells a reader which partitions have news. Partition IDs are never used again, nor
are offsets.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from weft.errors import LogError, LogUnavailableError, UsageError, WeftError

SCHEMA_VERSION = 1
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
    first_partition_id INTEGER NOT NULL
);

CREATE TABLE ends (
    partition_id INTEGER PRIMARY KEY AUTOINCREMENT,
    end_offset INTEGER NOT NULL
);

CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    key BLOB,
    timestamp_ms INTEGER NOT NULL,
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


def prepare_file(path: Path, busy_timeout_s: float) -> None:
    """Make the file if there is none; make sure that it is ours and of this version.

    Raises `UsageError` for a file that is not ours or cannot be opened, `LogUnavailableError` when it stays locked.
    A file that is not ours is left untouched.
    """
    deadline_s = time.monotonic() + busy_timeout_s
    while True:
        try:
            with contextlib.closing(_open(path)) as connection:
                _prepare(connection, path)
            return
        except sqlite3.OperationalError as error:
            # Processes that open a new file at the same moment meet locks that SQLite does not wait for.
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise _explained(path, error) from error
            if time.monotonic() >= deadline_s:
                raise LogUnavailableError(
                    f"{path} stayed locked for {busy_timeout_s:g} s while it was opened. Another "
                    "process holds a write transaction on it (an open sqlite3 shell?); end that "
                    "process or try again."
                ) from error
            time.sleep(0.005)
        except sqlite3.DatabaseError as error:
            raise _explained(path, error) from error


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rwc", uri=True, isolation_level=None, timeout=0.2)


def _explained(path: Path, error: sqlite3.DatabaseError) -> WeftError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return _not_ours(path, "it is not an SQLite file")
    if code == sqlite3.SQLITE_CANTOPEN:
        return UsageError(
            f"The embedded log {path} cannot be opened or made. Its folder must exist and be "
            "writable, and it must be a file."
        )
    if code == sqlite3.SQLITE_READONLY:
        return UsageError(
            f"The embedded log {path} is read-only for this user; give write permission to it and "
            "its folder."
        )
    return LogError(f"The embedded log {path} cannot be opened: {error}")


def _not_ours(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a log of Weft: {why}. It was left as it is; name another file."
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Both at one moment: another process may be making the file right now.
    connection.execute("BEGIN")
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    table_count = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.execute("COMMIT")
    if application_id != APPLICATION_ID and (application_id or table_count):
        raise _not_ours(path, "it is an SQLite file of another program")
    if not table_count:
        _create(connection, path)
    row = connection.execute("SELECT value FROM weft WHERE name = 'schema_version'").fetchone()
    if row is None or row[0] != str(SCHEMA_VERSION):
        raise UsageError(
            f"The embedded log {path} has schema version {row and row[0]}, and this version of "
            f"Weft reads version {SCHEMA_VERSION} only. Use the version of Weft that wrote it, or "
            "name another file."
        )


def _create(connection: sqlite3.Connection, path: Path) -> None:
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
