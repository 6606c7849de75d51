"""What goes in beside records, and what comes out beside events.

Commands are what a workflow's code asked for in one activation. `Due` says that the clock reached something. Effects
are what the owner must do once the events are durable (an inline activity may start before: running is at least once).
"""

from __future__ import annotations

import msgspec

from weft.records import FailureInfo, ParentClose, Payload, RetryPolicy

# Built thousands of times a second; a slotted struct costs a seventh of a frozen dataclass.


class ScheduleActivity(msgspec.Struct, frozen=True, gc=False):
    activity_id: int
    activity: str
    input: Payload
    queue: str
    inline: bool
    start_to_close_ms: int
    retry: RetryPolicy
    heartbeat_timeout_ms: int = 0
    schedule_to_start_ms: int = 0
    schedule_to_close_ms: int = 0


class CancelActivity(msgspec.Struct, frozen=True, gc=False):
    activity_id: int


class StartTimer(msgspec.Struct, frozen=True, gc=False):
    timer_id: int
    due_ms: int


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    timer_id: int


class ScheduleChild(msgspec.Struct, frozen=True, gc=False):
    """An empty `namespace` is the run's own, an empty `version` the parent's where there is one."""

    child_id: int
    workflow: str
    workflow_id: str
    input: Payload
    namespace: str
    timeout_ms: int
    retry: RetryPolicy
    parent_close: ParentClose
    version: str = ""


class CancelChild(msgspec.Struct, frozen=True, gc=False):
    child_id: int
    reason: str = ""


class SendSignal(msgspec.Struct, frozen=True, gc=False):
    """An empty `namespace` is the run's own; with `child_id`, only that child of the run may have it."""

    send_id: int
    workflow_id: str
    name: str
    payload: Payload
    namespace: str = ""
    child_id: int = 0


class RecordPatch(msgspec.Struct, frozen=True, gc=False):
    """The code takes the new way of this change."""

    patch_id: str


class PublishRecord(msgspec.Struct, frozen=True, gc=False):
    """A record for a topic of the user's. Its owner says which partition it goes to, or why it cannot."""

    publish_id: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    digest: str = ""
    partition: int = -1
    failure: FailureInfo | None = None


class CompleteUpdate(msgspec.Struct, frozen=True, gc=False):
    """The handler of an accepted update has returned."""

    update: str
    update_id: str
    result: Payload


class FailUpdate(msgspec.Struct, frozen=True, gc=False):
    """The handler of an accepted update has raised."""

    update: str
    update_id: str
    failure: FailureInfo


class CompleteWorkflow(msgspec.Struct, frozen=True, gc=False):
    result: Payload


class ContinueWorkflow(msgspec.Struct, frozen=True, gc=False):
    """The run is to go on as a new one. `cancel_requested`: the code has not seen a cancellation that was asked for."""

    input: Payload
    keep_signals: bool = True
    cancel_requested: bool = False


class FailWorkflow(msgspec.Struct, frozen=True, gc=False):
    failure: FailureInfo


class CancelWorkflowDone(msgspec.Struct, frozen=True, gc=False):
    """The code ended with CancelledError after a cancellation was asked for."""


Command = (
    ScheduleActivity
    | CancelActivity
    | StartTimer
    | CancelTimer
    | ScheduleChild
    | CancelChild
    | SendSignal
    | RecordPatch
    | PublishRecord
    | CompleteUpdate
    | FailUpdate
    | CompleteWorkflow
    | ContinueWorkflow
    | FailWorkflow
    | CancelWorkflowDone
)


def number_of(command: Command) -> int:
    """Of what was asked for to be brought out: no two commands of a run have the same. 0 for others."""
    if isinstance(command, ScheduleActivity):
        return command.activity_id
    if isinstance(command, ScheduleChild):
        return command.child_id
    return command.send_id if isinstance(command, SendSignal) else 0


class Due(msgspec.Struct, frozen=True, gc=False):
    """The clock reached the earliest thing that the run waits for."""


class LeaseExpired(msgspec.Struct, frozen=True, gc=False):
    """The worker that holds this attempt was not heard of for the time of its lease."""

    activity_id: int
    lease: str


class DispatchActivity(msgspec.Struct, frozen=True, gc=False):
    """Effect: bring this attempt to whoever runs it."""

    activity_id: int
    attempt: int
