"""Following `ns.events` as anybody may who listens from outside: committed records only."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

from tests.torture.ledger import ENDS, Stall
from weft.errors import LogError
from weft.log import FROM_START, Log

_PREFIX = "weft.workflow."
_POLL_S = 0.2
_BATCH_MAX = 1000
_READ_TIMEOUT_S = 60.0


def kind_of(event: dict[str, Any]) -> str:
    return str(event["type"]).removeprefix(_PREFIX)


def read_events(log: Log, topic: str, partitions: int) -> Iterator[dict[str, Any]]:
    """All of them, from the start to what is committed now."""
    reader = log.reader()
    try:
        offsets = {(topic, number): FROM_START for number in range(partitions)}
        for record in reader.read_to_end(offsets, _READ_TIMEOUT_S, undecided_s=10.0):
            assert record.value is not None, "events are never deleted"
            yield json.loads(record.value)
    finally:
        reader.close()


class Tail:
    """Reads events as they come, in a thread, and tells the loop."""

    def __init__(self, log: Log, topic: str, partitions: int, stall: Stall) -> None:
        self._log = log
        self._offsets = {(topic, number): FROM_START for number in range(partitions)}
        self._stall = stall
        self._loop = asyncio.get_running_loop()
        self._started: dict[str, asyncio.Event] = {}
        self._closing = threading.Event()
        self.ended = 0
        self.errors = 0
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    async def started(self, workflow_id: str) -> None:
        """Wait until a run of this ID has started."""
        await self._started.setdefault(workflow_id, asyncio.Event()).wait()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        reader = self._log.reader()
        reader.assign(self._offsets)
        while not self._closing.is_set():
            try:
                records = reader.poll(_BATCH_MAX, _POLL_S)
            except LogError:
                self.errors += 1
                continue
            events = [json.loads(record.value) for record in records if record.value]
            if events:
                self._loop.call_soon_threadsafe(self._take, events)
        reader.close()

    def _take(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            kind = kind_of(event)
            if kind == "started":
                self._started.setdefault(event["subject"], asyncio.Event()).set()
            elif kind in ENDS:
                self.ended += 1
                self._stall.note_progress()
