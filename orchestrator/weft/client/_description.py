"""What a workflow looks like from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weft.client._children import ChildDescription, ParentDescription, children_of, parent_of
from weft.client._open_updates import UpdateDescription, open_updates
from weft.client._state import HeadFields
from weft.codec import decode_payload
from weft.core import OpenActivity, rebuild
from weft.records import Event, FailureInfo, Head, Payload, Status, WorkflowStarted, run_number


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """One line of a list: the newest run of a workflow. Times are UTC."""

    workflow_id: str
    run_id: str
    workflow: str
    version: str
    status: Status
    created: datetime
    updated: datetime
    event_count: int
    reason: str
    """Why it is blocked, or was cancelled or terminated."""
    custom_status: Any
    """What its code last gave to `ctx.set_status`."""


@dataclass(frozen=True, slots=True)
class ActivityDescription:
    """An activity that the run waits for.

    With `waiting` this attempt is not on its task queue yet and `due` is when it will be; otherwise `due` is when the
    attempt times out, None as long as no worker has said that it began.
    """

    activity_id: int
    activity: str
    queue: str
    attempt: int
    attempts_max: int
    waiting: bool
    due: datetime | None


@dataclass(frozen=True, slots=True)
class TimerDescription:
    """A timer that the run waits for."""

    timer_id: int
    due: datetime


@dataclass(frozen=True, slots=True)
class WorkflowDescription:
    """The newest run of a workflow as its history tells it. Values are JSON; times are UTC."""

    workflow_id: str
    run_id: str
    workflow: str
    version: str
    status: Status
    created: datetime
    updated: datetime
    deadline: datetime | None
    """When the whole run times out."""
    event_count: int
    reason: str
    """Why it is blocked, or was cancelled or terminated."""
    custom_status: Any
    """What its code last gave to `ctx.set_status`."""
    input: Any
    result: Any
    """Of a completed run."""
    failure: FailureInfo | None
    """Of a failed run."""
    activities: tuple[ActivityDescription, ...]
    timers: tuple[TimerDescription, ...]
    children: tuple[ChildDescription, ...]
    """All that it has asked for, whatever became of them."""
    updates: tuple[UpdateDescription, ...]
    """In flight."""
    parent: ParentDescription | None
    """Of a child: the run that started it."""
    continued_from: str
    """The ID of the run that this one continues; empty for none."""
    run_number: int
    """Its place among the runs that continue one another; the first is 1."""
    patches: tuple[str, ...]
    """Changes of its code whose new way it takes: what `ctx.patched` recorded."""


def history_document(workflow_id: str, run_id: str, events: Sequence[Event]) -> dict[str, Any]:
    """What a file of a history holds: `weft history --download` writes it, `weft replay` reads it."""
    return {"workflow_id": workflow_id, "run_id": run_id, "events": events}


def summarize(workflow_id: str, fields: HeadFields, custom_status: Payload) -> WorkflowSummary:
    """`custom_status`: decoded, where it was encoded and that can be done."""
    return WorkflowSummary(
        workflow_id=workflow_id,
        run_id=fields.run_id,
        workflow=fields.workflow,
        version=fields.version,
        status=fields.status,
        created=_time(fields.created_ms),
        updated=_time(fields.updated_ms),
        event_count=fields.event_count,
        reason=fields.reason,
        custom_status=decode_payload(custom_status),
    )


def describe(
    workflow_id: str, head: Head, events: Sequence[Event], namespace: str, custom_status: Payload
) -> WorkflowDescription:
    """The run that these events tell of. Raises InvariantViolation when they do not follow one another."""
    run = rebuild(workflow_id, events)
    started = events[0]
    assert isinstance(started, WorkflowStarted), "every history begins with it"
    return WorkflowDescription(
        workflow_id=workflow_id,
        run_id=head.run_id,
        workflow=head.workflow,
        version=head.version,
        status=head.status,
        created=_time(head.created_ms),
        updated=_time(head.updated_ms),
        deadline=_time(run.deadline_ms) if run.deadline_ms else None,
        event_count=head.event_count,
        reason=head.reason,
        custom_status=decode_payload(custom_status),
        input=decode_payload(started.input),
        result=decode_payload(run.result),
        failure=run.failure,
        activities=tuple(_activity(activity) for activity in run.activities.values()),
        timers=tuple(
            TimerDescription(timer_id, _time(due_ms))
            for timer_id, due_ms in sorted(run.timers.items(), key=lambda timer: timer[1])
        ),
        children=children_of(events, namespace),
        updates=open_updates(events),
        parent=parent_of(events),
        continued_from=started.continued_from,
        run_number=run_number(head.run_id),
        patches=tuple(run.patches),
    )


def _activity(activity: OpenActivity) -> ActivityDescription:
    return ActivityDescription(
        activity_id=activity.activity_id,
        activity=activity.name,
        queue=activity.queue,
        attempt=activity.attempt,
        attempts_max=activity.retry.max_attempts,
        waiting=activity.waiting,
        due=_time(activity.due_ms) if activity.due_ms else None,
    )


def _time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
