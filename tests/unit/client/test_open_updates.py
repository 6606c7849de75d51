"""Which updates a history has in flight."""

from __future__ import annotations

from datetime import UTC, datetime

from weft.client import UpdateDescription, open_updates
from weft.codec import encode
from weft.records import (
    Event,
    FailureInfo,
    Payload,
    RecordDeferred,
    SignalWorkflow,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
    WorkflowBlocked,
    WorkflowTerminated,
    WorkflowUnblocked,
)


def deferred(event_id: int, record: UpdateWorkflow | SignalWorkflow) -> RecordDeferred:
    return RecordDeferred(event_id, event_id * 1000, "signals", Payload(encode(record)))


def told(update_id: str, status: str, at_s: int) -> tuple[str, str, str, datetime]:
    return update_id, "add", status, datetime.fromtimestamp(at_s, UTC)


def rows(events: list[Event]) -> list[tuple[str, str, str, datetime]]:
    def row(one: UpdateDescription) -> tuple[str, str, str, datetime]:
        return one.update_id, one.update, one.status, one.since

    return [row(one) for one in open_updates(events)]


ACCEPTED: list[Event] = [UpdateAccepted(n, n * 1000, "add", f"u-{n}") for n in (1, 2, 3, 4)]
HELD: list[Event] = [
    *ACCEPTED,
    UpdateFailed(5, 5000, "add", "u-1", FailureInfo("Taken", "no")),
    UpdateCompleted(5, 5000, "add", "u-2"),
    WorkflowBlocked(6, 6000, "changed"),
    deferred(7, UpdateWorkflow("add", "u-7")),
    deferred(8, SignalWorkflow("add", Payload(b"1"), "u-8")),
    deferred(9, UpdateWorkflow("add", "u-9")),
    deferred(10, UpdateWorkflow("add", "u-7")),
]


def test_updates_in_flight_are_those_accepted_or_kept_and_not_answered() -> None:
    accepted = [told("u-3", "accepted", 3), told("u-4", "accepted", 4)]
    assert rows(HELD) == [*accepted, told("u-7", "kept", 7), told("u-9", "kept", 9)]
    # u-7 does not pass now, and leaves no trace.
    after = [*HELD, WorkflowUnblocked(11, 11_000), UpdateAccepted(12, 12_000, "add", "u-9")]
    assert rows(after) == [*accepted, told("u-9", "accepted", 12)]


def test_ended_run_has_no_update_in_flight() -> None:
    assert rows([*HELD, WorkflowTerminated(11, 11_000, "enough")]) == []
