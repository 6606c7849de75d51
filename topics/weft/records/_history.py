"""History events: the ordered facts of one run, and all that a replay needs.

An event is written once and never changed. `event_id` counts from 1 without gaps. Three sorts follow one another in
every turn: an *activation* (what came in: a result, a signal, a timer), then the *commands* that the code answered
with, and, last of a run, one *ending*.
"""

from __future__ import annotations

import msgspec

from weft.records._values import (
    DEFAULT_RETRY,
    DEFAULT_START_TO_CLOSE_MS,
    NULL,
    ONE_ATTEMPT,
    Caller,
    ChildStatus,
    FailureInfo,
    ParentClose,
    Payload,
    RetryPolicy,
    RunTrace,
)


class HistoryEvent(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """Base of all events. `time_ms` is the owner's clock, in ms since the epoch."""

    event_id: int
    time_ms: int


# Activations: what happened to the run.


class WorkflowStarted(HistoryEvent, frozen=True):
    """Always the first event. `timeout_ms` is the time that the whole run has; 0 is without limit.

    Of a run that continues another one, that time goes on counting from the start of the chain's first run, and the
    first `carried_count` events after this one are signals that the former run has not taken: all of them are there
    before the code begins.
    """

    run_id: str
    workflow: str
    version: str = ""
    input: Payload = NULL
    timeout_ms: int = 0
    request_id: str = ""
    parent: Caller | None = None
    """Of a child: the run that started it."""
    continued_from: str = ""
    """The ID of the run that this one continues."""
    deadline_ms: int = 0
    """When the chain's time is over; 0 is not said."""
    carried_count: int = 0
    signal_ids: tuple[str, ...] = ()
    """Of the newest signals that former runs of the chain have received."""
    update_ids: tuple[str, ...] = ()
    """Of the newest updates that former runs have taken up."""
    custom_status: Payload = NULL
    """What the former run last said of itself."""
    traceparent: str = ""
    """The span that it was started in, as W3C Trace Context has it; of a child the span of its parent's run."""
    trace: RunTrace | None = None
    """Without such a span, the trace of the run that started it, or that it continues."""
    seed_run_id: str = ""
    """Of a run that was reset: the one whose ID the code's randomness followed from, up to the reset."""


class ActivityCompleted(HistoryEvent, frozen=True):
    activity_id: int
    activity: str
    attempt: int
    result: Payload = NULL


class ActivityFailed(HistoryEvent, frozen=True):
    """The last attempt failed; the workflow sees it."""

    activity_id: int
    activity: str
    attempt: int
    failure: FailureInfo


class TimerFired(HistoryEvent, frozen=True):
    timer_id: int


class SignalReceived(HistoryEvent, frozen=True):
    name: str
    payload: Payload = NULL
    signal_id: str = ""


class UpdateAccepted(HistoryEvent, frozen=True):
    """The code's validator has let the value pass; its handler begins."""

    update: str
    update_id: str
    payload: Payload = NULL


class CancelRequested(HistoryEvent, frozen=True):
    reason: str = ""


class ChildStarted(HistoryEvent, frozen=True):
    """The child's owner has begun run `run_id`."""

    child_id: int
    attempt: int
    run_id: str


class ChildCompleted(HistoryEvent, frozen=True):
    child_id: int
    workflow: str
    run_id: str
    attempt: int
    result: Payload = NULL


class ChildFailed(HistoryEvent, frozen=True):
    """The child's last run ended without a result, or there was none: `run_id` is empty then."""

    child_id: int
    workflow: str
    run_id: str
    attempt: int
    status: ChildStatus
    failure: FailureInfo


class SignalDelivered(HistoryEvent, frozen=True):
    """What became of the signal that this run sent: the other run has it, or `problem` says why it has not."""

    send_id: int
    problem: str = ""


# What the owner notes about an activity between its scheduling and its end; the workflow's code sees nothing of it.


class ActivityStarted(HistoryEvent, frozen=True):
    """A worker reports that it has been running this attempt for a while; from here its timeout counts.

    With `lease_ms` the worker holds it under a lease: it sends a heartbeat at least that often, or loses the attempt.
    """

    activity_id: int
    attempt: int
    started_ms: int
    lease_ms: int = 0
    lease: str = ""
    """The lease's ID: no other worker's heartbeats keep it."""


class ActivityLost(HistoryEvent, frozen=True):
    """The worker that held attempt `attempt` gave it up or fell silent; the next attempt is on the task queue."""

    activity_id: int
    attempt: int
    reason: str = ""


class ActivityRetryScheduled(HistoryEvent, frozen=True):
    """Attempt `attempt` failed; the next one is due at `due_ms`, jitter included."""

    activity_id: int
    activity: str
    attempt: int
    due_ms: int
    failure: FailureInfo


class ActivityDispatched(HistoryEvent, frozen=True):
    """Attempt `attempt` is on the task queue: a retry's waiting time is over, or a worker could not read it before."""

    activity_id: int
    attempt: int


# What the owner notes about a child between its start and its end.


class ChildRetryScheduled(HistoryEvent, frozen=True):
    """Run `attempt` of the child did not complete; the next one is due at `due_ms`, jitter included."""

    child_id: int
    workflow: str
    attempt: int
    due_ms: int
    status: ChildStatus
    failure: FailureInfo


class ChildRestarted(HistoryEvent, frozen=True):
    """A retry's waiting time is over: run `attempt` of the child is on its way."""

    child_id: int
    attempt: int


# Commands: what the workflow's code asked for.


class ActivityScheduled(HistoryEvent, frozen=True):
    """`activity_id` counts the run's commands; `start_to_close_ms` bounds each attempt. 0 is without limit."""

    activity_id: int
    activity: str
    input: Payload
    queue: str = "default"
    inline: bool = False
    start_to_close_ms: int = DEFAULT_START_TO_CLOSE_MS
    retry: RetryPolicy = DEFAULT_RETRY
    heartbeat_timeout_ms: int = 0
    """Bounds the time between two heartbeats of an attempt's code."""
    schedule_to_start_ms: int = 0
    """Bounds the time of each attempt on the task queue."""
    schedule_to_close_ms: int = 0
    """Bounds all attempts together, with the pauses between them."""


class ActivityCancelled(HistoryEvent, frozen=True):
    """The code no longer waits for it: a late result is dropped."""

    activity_id: int


class TimerStarted(HistoryEvent, frozen=True):
    timer_id: int
    due_ms: int


class TimerCancelled(HistoryEvent, frozen=True):
    timer_id: int


class ChildScheduled(HistoryEvent, frozen=True):
    """`child_id` counts the run's commands; an empty `namespace` is the run's own. `timeout_ms` bounds each run."""

    child_id: int
    workflow: str
    workflow_id: str
    input: Payload = NULL
    namespace: str = ""
    timeout_ms: int = 0
    retry: RetryPolicy = ONE_ATTEMPT
    parent_close: ParentClose = "terminate"
    version: str = ""
    """The version of its code that is wanted; empty is the parent's, where the child's workers have that."""


class ChildCancelRequested(HistoryEvent, frozen=True):
    """The code asked the child to end; it stays open until it has."""

    child_id: int
    reason: str = ""


class SignalSent(HistoryEvent, frozen=True):
    """A signal to another workflow; an empty `namespace` is the run's own."""

    send_id: int
    workflow_id: str
    name: str
    payload: Payload = NULL
    namespace: str = ""
    child_id: int = 0
    """With a number, only that child of this run may have it."""


class UpdateCompleted(HistoryEvent, frozen=True):
    """The handler of an accepted update has returned: this is its answer."""

    update: str
    update_id: str
    result: Payload = NULL


class UpdateFailed(HistoryEvent, frozen=True):
    """The handler of an accepted update has raised. The run goes on."""

    update: str
    update_id: str
    failure: FailureInfo


class WorkflowPatched(HistoryEvent, frozen=True):
    """The code takes the new way of the change `patch_id`: its first `ctx.patched(patch_id)` was live, not a replay's.

    Once a patch and run. No replay needs the code to ask for it again: what the patch changed is compared, not this.
    """

    patch_id: str


class RecordPublished(HistoryEvent, frozen=True):
    """A record of the code's own: on that topic since this event is on the log, in the same transaction.

    The record itself is not kept here. With a `failure` it was refused instead, and the code was told why.
    """

    publish_id: int
    topic: str
    partition: int = -1
    digest: str = ""
    """Of key, value and headers: equal ones are equal records."""
    failure: FailureInfo | None = None


# Endings: the last event of a run.


class WorkflowCompleted(HistoryEvent, frozen=True):
    result: Payload = NULL


class WorkflowFailed(HistoryEvent, frozen=True):
    failure: FailureInfo


class WorkflowCancelled(HistoryEvent, frozen=True):
    reason: str = ""


class WorkflowTerminated(HistoryEvent, frozen=True):
    reason: str = ""


class WorkflowTimedOut(HistoryEvent, frozen=True):
    timeout_ms: int


class WorkflowContinued(HistoryEvent, frozen=True):
    """The code asked to go on as a new run, which begins in the same transaction, with this input."""

    next_run_id: str
    input: Payload = NULL
    keep_signals: bool = True
    """Whether signals that were not taken go on to the next run."""
    cancel_requested: bool = False
    """A cancellation was asked for that the code has not seen: it goes on to the next run too."""


# A blocked run: its code cannot be driven, so what comes in is kept as it came.


class WorkflowBlocked(HistoryEvent, frozen=True):
    """The code does not match the history, is unknown here, or broke the engine. `reason` says which, and where."""

    reason: str


class RecordDeferred(HistoryEvent, frozen=True):
    """A record that came while the run was blocked or suspended, as its JSON; it is taken up when the run continues."""

    source: str
    """`signals`, `results` or `messages`: which kind of record it is."""
    record: Payload


class WorkflowUnblocked(HistoryEvent, frozen=True):
    """A worker with fitting code took the run up again; the deferred records follow as ordinary events.

    With a `version`, of which the run is from now on: it had none, and its code had not begun.
    """

    version: str = ""


# A suspended run: an operator holds it, so what comes in is kept as well.


class WorkflowSuspended(HistoryEvent, frozen=True):
    """Its code is not driven and its timers do not fire until it is resumed; `reason` is the operator's."""

    reason: str = ""


class WorkflowResumed(HistoryEvent, frozen=True):
    """An operator let the run go on; the deferred records follow as ordinary events."""


class WorkflowReset(HistoryEvent, frozen=True):
    """An operator let the run go on from here: the events before this one are those of run `from_run_id`.

    Activities that are open here are brought out anew, for run `run_id`. What that run is told again follows.
    """

    run_id: str
    from_run_id: str
    to_event: int
    """As it was asked for. Where this event answered the code, it is told again after the reset."""
    request_id: str
    reason: str = ""


Event = (
    WorkflowStarted
    | ActivityScheduled
    | ActivityCompleted
    | ActivityFailed
    | ActivityStarted
    | ActivityLost
    | ActivityRetryScheduled
    | ActivityDispatched
    | ActivityCancelled
    | TimerStarted
    | TimerFired
    | TimerCancelled
    | ChildScheduled
    | ChildStarted
    | ChildCompleted
    | ChildFailed
    | ChildRetryScheduled
    | ChildRestarted
    | ChildCancelRequested
    | SignalSent
    | SignalDelivered
    | WorkflowPatched
    | RecordPublished
    | SignalReceived
    | UpdateAccepted
    | UpdateCompleted
    | UpdateFailed
    | CancelRequested
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowTerminated
    | WorkflowTimedOut
    | WorkflowContinued
    | WorkflowBlocked
    | RecordDeferred
    | WorkflowUnblocked
    | WorkflowSuspended
    | WorkflowResumed
    | WorkflowReset
)

COMMANDS = (
    ActivityScheduled,
    ActivityCancelled,
    TimerStarted,
    TimerCancelled,
    ChildScheduled,
    ChildCancelRequested,
    SignalSent,
    RecordPublished,
    UpdateCompleted,
    UpdateFailed,
)
"""Those that a replay compares: no mark of a patch."""
ENDINGS = (
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowContinued,
)
