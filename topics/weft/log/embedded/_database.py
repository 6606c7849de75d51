"""One SQLite connection with the log's manners: bounded waits, write transactions, errors in the log's words.

SQLite's own busy handler waits in steps of up to 100 ms, far longer than our commits take. So waiting is done here:
among the objects of one process by a lock, among processes by short sleeps.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.errors import (
    CommitUnknownError,
    LogError,
    LogUnavailableError,
    UsageError,
    WeftError,
)

_BUSY_STEP_S = 0.0003
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_CHECKPOINT_PAGES = 4000
"""About 16 MB of write-ahead log before a commit copies it into the file: fewer, longer pauses than SQLite's
default."""
_JOURNAL_BYTES_MAX = 64 * 1024 * 1024

Row = tuple[Any, ...]


class CommitSignal:
    """Wakes the waiting readers of this process after it wrote records, sooner than they would look."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def notify(self) -> None:
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, count_seen: int, timeout_s: float) -> None:
        """Return as soon as `count` is not `count_seen`, or when the time is up."""
        with self._condition:
            if self.count == count_seen:
                self._condition.wait(timeout_s)


class Shared:
    """What the objects made from one open log share inside this process."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self.name = f"embedded {path.name}"
        self.busy_timeout_s = busy_timeout_s
        self.write_lock = threading.Lock()
        self.commits = CommitSignal()


class Database:
    """A connection for one object, used by one thread at a time."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        try:
            # mode=rw: a file that was deleted behind our back must not come back empty.
            self._connection = sqlite3.connect(
                f"{shared.path.as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=0,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self.explained(error) from error
        self.execute = self._connection.execute
        self.executemany = self._connection.executemany
        self.query("PRAGMA synchronous = FULL")
        self.query(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        self.query(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES_MAX}")
        self.query("PRAGMA cache_size = -16000")

    def select(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run a reading statement; waits where SQLite recovers or closes the file for somebody else."""
        try:
            return self.execute(sql, parameters)
        except sqlite3.Error as error:
            if not _is_busy(error):
                raise self.explained(error) from error
        deadline_s = time.monotonic() + self._shared.busy_timeout_s
        while True:
            time.sleep(_BUSY_STEP_S)
            try:
                return self.execute(sql, parameters)
            except sqlite3.Error as error:
                if not _is_busy(error) or time.monotonic() >= deadline_s:
                    raise self.explained(error) from error

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a reading statement."""
        cursor = self.select(sql, parameters)
        try:
            return cursor.fetchall()
        except sqlite3.Error as error:
            raise self.explained(error) from error

    @contextmanager
    def write(self, timeout_s: float | None = None) -> Iterator[None]:
        """One write transaction: committed at the end of the block, rolled back when it raises.

        Raises `LogUnavailableError` when the file stays locked for `timeout_s` (default: the log's), and nothing
        was written then; `CommitUnknownError` when the disk failed in the very act.
        """
        limit_s = self._shared.busy_timeout_s if timeout_s is None else timeout_s
        self._begin(limit_s)
        try:
            try:
                yield
            except sqlite3.Error as error:
                self._roll_back()
                raise self.explained(error) from error
            except BaseException:
                self._roll_back()
                raise
            self._commit()
        finally:
            self._shared.write_lock.release()

    def _begin(self, limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        if not self._shared.write_lock.acquire(timeout=max(0.0, limit_s)):
            raise self._locked(limit_s)
        try:
            while True:
                try:
                    self.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.Error as error:
                    if not _is_busy(error):
                        raise self.explained(error) from error
                    if time.monotonic() >= deadline_s:
                        raise self._locked(limit_s) from error
                time.sleep(_BUSY_STEP_S)
        except BaseException:
            self._shared.write_lock.release()
            raise

    def _commit(self) -> None:
        try:
            self.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if _code(error) == sqlite3.SQLITE_FULL:
                raise self.explained(error) from error
            raise CommitUnknownError(
                f"The disk failed while {self._shared.name} committed ({error}). Whether the "
                "commit holds shows when the file is read again: drop this producer and rebuild "
                "from the log."
            ) from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def _locked(self, limit_s: float) -> LogUnavailableError:
        return LogUnavailableError(
            f"{self._shared.name} stayed locked for {limit_s:g} s: another process holds a write "
            "transaction on it (an open sqlite3 shell, or a stopped process?). Nothing was "
            "written; end that process or try again."
        )

    def explained(self, error: sqlite3.Error) -> WeftError:
        """SQLite's error in the log's words."""
        name = self._shared.name
        if isinstance(error, sqlite3.ProgrammingError):
            return UsageError(
                f"This object of {name} was used after it was closed, or by two threads: {error}"
            )
        code = _code(error)
        if code in _BUSY_CODES:
            return self._locked(self._shared.busy_timeout_s)
        if code == sqlite3.SQLITE_FULL:
            return LogUnavailableError(
                f"The disk under {name} is full; nothing was written. Free some space and go on."
            )
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return LogUnavailableError(
                f"{name} cannot be read or written: {error}. Is the file still at "
                f"{self._shared.path}?"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return LogError(
                f"{name} is damaged ({error}). Restore it from a copy; `sqlite3 FILE .recover` "
                "may save records."
            )
        return LogError(f"{name} refused a statement: {error}")

    def close(self) -> None:
        """End the connection; doing it twice is harmless."""
        self._connection.close()


def rows_in(parameters: Iterable[object]) -> str:
    """`?, ?, ?` for an IN list."""
    return ", ".join("?" for _ in parameters)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in _BUSY_CODES
