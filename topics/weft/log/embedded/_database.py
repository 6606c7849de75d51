"""One SQLite connection with the log's manners: bounded waits, write transactions, errors in the log's words.

SQLite's own busy handler waits in steps of up to 100 ms, far longer than our commits take. So waiting is done here:
among the objects of one process by a lock, among processes by short sleeps.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.errors import (
    CommitUnknownError,
    LogError,
    LogFullError,
    LogUnavailableError,
    UsageError,
    WeftError,
)

_BUSY_STEP_S = 0.0003
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DISK_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_FREE_BYTES_MIN = 64 * 1024
"""With less, an I/O error means a full disk: SQLite says so for the file itself, not for what it keeps beside it."""
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


class OpenFiles:
    """The files that this process has open, by their path.

    On POSIX systems, closing any handle of a file ends all locks that the process has on it, SQLite's too. So nobody
    may look at a file past SQLite while it is in here; and who looks at one that is not holds `lock` meanwhile.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._counts: Counter[Path] = Counter()

    def __contains__(self, path: Path) -> bool:
        return self._counts[path] > 0

    def add(self, path: Path) -> None:
        with self.lock:
            self._counts[path] += 1

    def remove(self, path: Path) -> None:
        with self.lock:
            self._counts[path] -= 1


open_files = OpenFiles()


class Shared:
    """What the objects made from one open log share inside this process."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self.name = f"embedded {path.name}"
        self.busy_timeout_s = busy_timeout_s
        self.identity = _identity(path)
        self.write_lock = threading.Lock()
        self.commits = CommitSignal()


class Database:
    """A connection for one object, used by one thread at a time."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        open_files.add(shared.path)
        self._is_open = True
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
            open_files.remove(shared.path)
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
            if _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
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

    def explained(self, error: sqlite3.Error, at: str = "") -> WeftError:
        """SQLite's error in the log's words. `at` says what was being read."""
        name = self._shared.name
        if isinstance(error, sqlite3.ProgrammingError):
            return UsageError(
                f"This object of {name} was used after it was closed, or by two threads: {error}"
            )
        if _is_busy(error):
            return self._locked(self._shared.busy_timeout_s)
        return explained(error, name, self._shared.path, at)

    def damaged(self, what: str) -> LogError:
        """The error for something in the file that cannot be what was written."""
        return damaged(self._shared.name, what)

    def check_still_there(self) -> None:
        """Raises `LogError` when the file was deleted or replaced: what is written to it now nobody would find."""
        path = self._shared.path
        if _identity(path) != self._shared.identity:
            raise LogError(
                f"{self._shared.name} was deleted or replaced while it was in use: {path} is no longer the file that "
                "was opened. What is written now would be lost. Start again, on the file that is to be used."
            )

    def close(self) -> None:
        """End the connection; doing it twice is harmless."""
        self._connection.close()
        if self._is_open:
            self._is_open = False
            open_files.remove(self._shared.path)


def explained(error: sqlite3.Error, name: str, path: Path, at: str = "") -> LogError:
    """SQLite's error about the file at `path`, in the log's words: what happened, and what to do."""
    code = _code(error)
    if code in _DISK_CODES:
        return _disk_problem(error, name, path)
    if code == sqlite3.SQLITE_READONLY:
        return read_only(name, path)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(name, f"at {at}: {error}" if at else str(error))
    return LogError(f"{name} refused a statement: {error}")


def _disk_problem(error: sqlite3.Error, name: str, path: Path) -> LogError:
    if _code(error) == sqlite3.SQLITE_FULL or _free_bytes(path) < _FREE_BYTES_MIN:
        return LogFullError(
            f"The disk under {name} is full; nothing was written. Free some space there ({path.parent}): a worker "
            "that runs then goes on by itself."
        )
    if path.exists() and not is_writable(path):
        return read_only(name, path)
    return LogUnavailableError(
        f"{name} cannot be read or written: {error}. Is the file still at {path}, and its disk well?"
    )


def read_only(name: str, path: Path) -> LogError:
    """The error for a file or folder that must not be written."""
    return LogError(
        f"{name} is read-only for this user; nothing was written. Give write permission to {path} and to its folder "
        "(the write-ahead log lies beside the file), or mount the disk for writing, and start again."
    )


def damaged(name: str, what: str) -> LogError:
    """The error for a file that cannot be what was written."""
    return LogError(
        f"{name} is damaged: {what}. Nothing was changed. Restore the file from a copy; `sqlite3 FILE .recover` may "
        "save records."
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_writable(path: Path) -> bool:
    """Whether this process may write the file, or make it, and the files that SQLite keeps beside it."""
    effective = os.access in os.supports_effective_ids
    wanted = [path.parent, path] if path.exists() else [path.parent]
    return all(os.access(one, os.W_OK, effective_ids=effective) for one in wanted)


def _free_bytes(path: Path) -> int:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return _FREE_BYTES_MIN
    return disk.f_bavail * disk.f_frsize


def rows_in(parameters: Iterable[object]) -> str:
    """`?, ?, ?` for an IN list."""
    return ", ".join("?" for _ in parameters)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in _BUSY_CODES
