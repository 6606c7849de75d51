"""One question to the owner of a workflow, from asking to answer.

Replies may get lost: an owner may be killed between its commit and its reply. So everything is asked again until it is
answered, and every question is made so that asking twice changes nothing.
"""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple

from weft.client._bridge import Bridge
from weft.errors import LogError, LogUnavailableError, WeftError
from weft.records import Reply

ASK_AGAIN_S = (1.0, 2.0, 4.0, 8.0)
"""Waits before a request is sent again; the last one repeats."""
_QUEUE_FULL_S = 0.05
_TIMER_SLACK_S = 0.001
"""The loop may call a moment early."""


class Address(NamedTuple):
    """Where a workflow is: its partition number is the same on every topic."""

    workflow_id: str
    key: bytes
    partition: int


class Request:
    """A question whose answer comes at once if an owner is there. `record` is written to `topic` until then."""

    __slots__ = (
        "_again_s",
        "_asked_at",
        "_bridge",
        "_deadline",
        "_future",
        "_is_under_way",
        "_timer",
        "_topic",
        "_value",
        "address",
        "asks",
        "error",
        "partition",
        "place",
        "request_id",
    )

    def __init__(
        self,
        bridge: Bridge,
        address: Address,
        request_id: str,
        topic: str,
        value: bytes,
        again_s: tuple[float, ...] = (),
    ) -> None:
        self.request_id = request_id
        self.address = address
        self.partition = address.partition
        self.place = ""
        """Where the first record of it stands, once that is durable."""
        self.error: LogError | None = None
        """Why it could not be written the last time."""
        self.asks = 0
        self._bridge = bridge
        self._topic = topic
        self._value = value
        self._again_s = again_s or ASK_AGAIN_S
        self._asked_at = 0.0
        self._is_under_way = False
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._future: asyncio.Future[Reply | None] = bridge.loop.create_future()

    async def reply(self, wait_s: float | None) -> Reply | None:
        """Ask and wait. None: the time is up; `place` and `error` say how far it came. Raises LogError."""
        if wait_s is not None:
            self._deadline = self._bridge.loop.time() + wait_s
        self._bridge.requests[self.request_id] = self
        try:
            self._ask()
            return await self._future
        finally:
            del self._bridge.requests[self.request_id]
            if self._timer is not None:
                self._timer.cancel()

    # What may happen to it, on the loop.

    def take(self, reply: Reply) -> None:
        self._finish(reply)

    def fail(self, error: WeftError) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    def _finish(self, reply: Reply | None) -> None:
        if not self._future.done():
            self._future.set_result(reply)

    def _question(self) -> tuple[str, bytes]:
        """The topic and the value to write next."""
        return self._topic, self._value

    def _ask(self) -> None:
        now = self._bridge.loop.time()
        # What is not written yet must not be queued twice, or an unreachable broker would find a heap of it.
        wait_s = self._again_s[0] if self._is_under_way else self._send(now)
        self._timer = self._bridge.loop.call_later(min(wait_s, self._deadline - now), self._on_time)

    def _send(self, now: float) -> float:
        """Write it once more; returns when to do so again, in seconds."""
        topic, value = self._question()
        self._is_under_way = True  # first: the delivery may be told before `send` returns
        try:
            self._bridge.send(topic, self.partition, self.address.key, value, self._on_delivery)
        except LogUnavailableError as error:
            self._is_under_way = False
            self.error = error
            return _QUEUE_FULL_S
        self._asked_at = now
        self.asks += 1
        wait_s = self._again_s[min(self.asks, len(self._again_s)) - 1]
        # A short wait must leave time for a second try.
        return wait_s if self.asks > 1 else min(wait_s, (self._deadline - now) / 2)

    def _on_time(self) -> None:
        if self._bridge.loop.time() >= self._deadline - _TIMER_SLACK_S:
            self._finish(None)
            return
        try:
            self._ask()
        except WeftError as error:
            self.fail(error)

    # In the thread that serves deliveries.

    def _on_delivery(self, error: LogError | None, partition: int, offset: int) -> None:
        self.error = error
        if error is None:
            self.place = self.place or f"{self._topic}-{partition}@{offset}"
        else:
            self._bridge.note_failure(self._topic)
            if not error.retriable:
                self._bridge.post(self.fail, error)
        self._is_under_way = False
