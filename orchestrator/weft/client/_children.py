"""The children of a run, as its history tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from weft.records import (
    Caller,
    ChildCompleted,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildScheduled,
    ChildStarted,
    ChildStatus,
    Event,
    WorkflowStarted,
)


@dataclass(frozen=True, slots=True)
class ParentDescription:
    """The run that started this one as its child."""

    namespace: str
    workflow_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class ChildDescription:
    """A child of the run, as far as the run knows: what became of it after the run's own end, only it knows itself.

    `status` is `starting` until its owner has said that it runs, and `waiting` before it is run again; `due` is when
    that will be.
    """

    child_id: int
    workflow: str
    workflow_id: str
    namespace: str
    status: Literal["starting", "running", "waiting", "completed"] | ChildStatus
    run_id: str = ""
    attempt: int = 1
    attempts_max: int = 1
    due: datetime | None = None
    reason: str = ""
    """Of one that did not complete."""


def parent_of(events: Iterable[Event]) -> ParentDescription | None:
    """Of a child's run; None for what a client has started."""
    first = next(iter(events))
    assert isinstance(first, WorkflowStarted), "every history begins with it"
    return None if first.parent is None else _parent(first.parent)


def _parent(caller: Caller) -> ParentDescription:
    return ParentDescription(caller.namespace, caller.workflow_id, caller.run_id)


def children_of(events: Iterable[Event], namespace: str) -> tuple[ChildDescription, ...]:
    """All children that the run of `namespace` has asked for, in their order."""
    found: dict[int, ChildDescription] = {}
    for event in events:
        if isinstance(event, ChildScheduled):
            found[event.child_id] = ChildDescription(
                event.child_id,
                event.workflow,
                event.workflow_id,
                event.namespace or namespace,
                "starting",
                attempts_max=event.retry.max_attempts,
            )
        elif isinstance(
            event,
            ChildStarted | ChildCompleted | ChildFailed | ChildRetryScheduled | ChildRestarted,
        ):
            found[event.child_id] = _after(found[event.child_id], event)
    return tuple(found.values())


def _after(
    child: ChildDescription,
    event: ChildStarted | ChildCompleted | ChildFailed | ChildRetryScheduled | ChildRestarted,
) -> ChildDescription:
    match event:
        case ChildStarted():
            return replace(child, status="running", run_id=event.run_id)
        case ChildCompleted():
            return replace(child, status="completed", run_id=event.run_id)
        case ChildFailed():
            reason = f"{event.failure.type}: {event.failure.message}"
            return replace(child, status=event.status, run_id=event.run_id, reason=reason)
        case ChildRetryScheduled():
            due = datetime.fromtimestamp(event.due_ms / 1000, UTC)
            return replace(child, status="waiting", attempt=event.attempt + 1, due=due)
        case ChildRestarted():
            return replace(child, status="starting", run_id="", due=None)
