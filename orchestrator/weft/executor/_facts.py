"""What happened to a run, for those who look on: told once, when it is durable, and never in a replay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from weft.activity import to_activity_error
from weft.codec import decode_payload
from weft.core import Run
from weft.errors import Failure
from weft.executor._hooks import Hooks
from weft.executor._types import Signal
from weft.records import (
    ActivityCancelled,
    ActivityCompleted,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityScheduled,
    HistoryEvent,
    RunTrace,
    SignalReceived,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)

logger = logging.getLogger("weft.executor")


class Fact(msgspec.Struct, frozen=True):
    """An event, with what its run held of it just before.

    Of an activity: how often it may be tried, when it was asked for, and when this attempt of it began (ms since the
    epoch). Of the run: who it is, when it began, in which span (a W3C `traceparent`), and otherwise in whose trace.
    """

    workflow_id: str
    run_id: str
    workflow: str
    event: HistoryEvent
    created_ms: int = 0
    traceparent: str = ""
    activity: str = ""
    attempt: int = 0
    max_attempts: int = 1
    scheduled_ms: int = 0
    attempt_ms: int = 0
    trace: RunTrace | None = None


class Observer(Protocol):
    """Is told of everything that happens to the workflows of an executor or a worker."""

    def tell(self, facts: Sequence[Fact]) -> None:
        """In their order, once each. What it raises is logged. It must be quick: workflows are served in its thread."""


_OF_ACTIVITIES = (
    ActivityCancelled,
    ActivityCompleted,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
)


def fact_of(run: Run, event: HistoryEvent) -> Fact:
    """To be taken before the event is folded into the run."""
    if isinstance(event, WorkflowStarted):
        return Fact(
            run.workflow_id,
            event.run_id,
            event.workflow,
            event,
            event.time_ms,
            event.traceparent,
            trace=event.trace,
        )
    activity = None
    if isinstance(event, _OF_ACTIVITIES):
        activity = run.activities.get(event.activity_id)
    if activity is None:
        return Fact(
            run.workflow_id,
            run.run_id,
            run.workflow,
            event,
            run.created_ms,
            run.traceparent,
            trace=run.trace,
        )
    return Fact(
        run.workflow_id,
        run.run_id,
        run.workflow,
        event,
        run.created_ms,
        run.traceparent,
        activity.name,
        activity.attempt,
        activity.retry.max_attempts,
        activity.scheduled_ms,
        activity.started_ms or activity.attempt_ms,
        run.trace,
    )


def note(facts: list[Fact], run: Run, event: HistoryEvent) -> None:
    """Add an event that is about to be folded into the run. A signal that a former run has received is no news."""
    if not (isinstance(event, SignalReceived) and event.event_id <= 1 + run.carried_count):
        facts.append(fact_of(run, event))


def tell_all(observers: Sequence[Observer], facts: Sequence[Fact]) -> None:
    """Whoever raises is logged, and the others are told all the same."""
    for observer in observers if facts else ():
        try:
            observer.tell(facts)
        except Exception:
            logger.exception("%s could not take what happened", type(observer).__name__)


class HookObserver:
    """Calls hooks with what they are for."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def tell(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            tell = _CALLS.get(type(fact.event))
            if tell is not None:
                tell(self._hooks, fact, fact.event)


def _started(hooks: Hooks, fact: Fact, event: WorkflowStarted) -> None:
    hooks.call("on_workflow_start", fact.workflow_id, decode_payload(event.input))


def _completed(hooks: Hooks, fact: Fact, event: WorkflowCompleted) -> None:
    hooks.call("on_workflow_complete", fact.workflow_id, decode_payload(event.result))


def _failed(hooks: Hooks, fact: Fact, event: WorkflowFailed) -> None:
    failure = event.failure
    error = Failure(failure.message or failure.type, type=failure.type)
    hooks.call("on_workflow_fail", fact.workflow_id, error)


def _timed_out(hooks: Hooks, fact: Fact, event: WorkflowTimedOut) -> None:
    error = TimeoutError(f"not done within {event.timeout_ms} ms")
    hooks.call("on_workflow_fail", fact.workflow_id, error)


def _cancelled(hooks: Hooks, fact: Fact, event: WorkflowCancelled | WorkflowTerminated) -> None:
    hooks.call("on_workflow_cancel", fact.workflow_id, event.reason)


def _activity_started(hooks: Hooks, fact: Fact, event: ActivityScheduled) -> None:
    hooks.call("on_activity_start", fact.workflow_id, input_of(event))


def _activity_completed(hooks: Hooks, fact: Fact, event: ActivityCompleted) -> None:
    hooks.call("on_activity_complete", fact.workflow_id, decode_payload(event.result))


def _attempt_failed(hooks: Hooks, fact: Fact, event: ActivityRetryScheduled) -> None:
    hooks.call("on_retry", fact.workflow_id, error_of(event))


def _activity_failed(hooks: Hooks, fact: Fact, event: ActivityFailed) -> None:
    error = error_of(event)
    if fact.max_attempts > 1:
        hooks.call("on_retry", fact.workflow_id, error)
    hooks.call("on_activity_fail", fact.workflow_id, error)


def _signal(hooks: Hooks, fact: Fact, event: SignalReceived) -> None:
    hooks.call("on_signal", fact.workflow_id, Signal(event.name, decode_payload(event.payload)))


def error_of(event: ActivityFailed | ActivityRetryScheduled) -> Failure:
    return to_activity_error(event.failure, activity=event.activity, attempts=event.attempt)


def input_of(event: ActivityScheduled) -> Any:
    """The argument of an activity that takes one, else the list of them."""
    args = decode_payload(event.input)
    return args[0] if isinstance(args, list) and len(args) == 1 else args


_CALLS: dict[type[HistoryEvent], Callable[[Hooks, Fact, Any], None]] = {
    WorkflowStarted: _started,
    WorkflowCompleted: _completed,
    WorkflowFailed: _failed,
    WorkflowTimedOut: _timed_out,
    WorkflowCancelled: _cancelled,
    WorkflowTerminated: _cancelled,
    ActivityScheduled: _activity_started,
    ActivityCompleted: _activity_completed,
    ActivityRetryScheduled: _attempt_failed,
    ActivityFailed: _activity_failed,
    SignalReceived: _signal,
}
