"""What comes in: records on `ns.signals`, `ns.results` and `ns.queries`.

`ns.signals` is open to everybody: a signal may be written by any Kafka client as `{"signal": name, "payload": ...,
"id": ...}` with the workflow ID as the record's key. `kind` is needed by everything else on that topic.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from weft.records._values import (
    NULL,
    UPDATE_NAME_LENGTH_MAX,
    FailureInfo,
    OnConflict,
    Payload,
    ReplyTo,
)

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=UPDATE_NAME_LENGTH_MAX)]


class _SignalsRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class StartWorkflow(_SignalsRecord, frozen=True, tag="start"):
    """Start `workflow` under the record's key. One `request_id` is one run, however often it is written."""

    workflow: str
    request_id: str
    input: Payload = NULL
    timeout_ms: int = 0
    on_conflict: OnConflict = "fail"
    reply_to: ReplyTo | None = None
    traceparent: str = ""
    """The span that it was started in, as W3C Trace Context has it."""
    version: str = ""
    """The version of its code that it must have; without one it gets the newest."""
    v: Literal[1] = 1


class SignalWorkflow(_SignalsRecord, frozen=True, tag="signal"):
    """An ordinary signal. `id`, when given, makes it at most once: a second one with the same ID is ignored."""

    signal: str
    payload: Payload = NULL
    id: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class UpdateWorkflow(_SignalsRecord, frozen=True, tag="update"):
    """Have the run's code check a value, take it up, and answer. One `id` is one update, however often it is written.

    A `reply_to` until `accepted` is answered when the code has taken it up, one until `ended` when it is done with it.
    """

    update: _Name
    id: _Name
    payload: Payload = NULL
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class CancelWorkflow(_SignalsRecord, frozen=True, tag="cancel"):
    """Ask the run to end: its code sees `CancelledError` and may clean up."""

    reason: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class TerminateWorkflow(_SignalsRecord, frozen=True, tag="terminate"):
    """End the run at once; its code sees nothing."""

    reason: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class PurgeWorkflow(_SignalsRecord, frozen=True, tag="purge"):
    """Delete an ended workflow: tombstones for its head and its pages. `run_id` guards against a newer run."""

    run_id: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class UnblockWorkflow(_SignalsRecord, frozen=True, tag="unblock"):
    """Try the code of a blocked run again, by replay. Refused when it is not blocked, or still does not fit."""

    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class SuspendWorkflow(_SignalsRecord, frozen=True, tag="suspend"):
    """Hold the run: its code is not driven, and what comes in is kept, until it is resumed."""

    reason: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class ResumeWorkflow(_SignalsRecord, frozen=True, tag="resume"):
    """Let a suspended run go on with what came meanwhile."""

    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class ResetWorkflow(_SignalsRecord, frozen=True, tag="reset"):
    """Let a next run go on from the first `to_event` events of run `run_id`, which gives way to it.

    Refused when `run_id` is not the newest run any more. One `request_id` is one reset, however often it is written.
    """

    run_id: str
    to_event: int
    request_id: _Name
    reason: str = ""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


SignalsRecord = (
    StartWorkflow
    | SignalWorkflow
    | UpdateWorkflow
    | CancelWorkflow
    | TerminateWorkflow
    | PurgeWorkflow
    | UnblockWorkflow
    | SuspendWorkflow
    | ResumeWorkflow
    | ResetWorkflow
)


class PlainSignal(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A signal as a plain Kafka producer writes it: `SignalWorkflow` without the `kind`."""

    signal: str
    payload: Payload = NULL
    id: str = ""
    v: Literal[1] = 1


class _ResultsRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    """Run, activity and attempt: what does not match an open attempt is dropped and counted."""

    run_id: str
    activity_id: int
    attempt: int


class AttemptCompleted(_ResultsRecord, frozen=True, tag="completed"):
    result: Payload = NULL
    v: Literal[1] = 1


class AttemptFailed(_ResultsRecord, frozen=True, tag="failed"):
    failure: FailureInfo
    heartbeat_details: Payload = NULL
    """The newest details of its code's heartbeats, when no heartbeat has brought them."""
    v: Literal[1] = 1


class AttemptStarted(_ResultsRecord, frozen=True, tag="started"):
    """Written only for an attempt that has been running for a while: its timeout counts from `started_ms`.

    With `lease_ms` the attempt is leased: heartbeats follow at least that often, and the task's offset is released. A
    lease that the owner does not grant is answered with `cancelled`.
    """

    started_ms: int
    lease_ms: int = 0
    lease: str = ""
    """The lease's ID, which nobody else has."""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class AttemptHeartbeat(_ResultsRecord, frozen=True, tag="heartbeat"):
    """The worker still holds the attempt. Answered with `cancelled` when nobody waits for it any more, else not."""

    lease: str = ""
    details: Payload = NULL
    """What the code last gave to `activity.heartbeat`; null says nothing new."""
    reply_to: ReplyTo | None = None
    v: Literal[1] = 1


class AttemptReleased(_ResultsRecord, frozen=True, tag="released"):
    """The worker stops and gives a leased attempt up unfinished: it need not be waited for."""

    lease: str = ""
    heartbeat_details: Payload = NULL
    v: Literal[1] = 1


class AttemptUnreadable(_ResultsRecord, frozen=True, tag="unreadable"):
    """The worker could not decode the input (it lacks a codec or a key), and has run nothing.

    The run is blocked; when it goes on, the attempt is brought out again.
    """

    reason: str
    v: Literal[1] = 1


AttemptResult = AttemptCompleted | AttemptFailed | AttemptUnreadable
"""What comes of an attempt at its end."""

ResultsRecord = (
    AttemptCompleted
    | AttemptFailed
    | AttemptStarted
    | AttemptHeartbeat
    | AttemptReleased
    | AttemptUnreadable
)


class _QueriesRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class AwaitResult(_QueriesRecord, frozen=True, tag="await"):
    """A client waits for the end of the workflow's newest run, or of `run_id`."""

    reply_to: ReplyTo
    run_id: str = ""
    v: Literal[1] = 1


class QueryWorkflow(_QueriesRecord, frozen=True, tag="query"):
    """Ask the code of the workflow's newest run, or of `run_id`, what its handler of that name tells."""

    query: str
    reply_to: ReplyTo
    payload: Payload = NULL
    run_id: str = ""
    v: Literal[1] = 1


class AwaitUpdate(_QueriesRecord, frozen=True, tag="await_update"):
    """A client waits for what comes of an update that was taken up, or is kept for a run that is held."""

    id: str
    reply_to: ReplyTo
    run_id: str = ""
    v: Literal[1] = 1


QueriesRecord = AwaitResult | QueryWorkflow | AwaitUpdate
