"""The time that one attempt has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from weft.host import HOST, Host
from weft.records import ActivityTask
from weft.worker._activity_pulse import AttemptPulse

LONG_S = 1.0
"""An attempt that has been running for so long is reported as started."""
_IN_LINE_S = 0.05
"""How often a clock looks whether an attempt whose start is waited for has got its thread."""

Over = Literal["", "start-to-close", "heartbeat"]


class AttemptClock:
    """Watches one attempt with one timer at a time: until it counts as long, until its time is over, and whether its
    code still beats. `over` says which timeout ended it.

    Every attempt has one: what most of them do not need stands in the class.
    """

    over: Over = ""
    _began_s: Callable[[], float] | None = None
    _heartbeat_s = 0.0

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        task: ActivityTask,
        pulse: AttemptPulse,
        expire: Callable[[], object],
        began_s: Callable[[], float] | None = None,
        host: Host = HOST,
    ) -> None:
        self._loop = loop
        self._pulse = pulse
        self._expire = expire
        self._host = host
        self._timeout_s = wait_s = task.start_to_close_ms / 1000
        # Its owner counts the time until somebody says that it began.
        self._long_s = 0.0 if task.schedule_to_start_ms else LONG_S
        if pulse.on_long is not None and self._long_s < wait_s:
            wait_s = self._long_s
        if began_s is not None:
            self._began_s = began_s
        if task.heartbeat_timeout_ms:
            self._heartbeat_s = task.heartbeat_timeout_ms / 1000
            wait_s = min(wait_s, self._heartbeat_s)
        self._handle = loop.call_later(wait_s, self._look, loop.time())

    def stop(self) -> None:
        self._handle.cancel()

    def _look(self, began_s: float) -> None:
        now_s = self._loop.time()
        is_in_line = False
        if self._began_s is not None:
            # Time in the line for a thread is not the attempt's.
            began_s = self._began_s()
            is_in_line = not began_s
            began_s = began_s or now_s
        ran_s = now_s - began_s
        silent_s = now_s - max(began_s, self._pulse.last_s)
        if ran_s >= self._timeout_s:
            self._end("start-to-close")
            return
        beats = self._heartbeat_s > 0 and not self._pulse.cancelled
        if beats and silent_s >= self._heartbeat_s:
            self._end("heartbeat")
            return
        on_long = self._pulse.on_long
        if on_long is not None and ran_s >= self._long_s and not is_in_line:
            self._pulse.on_long = None
            on_long(int((self._host.time() - ran_s) * 1000))
        wait_s = self._timeout_s - ran_s
        if self._pulse.on_long is not None:
            wait_s = min(wait_s, max(self._long_s - ran_s, _IN_LINE_S))
        if beats:
            wait_s = min(wait_s, self._heartbeat_s - silent_s)
        self._handle = self._loop.call_later(max(0.0, wait_s), self._look, began_s)

    def _end(self, over: Over) -> None:
        self.over = over
        self._expire()
