"""What a worker under torture tells of itself."""

from __future__ import annotations

from tests.torture.child import run_fields
from weft.core import rebuild
from weft.records import (
    ActivityScheduled,
    ChildScheduled,
    Event,
    Payload,
    SignalReceived,
    SignalSent,
    TimerStarted,
    WorkflowStarted,
)

HISTORY: list[Event] = [
    WorkflowStarted(1, 0, "run-1", "w", input=Payload(b'{"a":1}')),
    ActivityScheduled(2, 0, 1, "charge", Payload(b"[1]")),
    ChildScheduled(3, 0, 2, "chain", "w-0", Payload(b"2")),
    TimerStarted(4, 0, 3, 5000),
    SignalSent(5, 0, 4, "w-1", "go"),
    SignalReceived(6, 0, "go", Payload(b"3"), "s-1"),
]


def test_run_is_told_as_a_rebuild_tells_it_when_it_waits_for_all_sorts_of_things() -> None:
    told = run_fields(rebuild("w", HISTORY))
    assert told == run_fields(rebuild("w", HISTORY))
    assert all(word in told for word in ("charge", "chain", "s-1", "sends [4]", "due 5000"))
    assert told != run_fields(rebuild("w", HISTORY[:-1]))
