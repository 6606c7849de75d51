"""A payload store: objects by key, checked by their hash, each call bounded in time.

Every call runs in a thread of its own and is given up after a limit, because file servers and object stores can hang.
A store that hung is not asked again for a while: one that is down must not cost every workflow the whole wait.
"""

from __future__ import annotations

import hashlib
import os
import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from weft.errors import PayloadError
from weft.host import HOST, Host, JobQueue
from weft.payloads._files import Files, StoredObject, open_files
from weft.payloads._keys import is_key
from weft.records import StoredPayload

T = TypeVar("T")

TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 600.0
_PAUSES_S = (0.05, 0.2)
"""Waits before a call that failed is made again; also for what is missing: file servers show it a moment late."""
_BYTES_PER_S_MIN = 5_000_000
"""What is large gets longer."""
_DOWN_S = 10.0
"""How long a store that did not answer in time is left alone."""


class PayloadStore:
    """The store in a folder (`/mnt/weft`) or at any URL that fsspec knows (`s3://bucket/prefix`).

    May be used from any thread. Raises UsageError for what cannot be a store; nothing is asked of it yet.
    """

    def __init__(
        self, url: str | os.PathLike[str], *, timeout_s: float = TIMEOUT_S, host: Host = HOST
    ) -> None:
        self._files: Files = open_files(url)
        self._timeout_s = timeout_s
        self._host = host
        self._down_until_s = 0.0
        self.name = self._files.name
        """For messages: the folder, or the URL without its password."""

    def url_of(self, key: str) -> str:
        """Where a payload lies, as texts for people name it."""
        return f"{self.name}/{key}"

    def write(self, key: str, data: bytes) -> StoredPayload:
        """Store the data durably. Writing the same again does no harm. Raises PayloadError."""
        assert is_key(key), f"{key!r} is no key"
        timeout_s = self._timeout_s + len(data) / _BYTES_PER_S_MIN
        self._bounded("stored at", key, lambda: self._files.write(key, data), timeout_s)
        return StoredPayload(key, hashlib.sha256(data).hexdigest(), len(data))

    def read(self, stored: StoredPayload) -> bytes:
        """The data, whole and unchanged. Raises PayloadError when it is missing or is not what was stored."""
        key = stored.key
        if not is_key(key):
            raise PayloadError(f"A reference names {key!r}, which is no place in a payload store.")
        timeout_s = self._timeout_s + stored.bytes / _BYTES_PER_S_MIN
        data = self._bounded("fetched from", key, lambda: self._files.read(key), timeout_s)
        if len(data) != stored.bytes or hashlib.sha256(data).hexdigest() != stored.sha256:
            raise PayloadError(
                f"The payload at {self.url_of(key)} is damaged: {stored.bytes:,} bytes with the SHA-256 "
                f"{stored.sha256} were stored, {len(data):,} others were found. Restore that object from a backup."
            )
        return data

    def delete(self, keys: Sequence[str]) -> None:
        """Delete what is there of these. Raises PayloadError; what was deleted before stays deleted."""
        for key in keys:
            if is_key(key):
                self._bounded("deleted at", key, partial(self._files.delete, key), self._timeout_s)

    def list(self, namespace: str) -> list[StoredObject]:
        """All payloads of a namespace; what else lies there is passed over. Raises PayloadError."""
        found = self._bounded(
            "listed under", namespace, lambda: list(self._files.walk(namespace)), LIST_TIMEOUT_S
        )
        return [one for one in found if is_key(one.key)]

    def _bounded(self, what: str, key: str, call: Callable[[], T], timeout_s: float) -> T:
        """The call's outcome. A failed one is repeated; PayloadError tells how the last one failed."""
        if self._host.monotonic() < self._down_until_s:
            raise PayloadError(
                f"A payload could not be {what} {self.url_of(key)}: the store did not answer a moment ago, and is "
                f"asked again {_DOWN_S:g} s later."
            )
        outcomes = self._host.job_queue()
        self._host.thread(self._serve, "weft-payload", call, outcomes).start()
        try:
            value, error = outcomes.get(timeout=timeout_s)
        except queue.Empty:
            self._down_until_s = self._host.monotonic() + _DOWN_S
            raise PayloadError(
                f"A payload could not be {what} {self.url_of(key)}: the store did not answer within {timeout_s:g} s."
            ) from None
        if isinstance(error, FileNotFoundError) and what.startswith("fetched"):
            raise PayloadError(
                f"The payload at {self.url_of(key)} is missing: it was deleted, or this process uses another store "
                "than the one that stored it."
            ) from None
        if error is not None:
            raise PayloadError(
                f"A payload could not be {what} {self.url_of(key)}: {type(error).__name__}: {error}"
            ) from error
        result: T = value
        return result

    def _serve(self, call: Callable[[], object], outcomes: JobQueue) -> None:
        """In a thread of its own: the call, and again after a pause when it failed."""
        error: Exception | None = None
        for pause_s in (0.0, *_PAUSES_S):
            if pause_s:
                self._host.event().wait(pause_s)
            try:
                outcomes.put((call(), None))
                return
            # Each file system raises errors of its own.
            except Exception as problem:  # noqa: BLE001
                error = problem
        outcomes.put((None, error))
