"""The end of a run that continues as a new one: what unwinds its code, and what it hands on.

Every signal is consumed by one run of a chain. What this run has not taken goes on to the next: what nobody received,
and what a future has that nobody has looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from weft.records import SignalReceived

if TYPE_CHECKING:
    from weft.workflow._futures import SignalFuture

SUGGESTED_EVENTS = 4_000
"""From how many events on a run is told to continue as a new one. Code depends on it, so it never changes: a replay
would find another answer."""


class ContinuedAsNew(BaseException):  # no error: it ends the code, as GeneratorExit does
    """Raised where the code asks to be continued as a new run.

    No Exception, so that code which goes on after every error ends all the same.
    """


class Untaken:
    """Signals that futures were given, until somebody takes them from there; by event ID."""

    __slots__ = ("_by_event_id",)

    def __init__(self) -> None:
        self._by_event_id: dict[int, SignalReceived] = {}

    def give(self, future: SignalFuture, signal: SignalReceived) -> None:
        future.event_id = signal.event_id
        self._by_event_id[signal.event_id] = signal

    def take(self, event_id: int) -> None:
        self._by_event_id.pop(event_id, None)

    def clear(self) -> None:
        self._by_event_id.clear()

    @property
    def signals(self) -> Iterable[SignalReceived]:
        return self._by_event_id.values()


def is_continued(error: BaseException) -> bool:
    """Whether this is all that ended the code, also from within groups of tasks."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_continued(one) for one in error.exceptions)
    return isinstance(error, ContinuedAsNew)
