"""The two sorts of stores: a folder of this machine, and whatever fsspec knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from weft.errors import UsageError

_TEMPORARY = ".part"
"""The ending of what is not wholly written; no key has it."""


class StoredObject(NamedTuple):
    """One payload in a store. `written_s`: seconds since the epoch, 0 where the store does not say."""

    key: str
    bytes: int
    written_s: float


class Files(Protocol):
    """What a payload store needs. Paths are keys with slashes; every call may block and raises what the store raises.

    `read` raises FileNotFoundError for what is not there. After `write` the data is durable, and nobody ever sees a
    part of it.
    """

    name: str

    def write(self, key: str, data: bytes) -> None: ...

    def read(self, key: str) -> bytes: ...

    def delete(self, key: str) -> None: ...

    def walk(self, prefix: str) -> Iterator[StoredObject]: ...


class Folder:
    """A folder: of this machine, or of a file server that all machines have mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def write(self, key: str, data: bytes) -> None:
        target = self._path / key
        self._make_folder(target.parent)
        # Two writers of one key write the same bytes, each to a file of its own.
        temporary = target.with_name(f"{target.name}.{os.getpid()}-{id(data)}{_TEMPORARY}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(target.parent)

    def read(self, key: str) -> bytes:
        return (self._path / key).read_bytes()

    def delete(self, key: str) -> None:
        target = self._path / key
        target.unlink(missing_ok=True)
        for folder in (target.parent, target.parent.parent):
            try:
                folder.rmdir()
            except OSError:
                return  # something else lies in it

    def walk(self, prefix: str) -> Iterator[StoredObject]:
        for folder, _, names in os.walk(self._path / prefix):
            for name in names:
                path = Path(folder) / name
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue  # deleted meanwhile
                key = path.relative_to(self._path).as_posix()
                yield StoredObject(key, found.st_size, found.st_mtime)

    def _make_folder(self, folder: Path) -> None:
        """Make it and all above it that are missing, so that none of them is lost with the power."""
        missing = [folder]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for one in reversed(missing):
            try:
                one.mkdir()
            except FileExistsError:
                continue
            _sync(one.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Remote:
    """A store that fsspec knows. Where its writes are not whole or not at all, the hash tells."""

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415  # for those who use it

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"The payload store {without_password(url)} cannot be opened: {error}. It is a folder, or a URL that "
                "fsspec knows (s3://BUCKET/PREFIX needs the library s3fs, gs:// gcsfs, abfs:// adlfs)."
            ) from error
        self.name = without_password(url).rstrip("/")

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
            self._files.pipe_file(path, data)
        except (
            FileNotFoundError
        ):  # a store that has folders: object stores would ask for the bucket
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, data)

    def read(self, key: str) -> bytes:
        data: bytes = self._files.cat_file(self._path(key))
        return data

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    def walk(self, prefix: str) -> Iterator[StoredObject]:
        self._files.invalidate_cache()
        found: dict[str, dict[str, Any]] = self._files.find(self._path(prefix), detail=True)
        root = self._root.strip("/")
        for path, info in found.items():
            key = path.strip("/").removeprefix(root).strip("/")
            yield StoredObject(key, int(info.get("size") or 0), _written_s(info))

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"


def _written_s(info: dict[str, Any]) -> float:
    """Each file system has its own word for it."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created", "ctime"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            try:
                return datetime.fromisoformat(value).timestamp()
            except ValueError:
                continue
    return 0.0


def open_files(url: str | os.PathLike[str]) -> Files:
    """A folder's path, `file://...`, or any other URL that fsspec knows. Raises UsageError."""
    text = os.fspath(url)
    if text.startswith("file://"):
        text = urlsplit(text).path
    if "://" in text or "::" in text:
        return Remote(text)
    path = Path(text).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise UsageError(f"The payload store {path} is a file; a folder is needed, or a URL.")
    return Folder(path)


def without_password(url: str) -> str:
    """For messages."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
