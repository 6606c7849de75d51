"""Whether the file, its write-ahead log and the index of that log belong together.

SQLite takes the write-ahead log as far as its checksums hold, and everything behind for the rest of a write that never
ended. That is right after a power cut. But when a part was cut off or overwritten, commits vanish in silence. What
tells the difference is the index (`-shm`) that a killed process leaves behind: it says how far the log was good.

The layouts are SQLite's, published and unchanged since 2010: https://sqlite.org/walformat.html
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from weft.log.embedded._database import damaged

_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_SALTS_AT = slice(16, 24)
_FRAME_SALTS_AT = slice(8, 16)
_INDEX_HEADER_BYTES = 48
_INDEX_BYTES = 100
"""Two copies of the header, and how many frames have been copied into the file."""
_INDEX_VERSION = 3_007_000
_ATTACHED_BYTE = 128
"""Of the index: every process that has the file open holds a lock on it."""
_LOOKING_BYTE = 130
"""Of the index, and none of SQLite's: who looks whether commits are lost holds a lock on it."""


def check_length(connection: sqlite3.Connection, path: Path) -> None:
    """Every page is in the file or in its write-ahead log. Raises `LogError`. The caller has begun a transaction.

    The write-ahead log is read before the file's length is asked for: pages only ever move from the one to the other.
    """
    page_count, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    if path.stat().st_size >= page_count * page_bytes:
        return
    in_write_ahead = _logged_pages(path, page_bytes)
    first_missing = path.stat().st_size // page_bytes + 1
    missing = set(range(first_missing, page_count + 1)) - in_write_ahead
    if missing:
        raise damaged(
            str(path), f"its end was cut off ({len(missing)} of {page_count} pages are missing)"
        )


def _logged_pages(path: Path, page_bytes: int) -> set[int]:
    """The numbers of the pages that are in the write-ahead log. Its frames' checksums are SQLite's business."""
    try:
        file = _beside(path, "-wal").open("rb", buffering=0)
    except FileNotFoundError:
        return set()
    with file:
        fd = file.fileno()
        salts = os.pread(fd, _LOG_HEADER_BYTES, 0)[_SALTS_AT]
        step = _FRAME_HEADER_BYTES + page_bytes
        starts = range(_LOG_HEADER_BYTES, os.fstat(fd).st_size - step + 1, step)
        headers = (os.pread(fd, _FRAME_HEADER_BYTES, start) for start in starts)
        return {
            int.from_bytes(header[:4], "big")
            for header in headers
            if header[_FRAME_SALTS_AT] == salts
        }


@dataclass(frozen=True, slots=True)
class _Index:
    """How far a write-ahead log is good, and how much of that is in the file already; both in frames."""

    salts: bytes
    frame_count: int
    copied_count: int


class LookingError(Exception):
    """Another process is looking at the file right now. Try again."""


class LostCommits:
    """Made before SQLite opens the file, which writes the index anew; `check` is called when it has.

    It sees nothing while another process has the file open (that one would have noticed), and nothing in an index from
    before this machine started: after a power cut an index says nothing. Only for a file that this process has not
    open: closing the index would end the locks that SQLite holds on it.
    """

    def __init__(self, path: Path) -> None:
        """Raises `LookingError`."""
        self._path = path
        self._content = b""
        self._lost = False
        try:
            self._fd = os.open(_beside(path, "-shm"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
            return
        if not self._lock(_LOOKING_BYTE):
            os.close(self._fd)
            raise LookingError
        # Whoever opens the file now is told that it is locked, and tries again.
        if self._lock(_ATTACHED_BYTE) and os.fstat(self._fd).st_mtime >= _boot_time():
            self._content = os.pread(self._fd, _INDEX_BYTES, 0)

    def _lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def check(self) -> None:
        """Raises `LogError` when the write-ahead log has ended before where it ended for the last process."""
        before = _index(self._content)
        if before is None or before.copied_count >= before.frame_count:
            return
        now = _index(os.pread(self._fd, _INDEX_BYTES, 0))
        frame_count = now.frame_count if now is not None and now.salts == before.salts else 0
        if frame_count < before.frame_count:
            self._lost = True
            raise damaged(
                str(self._path),
                f"its write-ahead log {self._path.name}-wal was cut off, overwritten or removed, and commits are lost "
                f"with it ({frame_count} of {before.frame_count} pages are there). To go on without them all the same, "
                f"delete {self._path.name}-shm",
            )

    def close(self) -> None:
        """Call when SQLite has closed the file. What was lost is told again at the next start."""
        if self._fd >= 0:
            if self._lost and self._lock(_ATTACHED_BYTE):
                os.pwrite(self._fd, self._content, 0)
            os.close(self._fd)
            self._fd = -1


def _index(content: bytes) -> _Index | None:
    """None for what is no whole index. A process that dies while it writes leaves one of the two copies good."""
    if len(content) < _INDEX_BYTES:
        return None
    found: _Index | None = None
    (copied_count,) = struct.unpack_from("=I", content, 2 * _INDEX_HEADER_BYTES)
    for start in (0, _INDEX_HEADER_BYTES):
        words = struct.unpack_from("=12I", content, start)
        frame_count = words[4]
        if words[0] == _INDEX_VERSION and _checksum(words[:10]) == words[10:]:
            salts = content[start + 32 : start + 40]
            if found is None or frame_count > found.frame_count:
                found = _Index(salts, frame_count, copied_count)
    return found


def _checksum(words: tuple[int, ...]) -> tuple[int, int]:
    """SQLite's, of pairs of 32-bit words."""
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _boot_time() -> float:
    """When this machine started, in seconds since the epoch; now where that is not known."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
