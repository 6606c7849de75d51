"""What a run may know of itself: the events before the point where its code is, the same in every replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from weft.activity import Activity
from weft.codec import decode_payload, is_stored, sealed_field
from weft.errors import PayloadError, UsageError
from weft.records import ActivityCompleted, ActivityScheduled, HistoryEvent, Payload
from weft.workflow._commands import Commands
from weft.workflow._fetching import Fetch, fetched

R = TypeVar("R")
T = TypeVar("T")

ReadHistory = Callable[[int], Sequence[HistoryEvent]]
"""The run's events after the one with this ID, oldest first; maybe more of them than the code may know."""


def read_nothing(_event_id: int) -> Sequence[HistoryEvent]:
    """Of a machine that was given no history to read. Raises UsageError."""
    raise UsageError("there is no history to look into here")


class History(Sequence[HistoryEvent]):
    """Read-only: the events up to the one that is being handled, oldest first, as `weft.records` has them.

    What the code has asked for since is not among them, for it becomes events when the code waits; `called` counts it.
    """

    def __init__(self, events: Sequence[HistoryEvent], count: int, asked: frozenset[str]) -> None:
        """`events` may go on growing behind the first `count`; `asked` are the activities that are no events yet."""
        self._events = events
        self._count = count
        self._asked = asked

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> HistoryEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HistoryEvent]: ...
    def __getitem__(self, index: int | slice) -> HistoryEvent | Sequence[HistoryEvent]:
        if isinstance(index, slice):
            return [self._events[place] for place in range(*index.indices(self._count))]
        return self._events[range(self._count)[index]]

    def __repr__(self) -> str:
        return f"<history of {self._count} events>"

    def called(self, activity: Activity[..., Any] | str) -> bool:
        """Whether this run has asked for the activity so far, whatever came of it.

        One that was cancelled in the same step in which it was asked for was never brought out, and does not count.
        """
        name = _name(activity)
        return name in self._asked or any(
            isinstance(event, ActivityScheduled) and event.activity == name for event in self
        )

    @overload
    def results(self, activity: Activity[..., R]) -> list[R]: ...
    @overload
    def results(self, activity: str) -> list[Any]: ...
    def results(self, activity: Activity[..., Any] | str) -> list[Any]:
        """What the activity gave so far, oldest first; by its name, as plain JSON.

        Raises UsageError for a result that lies in the payload store: keep what `execute_activity` returned instead.
        """
        name = _name(activity)
        decode = decode_payload if isinstance(activity, str) else activity.decode_result
        return [
            decode(_at_hand(event.result))
            for event in self
            if isinstance(event, ActivityCompleted) and event.activity == name
        ]

    @overload
    def value(self, payload: Payload, hint: TypeForm[T]) -> T: ...
    @overload
    def value(self, payload: Payload) -> Any: ...
    def value(self, payload: Payload, hint: Any = Any) -> Any:
        """A payload of an event (its input, result or payload) as a value of `hint`.

        Raises UsageError when it is none, and when it lies in the payload store.
        """
        return decode_payload(_at_hand(payload), hint)


class Past:
    """Of one run: the events that its code has asked to see, read once."""

    def __init__(self, commands: Commands, fetch: Fetch) -> None:
        self._commands = commands
        self._fetch = fetch
        self._events: list[HistoryEvent] = []
        """From the first on."""

    def until(self, event_id: int, read: ReadHistory) -> History:
        """The events up to that one. Only what is new is read since they were last asked for."""
        known = len(self._events)
        if known < event_id:
            self._events += map(self._readable, read(known)[: event_id - known])
        return History(self._events, event_id, self._commands.activities())

    def _readable(self, event: HistoryEvent) -> HistoryEvent:
        """For the code to look at: decoded. What lies in the store stays there, for it may be away."""
        name = sealed_field(event)
        if not name or (name != "failure" and is_stored(getattr(event, name))):
            return event
        try:
            return fetched(event, name, self._fetch)
        except PayloadError as error:
            if self._commands.onlooker:
                raise
            self._commands.stop(error)


def _name(activity: Activity[..., Any] | str) -> str:
    return activity if isinstance(activity, str) else activity.name


def _at_hand(payload: Payload) -> Payload:
    """Nothing is fetched here: the store may be away, and a replay must find what the code found."""
    if is_stored(payload):
        raise UsageError(
            "this payload lies in the payload store and is not fetched for the history; keep what the code was given "
            "when it waited for it"
        )
    return payload
