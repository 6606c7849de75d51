"""What a record takes, and what happens to a payload that is larger: stored aside, or refused with what to do.

Small payloads cost one comparison of their length.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

from weft.codec import (
    MalformedError,
    decode_reference,
    encode_reference,
    is_encoded,
    is_sealed,
    is_sealed_failure,
    is_stored,
    open_failure,
)
from weft.errors import PayloadDecodeError, PayloadError, PayloadTooLargeError, UsageError
from weft.host import HOST, Host
from weft.payloads._codec import CodecsOption, to_codecs
from weft.payloads._keys import payload_key, workflow_folder
from weft.payloads._store import PayloadStore
from weft.records import PAYLOAD_BYTES_MAX, REFERENCE_BYTES_MIN, FailureInfo, Payload

logger = logging.getLogger("weft.payloads")

PAYLOAD_BYTES_MIN = 2_000
"""The lowest limit: a reference must not be larger than what it stands for."""
STORED_BYTES_MAX = 256 * 1024 * 1024
"""The largest payload that is stored aside: it is held in memory by whoever writes or reads it."""
CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Of payloads that were fetched: a replay asks again for what a turn has just read."""
_REMOVER_IDLE_S = 5.0

StoreOption = str | os.PathLike[str] | PayloadStore | None
"""A folder, a URL that fsspec knows, or a store; None is the log's own, an empty text is none."""

Outcome = Literal["stored", "fetched", "refused", "failed"]


