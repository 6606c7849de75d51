"""Opening a file: made if there is none, recognised, and looked through before anything of it is believed.

A start must be quick, so what is looked at goes by size. Always: the kind of file and its version, whether a part was
cut off the end, whether commits have vanished from the write-ahead log, the small tables, and that every partition
ends where it says. All pages of a file of up to `WHOLE_BYTES_MAX`; of a larger one they are looked through by the
worker later, in the background. What stands inside of records is held against their checksums whenever they are read.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from weft.errors import LogError, LogUnavailableError, UsageError
from weft.log.embedded._database import (
    Row,
    damaged,
    explained,
    is_writable,
    open_files,
    read_only,
)
from weft.log.embedded._schema import (
    APPLICATION_ID,
    OFFSET_BITS,
    SCHEMA_VERSION,
    TABLES,
    create_tables,
)
from weft.log.embedded._write_ahead import LookingError, LostCommits, check_length

WHOLE_BYTES_MAX = 64 * 1024 * 1024
"""Looking through all pages takes about 0.7 s a GB: 0.05 s for a file of this size."""
_SMALL_TABLES = [table for table in TABLES if table != "records"]
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_RETRY_S = 0.005
_PAGE_BYTES_AT, _PAGE_COUNT_AT, _ID_AT = slice(16, 18), slice(28, 32), slice(68, 72)
"""Where SQLite's header has a page's size, the number of pages, and the application ID."""

_WRONG_ENDS = f"""
SELECT partition_id, end_offset FROM ends WHERE end_offset < 0 OR end_offset >= 1 << {OFFSET_BITS}
OR (end_offset > 0 AND NOT EXISTS (
    SELECT 1 FROM records WHERE record_id = (partition_id << {OFFSET_BITS}) + end_offset - 1))
OR EXISTS (
    SELECT 1 FROM records WHERE record_id >= (partition_id << {OFFSET_BITS}) + end_offset
    AND record_id < (partition_id + 1) << {OFFSET_BITS})
