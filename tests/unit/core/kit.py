"""Histories by hand: events without their IDs, which follow from their order."""

from __future__ import annotations

from typing import Any

import msgspec

from weft.codec import encode_payload
from weft.core import Decision, Input, Run, apply, decide, rebuild
from weft.records import (
    ActivityDispatched,
    ActivityRetryScheduled,
    ActivityScheduled,
    ActivityStarted,
    CancelRequested,
    FailureInfo,
    HistoryEvent,
    Payload,
    RetryPolicy,
    SignalReceived,
    TimerStarted,
    WorkflowStarted,
)

NOW_MS = 1_000_000
RUN_ID = "run-1"
BLIP = FailureInfo("ConnectionError", "broken pipe")


def started(*, timeout_ms: int = 0, **fields: Any) -> WorkflowStarted:
    return WorkflowStarted(0, NOW_MS, RUN_ID, "fulfil", timeout_ms=timeout_ms, **fields)


def scheduled(activity_id: int = 1, activity: str = "charge", **fields: Any) -> ActivityScheduled:
    return ActivityScheduled(0, NOW_MS, activity_id, activity, payload([7]), **fields)


def retry_scheduled(attempt: int = 1, *, due_ms: int = NOW_MS + 100) -> ActivityRetryScheduled:
    return ActivityRetryScheduled(0, NOW_MS, 1, "charge", attempt, due_ms, BLIP)


def dispatched(attempt: int = 2) -> ActivityDispatched:
    return ActivityDispatched(0, NOW_MS + 100, 1, attempt)


def attempt_started(attempt: int = 1, *, started_ms: int = NOW_MS) -> ActivityStarted:
    return ActivityStarted(0, NOW_MS, 1, attempt, started_ms)


def timer(timer_id: int, due_ms: int) -> TimerStarted:
    return TimerStarted(0, NOW_MS, timer_id, due_ms)


def signal(name: str = "approval", *, signal_id: str = "") -> SignalReceived:
    return SignalReceived(0, NOW_MS, name, payload(None), signal_id)


def cancel_requested(reason: str = "") -> CancelRequested:
    return CancelRequested(0, NOW_MS, reason)


def once() -> RetryPolicy:
    """A policy without a second attempt."""
    return RetryPolicy(max_attempts=1)


def payload(value: object) -> Payload:
    return encode_payload(value)


def numbered(*events: HistoryEvent, first_id: int = 1) -> list[HistoryEvent]:
    return [
        msgspec.structs.replace(event, event_id=first_id + index)
        for index, event in enumerate(events)
    ]


def run_of(*events: HistoryEvent) -> Run:
    """A run whose history is a start and these events."""
    first = events[0] if events and isinstance(events[0], WorkflowStarted) else None
    history = events if first is not None else (started(), *events)
    return rebuild("order-42", numbered(*history))


def fold(run: Run, *events: HistoryEvent) -> Run:
    """Further events of a run, numbered on."""
    for event in numbered(*events, first_id=run.last_event_id + 1):
        apply(run, event)
    return run


def decided(run: Run, record: Input, *, now_ms: int = NOW_MS, draw: float = 0.5) -> Decision:
    return decide(run, record, now_ms=now_ms, draw=draw)


def taken(
    run: Run, record: Input, *, now_ms: int = NOW_MS, draw: float = 0.5
) -> list[HistoryEvent]:
    """Decide and fold; returns the events without their IDs."""
    decision = decide(run, record, now_ms=now_ms, draw=draw)
    for event in decision.events:
        apply(run, event)
    return [msgspec.structs.replace(event, event_id=0) for event in decision.events]
