"""What owners answer to the heartbeats of this process: which attempts nobody waits for any more.

A thread of its own reads the replies, from when the first attempt is leased: workers of short activities never have it.
An answer that it misses comes again with the next heartbeat.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from weft.codec import MalformedError, decode_reply
from weft.errors import LogError
from weft.host import HOST, Host, Thread
from weft.log import FROM_END, Log, Reader

logger = logging.getLogger("weft.worker")

_RECORDS_MAX = 1000
_POLL_S = 0.1
_RETRY_S = 1.0
_JOIN_S = 5.0


class OwnerAnswers:
    """Calls `on_cancelled` with a lease's ID, in the thread that reads."""

    def __init__(
        self,
        log: Log,
        topic: str,
        partition: int,
        client_id: str,
        on_cancelled: Callable[[str], None],
        host: Host = HOST,
    ) -> None:
        self._log = log
        self._place = (topic, partition)
        self._key = client_id.encode()
        self._on_cancelled = on_cancelled
        self._host = host
        self._stopping = host.event()
        self._thread: Thread | None = None

    def start(self) -> None:
        self._thread = self._host.thread(self._run, "weft-lease-answers")
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except LogError as error:
                logger.warning("the answers of owners cannot be read now: %s", error)
                self._stopping.wait(_RETRY_S)

    def _read(self) -> None:
        reader = self._log.reader()
        try:
            reader.assign({self._place: FROM_END})
            while not self._stopping.is_set():
                self._take(reader)
        finally:
            with contextlib.suppress(LogError):
                reader.close()

    def _take(self, reader: Reader) -> None:
        for record in reader.poll(_RECORDS_MAX, _POLL_S):
            if record.key != self._key:
                continue
            try:
                reply = decode_reply(record.value)
            except MalformedError as error:
                logger.warning(
                    "an owner's answer at offset %s is malformed: %s", record.offset, error
                )
                continue
            if reply.outcome == "cancelled":
                self._on_cancelled(reply.request)
