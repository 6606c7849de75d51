"""One attempt that runs, between its code, its clock and whoever holds it."""

from __future__ import annotations

from collections.abc import Callable

from weft.host import HOST, Host
from weft.records import NULL, Payload

OnLong = Callable[[int], None]
"""Called once with `started_ms` when the attempt counts as long."""


class AttemptPulse:
    """What the code says of itself (`beat`, from any thread), and what it is told (`cancelled`).

    `on_long` is called once, by the attempt's clock. One is made for every attempt and most are never asked for
    anything, so what they begin with stands in the class.
    """

    cancelled = False
    last_s = 0.0
    """When the code last called `heartbeat`, by the monotonic clock; 0 is never."""
    on_long: OnLong | None = None
    stop: Callable[[], object] | None = None
    """Interrupts the code, as far as that can be; set while it runs."""
    seal: Callable[[Payload], Payload] | None = None
    """Encodes what the code says, where payloads are encoded."""
    _details = NULL
    _has_news = False

    def __init__(self, host: Host = HOST, on_long: OnLong | None = None) -> None:
        self._host = host
        if on_long is not None:
            self.on_long = on_long

    def beat(self, details: Payload | None) -> None:
        self.last_s = self._host.monotonic()
        if details is not None:
            self._details = details
            self._has_news = True

    def cancel(self) -> None:
        """Nobody waits for the attempt any more. Interrupts it once: it may take its time to clean up."""
        if not self.cancelled:
            self.cancelled = True
            if self.stop is not None:
                self.stop()

    def end(self) -> None:
        """The code has ended: nothing interrupts it any more, and it will not count as long.

        Both lead back to whoever holds this pulse. Left in, every attempt would be a cycle for the garbage collector.
        """
        self.stop = self.on_long = None

    def take_news(self) -> Payload:
        """The newest details; NULL when they have been taken before."""
        if not self._has_news:
            return NULL
        self._has_news = (
            False  # before the details are read: those that come meanwhile are news again
        )
        return self._details if self.seal is None else self.seal(self._details)

    def put_news_back(self) -> None:
        """What was taken last did not get to where it should."""
        self._has_news = True
