"""A run's events as a store keeps them: the contract's history for whoever reads it, and the rest for replay.

What users brought in and got out stands in the history alone; the executor's bookkeeping beside it (`Engine`) has
every event without that. Together they give every event back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from weft.codec import MalformedError, decode_events, decode_payload, encode, encode_payload
from weft.core import Run
from weft.executor._errors import StoreError
from weft.executor._facts import input_of
from weft.executor._types import EventType, HistoryEvent, WorkflowState, WorkflowStatus
from weft.records import (
    NULL,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    Event,
    FailureInfo,
    Payload,
    SignalReceived,
    Status,
    TimerFired,
    TimerStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.records import HistoryEvent as EngineEvent

_FORMAT = 1
_MS_IN_NS = 1_000_000
_STATUSES: dict[Status, WorkflowStatus] = {
    "completed": WorkflowStatus.COMPLETED,
    "failed": WorkflowStatus.FAILED,
    "timed_out": WorkflowStatus.FAILED,
    "cancelled": WorkflowStatus.CANCELED,
    "terminated": WorkflowStatus.CANCELED,
}


def status_of(status: Status) -> WorkflowStatus:
    """The contract's word for how a run stands."""
    return _STATUSES.get(status, WorkflowStatus.RUNNING)


def time_of(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


class RunHistory:
    """The events of one run, in every form that is needed of them."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.events: list[Any] = []
        self._shown: list[HistoryEvent] = []
        self._bookkeeping: list[Any] = []
        self._timers: dict[int, int] = {}
        """When each timer that has not fired was started, by its number."""

    def append(self, event: EngineEvent) -> None:
        self.events.append(event)
        if isinstance(event, TimerStarted):
            self._timers[event.timer_id] = event.time_ms
        form = _FORMS.get(type(event))
        if form is None:
            self._bookkeeping.append(_plain(event))
            return
        shown = form.show(event, self)
        shown.id = len(self._shown) + 1
        shown.timestamp = time_of(event.time_ms)
        self._shown.append(shown)
        self._bookkeeping.append(_plain(form.without_payload(event)))

    def timer_ns(self, fired: TimerFired) -> int:
        return (fired.time_ms - self._timers.pop(fired.timer_id, fired.time_ms)) * _MS_IN_NS

    def state(self, run: Run) -> WorkflowState:
        """What a store is to keep now."""
        first, last = self._shown[0], self._shown[-1]
        status = status_of(run.status)
        return WorkflowState(
            workflow_id=self.workflow_id,
            run_id=run.run_id,
            status=status,
            input=first.input,
            result=last.result if status == WorkflowStatus.COMPLETED else None,
            error=last.error if status not in {"running", "completed"} else "",
            history=list(self._shown),
            created_at=time_of(run.created_ms),
            updated_at=time_of(run.updated_ms),
            engine={"v": _FORMAT, "events": list(self._bookkeeping)},
        )


def read_events(state: WorkflowState) -> list[Event]:
    """Every event of a stored run. Raises StoreError when the store has not kept them whole."""
    where = f"workflow/recover: {state.workflow_id}"
    engine = state.engine
    if not isinstance(engine, dict) or engine.get("v") != _FORMAT:
        raise StoreError(f"{where}: its state has no bookkeeping of this executor's (key Engine)")
    try:
        events = decode_events(encode(engine["events"]))
    except (MalformedError, KeyError, TypeError) as error:
        raise StoreError(f"{where}: its bookkeeping cannot be read: {error}") from error
    shown = iter(state.history)
    whole: list[Event] = []
    for event in events:
        form = _FORMS.get(type(event))
        if form is None:
            whole.append(event)
            continue
        fact = next(shown, None)
        if fact is None or fact.type != form.type:
            raise StoreError(f"{where}: its history does not fit its bookkeeping at {event}")
        whole.append(form.with_payload(event, fact))
    return whole


def _plain(event: EngineEvent) -> Any:
    return msgspec.json.decode(encode(event))


def error_text(failure: FailureInfo) -> str:
    return failure.message or failure.type


class _Form(NamedTuple):
    """How one kind of event stands in the history. `field` is the payload that only stands there."""

    type: EventType
    show: Callable[[Any, RunHistory], HistoryEvent]
    field: str = ""
    shown_field: str = ""

    def without_payload(self, event: Any) -> Any:
        if not self.field:
            return event
        payload = NULL
        if isinstance(event, ActivityScheduled):
            # Several arguments stand as a list; one that stands alone may be a list too.
            payload = encode_payload(len(decode_payload(event.input)))
        return msgspec.structs.replace(event, **{self.field: payload})

    def with_payload(self, event: Any, fact: HistoryEvent) -> Any:
        if not self.field:
            return event
        value = getattr(fact, self.shown_field)
        if isinstance(event, ActivityScheduled) and decode_payload(event.input) == 1:
            value = [value]
        return msgspec.structs.replace(event, **{self.field: Payload(encode_payload(value))})


def _event(type: EventType, **fields: Any) -> HistoryEvent:
    return HistoryEvent(type=type, **fields)


_FORMS: dict[type[EngineEvent], _Form] = {
    WorkflowStarted: _Form(
        EventType.WORKFLOW_STARTED,
        lambda event, _: _event(EventType.WORKFLOW_STARTED, input=decode_payload(event.input)),
        "input",
        "input",
    ),
    ActivityScheduled: _Form(
        EventType.ACTIVITY_STARTED,
        lambda event, _: _event(
            EventType.ACTIVITY_STARTED, activity_name=event.activity, input=input_of(event)
        ),
        "input",
        "input",
    ),
    ActivityCompleted: _Form(
        EventType.ACTIVITY_COMPLETED,
        lambda event, _: _event(
            EventType.ACTIVITY_COMPLETED,
            activity_name=event.activity,
            result=decode_payload(event.result),
        ),
        "result",
        "result",
    ),
    ActivityFailed: _Form(
        EventType.ACTIVITY_FAILED,
        lambda event, _: _event(
            EventType.ACTIVITY_FAILED,
            activity_name=event.activity,
            error=error_text(event.failure),
        ),
    ),
    SignalReceived: _Form(
        EventType.SIGNAL_RECEIVED,
        lambda event, _: _event(
            EventType.SIGNAL_RECEIVED,
            signal_name=event.name,
            signal_payload=decode_payload(event.payload),
        ),
        "payload",
        "signal_payload",
    ),
    TimerFired: _Form(
        EventType.TIMER_FIRED,
        lambda event, history: _event(EventType.TIMER_FIRED, duration_ns=history.timer_ns(event)),
    ),
    WorkflowCompleted: _Form(
        EventType.WORKFLOW_COMPLETED,
        lambda event, _: _event(EventType.WORKFLOW_COMPLETED, result=decode_payload(event.result)),
        "result",
        "result",
    ),
    WorkflowFailed: _Form(
        EventType.WORKFLOW_FAILED,
        lambda event, _: _event(EventType.WORKFLOW_FAILED, error=error_text(event.failure)),
    ),
    WorkflowTimedOut: _Form(
        EventType.WORKFLOW_FAILED,
        lambda event, _: _event(
            EventType.WORKFLOW_FAILED, error=f"not done within {event.timeout_ms} ms"
        ),
    ),
    WorkflowCancelled: _Form(
        EventType.WORKFLOW_CANCELED,
        lambda event, _: _event(
            EventType.WORKFLOW_CANCELED, error=event.reason or "the workflow was cancelled"
        ),
    ),
    WorkflowTerminated: _Form(
        EventType.WORKFLOW_CANCELED,
        lambda event, _: _event(
            EventType.WORKFLOW_CANCELED, error=event.reason or "the workflow was terminated"
        ),
    ),
}