LIMIT 1
"""
"""The newest record of a partition always stays, and none comes after it."""


def prepare_file(path: Path, busy_timeout_s: float) -> bool:
    """Make the file if there is none; make sure that it is ours, whole, and of this version.

    Returns whether all of its pages were looked through. Raises `UsageError` for a file that is not ours, of another
    version, or cannot be opened; `LogError` for one that is damaged or read-only; `LogUnavailableError` when it stays
    locked or the disk is full. A file that is refused is left untouched.
    """
    deadline_s = time.monotonic() + busy_timeout_s
    _check_place(path)
    while True:
        try:
            return _prepare(path)
        except UnicodeDecodeError as error:
            # SQLite quotes what it cannot understand, and that is not even text.
            raise damaged(str(path), "its tables are not described in text") from error
        except (sqlite3.DatabaseError, LookingError) as error:
            # Processes that open a new file at the same moment meet locks that SQLite does not wait for.
            if isinstance(error, sqlite3.Error) and _code(error) not in _BUSY_CODES:
                raise _explained(path, error) from error
            if time.monotonic() >= deadline_s:
                raise LogUnavailableError(
                    f"{path} stayed locked for {busy_timeout_s:g} s while it was opened. Another "
                    "process holds a write transaction on it (an open sqlite3 shell?); end that "
                    "process or try again."
                ) from error
            time.sleep(_RETRY_S)


def _check_place(path: Path) -> None:
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(
            f"The embedded log {path} cannot be opened or made. Its folder must exist and be "
            "writable, and it must be a file."
        )
    if not is_writable(path):
        raise read_only(str(path), path)


def _prepare(path: Path) -> bool:
    with open_files.lock:
        if path.exists() and path.stat().st_size:
            whole = _inspect(path)
            if whole is not None:
                return whole
        elif _has_content(_beside(path, "-wal")):
            raise damaged(
                str(path),
                f"it is empty or missing, and its write-ahead log is not (to begin anew, delete {path.name}-wal too)",
            )
        with contextlib.closing(_open(path, "rwc")) as connection:
            create_tables(connection, path)
    return True


def _inspect(path: Path) -> bool | None:
    """Look at a file that is there: whether all of it was looked at, or None for a database without any table.

    The connection is read-only: SQLite would clear the write-ahead log away when the last one that may write is closed,
    and with it what there is to save.
    """
    # Nothing that this process has open may be opened past SQLite: closing that would end the locks of all of them.
    lost_commits = None if path in open_files else LostCommits(path)
    try:
        # A process that died while it made the file may have left a journal, which only who may write can clear.
        mode = "rw" if _beside(path, "-journal").exists() else "ro"
        with contextlib.closing(_open(path, mode)) as connection:
            connection.execute("BEGIN")
            if _is_blank(connection, path):
                return None
            if lost_commits is not None:
                lost_commits.check()
            whole = path.stat().st_size <= WHOLE_BYTES_MAX
            check_pages(connection.execute, path, None if whole else _SMALL_TABLES)
            _check_ends(connection, path)
            return whole
    finally:
        if lost_commits is not None:
            lost_commits.close()


def _is_blank(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a log can still be made of it. Raises `UsageError` for a file of somebody else, or of another version."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id == APPLICATION_ID:
        check_length(connection, path)
    present = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    if application_id != APPLICATION_ID:
        if application_id or present:
            raise _not_ours(path, "it is an SQLite file of another program")
        return True
    if "weft" not in present:
        raise damaged(str(path), "the table that says its version is missing")
    row = connection.execute("SELECT value FROM weft WHERE name = 'schema_version'").fetchone()
    if row is None or row[0] != str(SCHEMA_VERSION):
        raise UsageError(
            f"The embedded log {path} has schema version {row and row[0]}, and this version of "
            f"Weft reads version {SCHEMA_VERSION} only. Use the version of Weft that wrote it, or "
            "name another file."
        )
    missing = sorted(set(TABLES) - present)
    if missing:
        raise damaged(str(path), f"tables are missing: {', '.join(missing)}")
    return False


def check_pages(
    execute: Callable[[str], Iterable[Row]], path: Path, tables: Iterable[str] | None = None
) -> None:
    """Have SQLite look through the pages of these tables, or through all pages. Raises `LogError` for damage.

    All may take seconds; others go on meanwhile.
    """
    for argument in [""] if tables is None else [f"('{table}')" for table in tables]:
        problems = [row[0] for row in execute(f"PRAGMA quick_check{argument}")]
        if problems != ["ok"]:
            raise damaged(str(path), str(problems[0]).replace("\n", " "))


def _check_ends(connection: sqlite3.Connection, path: Path) -> None:
    wrong = connection.execute(_WRONG_ENDS).fetchone()
    if wrong is not None:
        raise damaged(
            str(path),
            f"the partition with ID {wrong[0]} does not end at offset {wrong[1]}, as it says",
        )


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=0.2
    )


def _explained(path: Path, error: sqlite3.DatabaseError) -> LogError | UsageError:
    header = _header(path)
    if _code(error) == sqlite3.SQLITE_CORRUPT and path.stat().st_size < _bytes_by(header):
        return damaged(str(path), "its end was cut off")
    if _code(error) != sqlite3.SQLITE_NOTADB:
        return explained(error, str(path), path)
    if header[_ID_AT] == APPLICATION_ID.to_bytes(4, "big") or _has_content(_beside(path, "-wal")):
        return damaged(str(path), "its first page is no longer that of a log")
    return _not_ours(path, "it is not an SQLite file")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _header(path: Path) -> bytes:
    with open_files.lock:
        if path in open_files:
            return b""
        with path.open("rb") as file:
            return file.read(100)


def _bytes_by(header: bytes) -> int:
    """How large the file is by its header."""
    page_bytes = int.from_bytes(header[_PAGE_BYTES_AT], "big")
    return page_bytes * int.from_bytes(header[_PAGE_COUNT_AT], "big")


def _not_ours(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a log of Weft: {why}. It was left as it is; name another file."
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
