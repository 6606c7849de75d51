"""What passes between executors, stores and their callers, and how it looks as JSON.

The JSON has the names, values and defaults of the contract that other implementations keep too: times as RFC 3339 (a
time that is not set is the year 1), durations in nanoseconds, and every key present. So whoever reads such a store
with another program finds what he knows.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
"""A time that is not set."""

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A naive one is refused: nobody knows which hour it means."""


class WorkflowStatus(StrEnum):
    """How a run stands. The contract knows four; a run that timed out has failed, one that is held is running."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class EventType(StrEnum):
    """What a history event tells of."""

    WORKFLOW_STARTED = "workflow_started"
    WORKFLOW_COMPLETED = "workflow_completed"
    WORKFLOW_FAILED = "workflow_failed"
    WORKFLOW_CANCELED = "workflow_canceled"
    ACTIVITY_STARTED = "activity_started"
    ACTIVITY_COMPLETED = "activity_completed"
    ACTIVITY_FAILED = "activity_failed"
    SIGNAL_RECEIVED = "signal_received"
    TIMER_FIRED = "timer_fired"


class HistoryEvent(msgspec.Struct, kw_only=True):
    """One fact of a run. `id` counts from 1; `duration_ns` is what a timer was set to."""

    id: int = msgspec.field(name="ID", default=0)
    type: EventType = msgspec.field(name="Type")
    timestamp: Time = msgspec.field(name="Timestamp", default=ZERO_TIME)
    activity_name: str = msgspec.field(name="ActivityName", default="")
    input: Any = msgspec.field(name="Input", default=None)
    result: Any = msgspec.field(name="Result", default=None)
    error: str = msgspec.field(name="Error", default="")
    signal_name: str = msgspec.field(name="SignalName", default="")
    signal_payload: Any = msgspec.field(name="SignalPayload", default=None)
    duration_ns: int = msgspec.field(name="Duration", default=0)


class WorkflowState(msgspec.Struct, kw_only=True):
    """All that a store keeps of a workflow: how it stands, and everything that happened to its run.

    `engine` is the executor's own bookkeeping beside the history (numbers, timers, retries), which a resumption needs.
    It is a key of the JSON only where there is any, and a store keeps it as it is.
    """

    workflow_id: str = msgspec.field(name="WorkflowID", default="")
    run_id: str = msgspec.field(name="RunID", default="")
    status: WorkflowStatus = msgspec.field(name="Status", default=WorkflowStatus.RUNNING)
    input: Any = msgspec.field(name="Input", default=None)
    result: Any = msgspec.field(name="Result", default=None)
    error: str = msgspec.field(name="Error", default="")
    history: list[HistoryEvent] = msgspec.field(name="History", default_factory=list)
    created_at: Time = msgspec.field(name="CreatedAt", default=ZERO_TIME)
    updated_at: Time = msgspec.field(name="UpdatedAt", default=ZERO_TIME)
    engine: Any = msgspec.field(name="Engine", default=msgspec.UNSET)

    def to_json(self) -> bytes:
        """Raises UsageError for what JSON cannot hold, and for times without a zone."""
        times = [self.created_at, self.updated_at, *(event.timestamp for event in self.history)]
        if any(time.tzinfo is None for time in times):
            raise UsageError(
                "a time without a zone cannot be stored: give it one, as datetime.now(UTC) has"
            )
        return bytes(encode_payload(self))

    @staticmethod
    def from_json(data: bytes) -> WorkflowState:
        """Raises UsageError naming the field that does not fit."""
        state = decode_payload(data, _StateOnTheWire)
        fields = {name: getattr(state, name) for name in WorkflowState.__struct_fields__}
        return WorkflowState(**{**fields, "history": state.history or []})


class _StateOnTheWire(WorkflowState):
    """Other implementations write null for a history without events."""

    history: list[HistoryEvent] | None = msgspec.field(name="History", default=None)  # type: ignore[assignment]


class WorkflowFilter(msgspec.Struct, kw_only=True, frozen=True):
    """Which workflows to list: by status (empty: every one), at most `limit` (0 or less: all that there are).

    They come oldest first; `after` asks for what follows one of them.
    """

    status: str = msgspec.field(name="Status", default="")
    limit: int = msgspec.field(name="Limit", default=0)
    cursor: Any = msgspec.field(name="Cursor", default=msgspec.UNSET)

    def after(self, state: WorkflowState) -> WorkflowFilter:
        """The page that follows this workflow."""
        return msgspec.structs.replace(self, cursor=cursor_of(state))


def cursor_of(state: WorkflowState) -> str:
    """Where a workflow stands in a list; texts in the order of the list."""
    created_at = state.created_at.astimezone(UTC) if state.created_at != ZERO_TIME else ZERO_TIME
    return f"{created_at:%Y-%m-%dT%H:%M:%S.%f}".rjust(26, "0") + f" {state.workflow_id}"


class WorkflowOptions(msgspec.Struct, kw_only=True, frozen=True):
    """How a workflow is started. Without an `id` it gets one; `timeout` is a timedelta or seconds, None no limit."""

    id: str = ""
    input: Any = None
    timeout: timedelta | float | None = None


class Signal(msgspec.Struct, frozen=True):
    """A message to a running workflow."""

    name: str = msgspec.field(name="Name", default="")
    payload: Any = msgspec.field(name="Payload", default=None)
    sent_at: Time = msgspec.field(name="SentAt", default=ZERO_TIME)
    sender_id: str = msgspec.field(name="SenderID", default="")
