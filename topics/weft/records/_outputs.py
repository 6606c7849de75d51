"""What goes out: records on `ns.state`, `ns.owners`, `ns.tasks.<queue>`, `ns.events` and `ns.replies`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from weft.records._values import (
    DEFAULT_START_TO_CLOSE_MS,
    NULL,
    Caller,
    FailureInfo,
    Payload,
    Status,
)


class Head(msgspec.Struct, frozen=True, omit_defaults=True, tag="head", tag_field="kind"):
    """The state of a workflow's newest run: who it is, where it stands, and the tail of its history.

    Sealed history lies in `page_count` pages; the tail follows them. Everything else (open activities, timers, IDs
    seen) is derived from the history. `next_due_ms` is when its owner must look at it next; 0 is never.
    """

    run_id: str
    workflow: str
    status: Status
    created_ms: int
    updated_ms: int
    event_count: int
    version: str = ""
    request_id: str = ""
    parent: Caller | None = None
    """Of a child: the run that started it."""
    page_count: int = 0
    next_due_ms: int = 0
    reason: str = ""
    """Why it is blocked, or was cancelled or terminated."""
    custom_status: Payload = NULL
    """What the workflow's code last said of itself. No event: it follows from the history, and replay says it again."""
    tail: Payload = NULL
    """The events after the last page: a JSON array, oldest first."""
    v: Literal[1] = 1


class Page(msgspec.Struct, frozen=True, tag="page", tag_field="kind"):
    """A sealed stretch of a run's history; never changed, only deleted. `number` counts from 0."""

    run_id: str
    number: int
    first_event_id: int
    events: Payload
    v: Literal[1] = 1


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="kind"):
    """What an open activity last said of its progress, for its next attempt; deleted when the activity ends."""

    run_id: str
    activity_id: int
    details: Payload
    v: Literal[1] = 1


class Claim(msgspec.Struct, frozen=True, tag="claim", tag_field="kind"):
    """A new owner's mark on a state partition and in `ns.owners`: all earlier transactions are decided."""

    partition: int
    transactional_id: str
    instance_id: str
    nonce: str
    """Unique to this takeover, so that the new owner recognises its own claim."""
    time_ms: int
    partition_count: int = 0
    """How many partitions the namespace had for this owner; 0 is not known."""
    v: Literal[1] = 1


StateRecord = Head | Page | Progress | Claim


class ActivityTask(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One attempt of one activity, for whoever consumes the queue. The record's key is the workflow ID."""

    run_id: str
    activity_id: int
    attempt: int
    activity: str
    input: Payload
    workflow: str = ""
    start_to_close_ms: int = DEFAULT_START_TO_CLOSE_MS
    scheduled_ms: int = 0
    heartbeat_timeout_ms: int = 0
    """The most time between two heartbeats of its code; 0 is without limit."""
    schedule_to_start_ms: int = 0
    """With a limit on its time on the queue, its start is to be reported at once."""
    heartbeat_details: Payload = NULL
    """What a former attempt last gave to `activity.heartbeat`."""
    traceparent: str = ""
    """The span that its run was started in, as W3C Trace Context has it."""
    v: Literal[1] = 1


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """An owner's answer to one request, written after the commit that made it true.

    `outcome`: `accepted` (durable), `ended` (see `status`), `running` (still going, ask again), `conflict` (a start
    that must fail), `unknown` (no such workflow), `refused` (`reason` says why), `answered` (a query, or an update that
    is done: see `result`), `rejected` (an update that the code did not let pass: see `failure`), `failed` (an update
    that was taken up and failed: see `failure`); to the worker that holds an attempt: `cancelled` (nobody waits for it
    any more).
    """

    request: str
    outcome: Literal[
        "accepted",
        "ended",
        "running",
        "conflict",
        "unknown",
        "refused",
        "answered",
        "rejected",
        "failed",
        "cancelled",
    ]
    run_id: str = ""
    status: Status = "running"
    result: Payload = NULL
    failure: FailureInfo | None = None
    reason: str = ""
    v: Literal[1] = 1


class LifecycleEvent(msgspec.Struct, frozen=True, omit_defaults=False):
    """A CloudEvents 1.0 record (structured mode, JSON) for whoever follows workflows from outside."""

    id: str
    """Unique: run and event ID."""
    source: str
    """`/weft/<namespace>`"""
    type: str
    """`weft.workflow.started`, `weft.workflow.completed`, ..."""
    subject: str
    """The workflow ID."""
    time: str
    """RFC 3339, UTC."""
    data: dict[str, Any]
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"
