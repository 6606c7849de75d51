"""The names and values that other implementations of the contract share."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from weft.errors import UsageError
from weft.executor import (
    EventType,
    HistoryEvent,
    Signal,
    WorkflowFilter,
    WorkflowState,
    WorkflowStatus,
)


def test_statuses_are_the_contracts_four() -> None:
    assert [str(status) for status in WorkflowStatus] == [
        "running",
        "completed",
        "failed",
        "canceled",
    ]


def test_event_types_are_the_contracts_nine() -> None:
    assert [str(kind) for kind in EventType] == [
        "workflow_started",
        "workflow_completed",
        "workflow_failed",
        "workflow_canceled",
        "activity_started",
        "activity_completed",
        "activity_failed",
        "signal_received",
        "timer_fired",
    ]


@pytest.mark.requirement("R1-27")
def test_state_is_written_with_every_key_when_nothing_is_set() -> None:
    written = json.loads(
        WorkflowState(history=[HistoryEvent(type=EventType.TIMER_FIRED)]).to_json()
    )
    zero = "0001-01-01T00:00:00Z"
    assert written == {
        "WorkflowID": "",
        "RunID": "",
        "Status": "running",
        "Input": None,
        "Result": None,
        "Error": "",
        "History": [
            {
                "ID": 0,
                "Type": "timer_fired",
                "Timestamp": zero,
                "ActivityName": "",
                "Input": None,
                "Result": None,
                "Error": "",
                "SignalName": "",
                "SignalPayload": None,
                "Duration": 0,
            }
        ],
        "CreatedAt": zero,
        "UpdatedAt": zero,
    }


def test_times_are_rfc3339_and_durations_are_nanoseconds() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)
    event = HistoryEvent(type=EventType.TIMER_FIRED, timestamp=at, duration_ns=1_500_000_000)
    written = json.loads(WorkflowState(history=[event]).to_json())["History"][0]
    assert (written["Timestamp"], written["Duration"]) == (
        "2026-01-02T03:04:05.600000Z",
        1_500_000_000,
    )


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="a time without a zone"):
        WorkflowState(created_at=datetime(2026, 1, 1)).to_json()  # noqa: DTZ001
    with pytest.raises(UsageError, match="CreatedAt"):
        WorkflowState.from_json(b'{"WorkflowID": "a", "CreatedAt": "2026-01-02T03:04:05"}')


def test_field_of_another_type_is_named() -> None:
    with pytest.raises(UsageError, match=r"Status"):
        WorkflowState.from_json(b'{"WorkflowID": "a", "Status": "suspended"}')


def test_filter_and_signal_have_the_contracts_names() -> None:
    assert msgspec.to_builtins(WorkflowFilter(status="running", limit=3)) == {
        "Status": "running",
        "Limit": 3,
    }
    assert msgspec.to_builtins(Signal("go", 1, datetime(2026, 1, 1, tzinfo=UTC), "me")) == {
        "Name": "go",
        "Payload": 1,
        "SentAt": "2026-01-01T00:00:00Z",
        "SenderID": "me",
    }


def test_cursor_grows_with_the_time_and_then_with_the_id() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    states = [
        WorkflowState(workflow_id="z"),
        WorkflowState(workflow_id="b", created_at=at),
        WorkflowState(workflow_id="c", created_at=at),
        WorkflowState(workflow_id="a", created_at=at + timedelta(microseconds=1)),
    ]
    cursors = [WorkflowFilter().after(state).cursor for state in states]
    assert cursors == sorted(cursors)