class Payloads:
    """The payloads of one namespace. May be used from any thread; `set_aside` and `fetch` block for large ones.

    `bytes_max`: what goes into a record as it is. Raises UsageError for a limit that cannot be.
    """

    def __init__(
        self,
        namespace: str,
        store: PayloadStore | None = None,
        *,
        bytes_max: int = PAYLOAD_BYTES_MAX,
        codecs: CodecsOption = (),
        host: Host = HOST,
    ) -> None:
        if not PAYLOAD_BYTES_MIN <= bytes_max <= PAYLOAD_BYTES_MAX:
            raise UsageError(
                f"payload_bytes_max={bytes_max} cannot be: give {PAYLOAD_BYTES_MIN:,} to {PAYLOAD_BYTES_MAX:,} bytes. "
                "A record takes no more than that; larger payloads go to the payload store."
            )
        self.bytes_max = bytes_max
        self.store = store
        self.namespace = namespace
        self.codecs = to_codecs(codecs)
        self.has_codecs = bool(self.codecs.codecs)
        """Whether anything is to be encoded; what comes encoded is decoded, or refused, in any case."""
        self.largest_bytes = 0
        """The largest payload so far that anybody has noted here."""
        self.on_outcome: Callable[[Outcome], object] = lambda _outcome: None
        """Told, in any thread, what became of a payload that no record takes."""
        self._host = host
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cache_bytes = 0
        self._removals = host.job_queue()
        self._has_remover = False

    @classmethod
    def open(
        cls,
        namespace: str,
        option: StoreOption,
        default: str | None = None,
        *,
        bytes_max: int = PAYLOAD_BYTES_MAX,
        codecs: CodecsOption = (),
        host: Host = HOST,
    ) -> Payloads:
        """With the store that a user's option names; `default` is where payloads go when there is none."""
        if option is None:
            option = default
        if isinstance(option, PayloadStore):
            store: PayloadStore | None = option
        else:
            store = PayloadStore(option, host=host) if option else None
        return cls(namespace, store, bytes_max=bytes_max, codecs=codecs, host=host)

    def encode(self, payload: Payload, workflow_id: str, namespace: str = "") -> Payload:
        """The payload as codecs leave it, for a workflow of this namespace or of another. Raises PayloadError."""
        if not self.has_codecs:
            return payload
        return self.codecs.encode(payload, namespace or self.namespace, workflow_id)

    def decode(self, payload: Payload, workflow_id: str) -> Payload:
        """What a payload on the log stands for: fetched from the store, and decoded.

        Raises PayloadError when it cannot be had, PayloadDecodeError when it cannot be decoded.
        """
        if not is_sealed(payload):
            return payload
        return self.codecs.decode(self.fetch(payload), self.namespace, workflow_id)

    def readable(self, payload: Payload, workflow_id: str) -> Payload:
        """For people: decoded where that can be done here. What lies in the store stays there."""
        if not is_encoded(payload):
            return payload
        try:
            return self.codecs.decode(payload, self.namespace, workflow_id)
        except PayloadDecodeError as error:
            if self.has_codecs:
                logger.warning("a payload is shown as it is: %s", error)
            return payload

    def encode_failure(
        self, failure: FailureInfo, workflow_id: str, namespace: str = ""
    ) -> FailureInfo:
        """The failure as it stands on the log. Raises PayloadError."""
        if not self.has_codecs:
            return failure
        return self.codecs.encode_failure(failure, namespace or self.namespace, workflow_id)

    def decode_failure(self, failure: FailureInfo, workflow_id: str) -> FailureInfo:
        """The failure as it was. Raises PayloadError, PayloadDecodeError."""
        return open_failure(failure, lambda payload: self.decode(payload, workflow_id))

    def set_aside(self, payload: Payload, *, workflow_id: str, scope: str, what: str) -> Payload:
        """The payload itself, or, when a record does not take it, a reference to it, which is durably stored then.

        `what` begins the texts of errors. Raises PayloadTooLargeError when it is too large and there is no store,
        PayloadError when the store did not take it.
        """
        if len(payload) <= self.bytes_max:
            return payload
        return self.store_aside(payload, workflow_id=workflow_id, scope=scope, what=what)

    def store_aside(self, payload: Payload, *, workflow_id: str, scope: str, what: str) -> Payload:
        """A reference to the payload, whatever its length. Raises like `set_aside`."""
        size_bytes = len(payload)
        self.largest_bytes = max(self.largest_bytes, size_bytes)
        if self.store is None:
            self.on_outcome("refused")
            raise PayloadTooLargeError(
                f"{what} is {size_bytes:,} bytes as JSON; {self.bytes_max:,} is the most that a record takes, and "
                "there is no payload store to put it in. Give one to the workers and their clients (payload_store=..., "
                "--payload-store, WEFT_PAYLOAD_STORE), or keep the data elsewhere and pass a reference to it."
            )
        if size_bytes > STORED_BYTES_MAX:
            self.on_outcome("refused")
            raise PayloadTooLargeError(
                f"{what} is {size_bytes:,} bytes as JSON; {STORED_BYTES_MAX:,} is the most that is stored aside. Keep "
                "the data elsewhere and pass a reference to it."
            )
        data = bytes(payload)
        key = payload_key(self.namespace, workflow_id, scope, hashlib.sha256(data).hexdigest())
        try:
            stored = self.store.write(key, data)
        except PayloadError as error:
            self.on_outcome("failed")
            raise PayloadError(f"{what} is {size_bytes:,} bytes as JSON. {error}") from error
        self.on_outcome("stored")
        return encode_reference(stored)

    def fetch(self, payload: Payload) -> Payload:
        """What a payload stands for: itself, unless it is a reference. Raises PayloadError when that cannot be had."""
        if len(payload) < REFERENCE_BYTES_MIN or not is_stored(payload):
            return payload
        try:
            stored = decode_reference(payload)
        except MalformedError as error:
            raise PayloadError(str(error)) from None
        with self._lock:
            data = self._cache.get(stored.sha256)
            if data is not None:
                self._cache.move_to_end(stored.sha256)
                return Payload(data)
        if self.store is None:
            raise PayloadError(
                f"{stored.bytes:,} bytes lie in a payload store as {stored.key}, and none is set up here. "
                "Give the one that it was stored in (payload_store=..., --payload-store, WEFT_PAYLOAD_STORE)."
            )
        try:
            data = self.store.read(stored)
        except PayloadError:
            self.on_outcome("failed")
            raise
        self.on_outcome("fetched")
        self._keep(stored.sha256, data)
        return Payload(data)

    def moved(
        self, payload: Payload, *, owner_id: str, namespace: str, workflow_id: str, scope: str
    ) -> Payload:
        """A payload of workflow `owner_id` as another may keep it, of this namespace or of another.

        What is encoded is bound to its workflow and encoded anew; what lies in the store is stored once more, for each
        is removed with its own workflow. Raises PayloadError when it cannot be read or written.
        """
        if not is_sealed(payload):
            return payload
        is_aside = is_stored(payload)
        if is_encoded(self.fetch(payload)):
            plain = self.decode(payload, owner_id)
            payload = self.codecs.encode(plain, namespace, workflow_id)
        if not is_aside:
            return payload
        data = bytes(self.fetch(payload))
        assert self.store is not None, "it was read from there"
        key = payload_key(namespace, workflow_id, scope, hashlib.sha256(data).hexdigest())
        return encode_reference(self.store.write(key, data))

    def moved_failure(
        self, failure: FailureInfo, *, owner_id: str, namespace: str, workflow_id: str
    ) -> FailureInfo:
        """A failure of workflow `owner_id` as another may keep it. Raises PayloadError."""
        if not is_sealed_failure(failure):
            return failure
        plain = self.decode_failure(failure, owner_id)
        return self.codecs.encode_failure(plain, namespace, workflow_id)

    def remove_soon(self, workflow_id: str, keys: Iterable[str]) -> None:
        """Delete payloads of a purged run, in a thread. What cannot be deleted is left to `weft payloads clean`.

        Keys of other workflows are left alone: a reference may come from anybody who writes signals.
        """
        folder = workflow_folder(self.namespace, workflow_id) + "/"
        own = [key for key in keys if key.startswith(folder)]
        if not own or self.store is None:
            return
        with self._lock:
            self._removals.put(own)
            if not self._has_remover:
                self._has_remover = True
                self._host.thread(self._remove, "weft-payloads-remover").start()

    def _remove(self) -> None:
        assert self.store is not None, "checked before anything is to be removed"
        while True:
            try:
                keys = self._removals.get(timeout=_REMOVER_IDLE_S)
            except queue.Empty:
                with self._lock:
                    try:
                        keys = self._removals.get(block=False)
                    except queue.Empty:
                        self._has_remover = False
                        return
            try:
                self.store.delete(keys)
            except PayloadError as error:
                self.on_outcome("failed")
                logger.warning("payloads of a purged run were left: %s", error)

    def _keep(self, sha256: str, data: bytes) -> None:
        if len(data) > CACHE_BYTES_MAX:
            return
        with self._lock:
            if sha256 not in self._cache:
                self._cache_bytes += len(data)
            self._cache[sha256] = data
            while self._cache_bytes > CACHE_BYTES_MAX:
                _, dropped = self._cache.popitem(last=False)
                self._cache_bytes -= len(dropped)
