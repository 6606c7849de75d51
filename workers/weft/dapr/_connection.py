"""Which log runtime and client are on, and the thread in which their asyncio code runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from weft.host import HOST
from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create

T = TypeVar("T")

_FILE = Path(".weft") / "dev.weft"
_PARTITIONS = 8


def namespace_name() -> str:
    return os.environ.get("WEFT_NAMESPACE") or "default"


def open_there() -> Log:
    """The log that the environment names, with all topics. Raises LogUnavailableError, TopicError."""
    kafka = os.environ.get("WEFT_KAFKA")
    if kafka:
        log = open_log(kafka=kafka)
    else:
        file = Path(os.environ.get("WEFT_FILE") or _FILE)
        file.parent.mkdir(parents=True, exist_ok=True)
        log = open_log(embedded=file)
    namespace = Namespace(namespace_name())
    admin = log.admin()
    try:
        there = admin.describe_topics([namespace.signals]).get(namespace.signals)
        create(
            admin,
            catalogue(
                namespace, partitions=there.partitions if there else _PARTITIONS, queues=["default"]
            ),
        )
    finally:
        admin.close()
    return log


class LoopThread:
    """An event loop in a thread of its own, for callers that block."""

    def __init__(self, name: str) -> None:
        self._loop = HOST.event_loop()
        self._thread = HOST.thread(self._loop.run_forever, name)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start it; what is returned tells its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it, and give or raise what it does."""
        return self.begin(work).result()

    def close(self) -> None:
        """Once nothing runs in it any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
