"""A disk of a few megabytes, for tests of what happens when it is full."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_SHARED_MEMORY_BYTES_MAX = 256 * 1024 * 1024
_BLOCK_BYTES = 4096
_NOBODY = 65534
_TIMES_FREED_MAX = 4
"""A process that writes while its test is kept waiting fills the disk by itself: room can be made so often then."""


class SmallDisk:
    """A folder on a small file system. A file of no use is what fills it."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._size_bytes = size_bytes
        self._ballast = folder / "ballast"
        self.free()

    def fill(self) -> None:
        """Leave not a byte."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(_BLOCK_BYTES))

    def free(self) -> None:
        """Leave as much room as the disk is meant to have, whatever else is on it."""
        disk = os.statvfs(self.folder)
        surplus = disk.f_bavail * disk.f_frsize + self._ballast_bytes() - self._size_bytes
        with self._ballast.open("ab") as file:
            file.truncate(max(0, surplus))
            os.posix_fallocate(file.fileno(), 0, max(1, surplus))

    def _ballast_bytes(self) -> int:
        return self._ballast.stat().st_size if self._ballast.exists() else 0


@contextlib.contextmanager
def small_disk(size_mb: int = 4) -> Iterator[SmallDisk]:
    """A mounted file system where that is allowed (to root), else the little shared memory that a container has."""
    size_bytes = size_mb * 1024 * 1024
    folder = Path(tempfile.mkdtemp(prefix="weft-disk-"))
    try:
        mounted_bytes = _TIMES_FREED_MAX * size_bytes
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mounted_bytes}", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            try:
                yield SmallDisk(folder, size_bytes)
            finally:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)
            return
        shared = os.statvfs(_SHARED_MEMORY)
        assert shared.f_blocks * shared.f_frsize <= _SHARED_MEMORY_BYTES_MAX, (
            "A test needs a disk that it can fill: run it as root, or in a container (whose /dev/shm is small)."
        )
        in_memory = Path(tempfile.mkdtemp(prefix="weft-disk-", dir=_SHARED_MEMORY))
        try:
            yield SmallDisk(in_memory, size_bytes)
        finally:
            shutil.rmtree(in_memory)
    finally:
        folder.rmdir()


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write what nobody may: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """One that everybody may read."""
    folder = Path(tempfile.mkdtemp(prefix="weft-public-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
