"""The time that one attempt has."""

from __future__ import annotations

import asyncio
import itertools
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


class LoopClocks:
    """The clocks of one loop in their first `LONG_S`, oldest first, with one timer for them all.

    Most attempts are over by then, and a timer of its own would cost each as much as all else about its time. With
    `lasting` the timer stays armed when there is no clock any more: there will be one soon.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, lasting: bool) -> None:
        self.loop = loop
        self._lasting = lasting
        self._began_s: dict[AttemptClock, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, clock: AttemptClock) -> None:
        """`clock.look` will be called in `LONG_S`, unless it is discarded before."""
        self._began_s[clock] = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(LONG_S, self._look)

    def discard(self, clock: AttemptClock) -> None:
        """It may have been looked at before."""
        self._began_s.pop(clock, None)
        if not self._lasting and not self._began_s and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now_s = self.loop.time()
        entries = self._began_s.items()
        due = list(itertools.takewhile(lambda entry: entry[1] + LONG_S <= now_s, entries))
        try:
            for clock, began_s in due:
                del self._began_s[clock]
                clock.look(began_s)
        finally:
            next_s = next(iter(self._began_s.values()), None)
            if next_s is not None:
                self._timer = self.loop.call_later(next_s + LONG_S - now_s, self._look)


class AttemptClock:
    """Watches one attempt with one timer at a time: until it counts as long, until its time is over, and whether its
    code still beats. `over` says which timeout ended it.

    Every attempt has one: what most of them do not need stands in the class.
    """

    over: Over = ""
    _handle: asyncio.TimerHandle | None = None
    _began_s: Callable[[], float] | None = None
    _heartbeat_s = 0.0

    def __init__(
        self,
        clocks: LoopClocks,
        task: ActivityTask,
        pulse: AttemptPulse,
        expire: Callable[[], object],
        began_s: Callable[[], float] | None = None,
        host: Host = HOST,
    ) -> None:
        self._clocks = clocks
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
        if wait_s >= LONG_S:
            clocks.add(self)
        else:
            self._handle = clocks.loop.call_later(wait_s, self.look, clocks.loop.time())

    def stop(self) -> None:
        if self._handle is None:
            self._clocks.discard(self)
        else:
            self._handle.cancel()

    def look(self, began_s: float) -> None:
        """The attempt began at `began_s`, in the loop's time: see how it stands, and when to look again."""
        now_s = self._clocks.loop.time()
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
        self._handle = self._clocks.loop.call_later(max(0.0, wait_s), self.look, began_s)

    def _end(self, over: Over) -> None:
        self.over = over
        self._expire()
