"""The time that one attempt has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from weft.host import HOST, Host

LONG_S = 1.0
"""An attempt that has been running for so long is reported as started."""

OnLong = Callable[[int], None]
"""Called once with `started_ms` when the attempt has been running for `LONG_S`."""


class AttemptClock:
    """Watches one attempt with one timer at a time: first until it counts as long, then until its time is over."""

    __slots__ = (
        "_began_s",
        "_expire",
        "_handle",
        "_host",
        "_loop",
        "_on_long",
        "_timeout_s",
        "expired",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout_s: float,
        on_long: OnLong | None,
        expire: Callable[[], object],
        began_s: Callable[[], float] | None = None,
        host: Host = HOST,
    ) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._on_long = on_long
        self._expire = expire
        self._began_s = began_s
        self._host = host
        self.expired = False
        self._handle = loop.call_later(
            timeout_s if on_long is None or timeout_s < LONG_S else LONG_S, self._look, loop.time()
        )

    def stop(self) -> None:
        self._handle.cancel()

    def _look(self, began_s: float) -> None:
        if self._began_s is not None:
            # Time in the line for a thread is not the attempt's.
            began_s = self._began_s() or self._loop.time()
        ran_s = self._loop.time() - began_s
        if ran_s >= self._timeout_s:
            self.expired = True
            self._expire()
            return
        if self._on_long is not None and ran_s >= LONG_S:
            on_long, self._on_long = self._on_long, None
            on_long(int((self._host.time() - ran_s) * 1000))
        wait_s = self._timeout_s - ran_s
        if self._on_long is not None:
            wait_s = min(wait_s, LONG_S - ran_s)
        self._handle = self._loop.call_later(max(0.0, wait_s), self._look, began_s)
