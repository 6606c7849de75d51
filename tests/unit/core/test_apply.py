"""Folding events into a run."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.unit.core.kit import (
    BLIP,
    NOW_MS,
    attempt_started,
    cancel_requested,
    dispatched,
    fold,
    payload,
    retry_scheduled,
    run_of,
    scheduled,
    signal,
    started,
    timer,
)
from weft.core import OpenActivity, Run, apply, next_due_ms, rebuild
from weft.core._apply import _FOLDS
from weft.errors import InvariantViolation
from weft.records import (
    ENDINGS,
    ActivityCancelled,
    ActivityCompleted,
    ActivityFailed,
    Event,
    HistoryEvent,
    RecordDeferred,
    RetryPolicy,
    TimerCancelled,
    TimerFired,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowUnblocked,
)

ENDED_RUNS = [
    (WorkflowCompleted(0, NOW_MS, payload(5)), "completed", ""),
    (WorkflowFailed(0, NOW_MS, BLIP), "failed", "ConnectionError: broken pipe"),
    (WorkflowCancelled(0, NOW_MS, "enough"), "cancelled", "enough"),
    (WorkflowTerminated(0, NOW_MS, "stop"), "terminated", "stop"),
    (WorkflowTimedOut(0, NOW_MS, 500), "timed_out", "not done within 500 ms"),
    (WorkflowContinued(0, NOW_MS, "run-1.2", payload(5)), "continued", ""),
]


def test_every_event_has_its_fold() -> None:
    assert set(_FOLDS) == set(get_args(Event))


def test_start_gives_the_run_its_identity() -> None:
    run = rebuild(
        "order-42",
        [WorkflowStarted(1, NOW_MS, "run-1", "fulfil", "2", payload(7), 500, "request-1")],
    )
    assert run == Run(
        "order-42",
        run_id="run-1",
        workflow="fulfil",
        version="2",
        created_ms=NOW_MS,
        updated_ms=NOW_MS,
        deadline_ms=NOW_MS + 500,
        timeout_ms=500,
        request_id="request-1",
        last_event_id=1,
    )


def test_scheduled_activity_is_open_in_its_first_attempt() -> None:
    policy = RetryPolicy(max_attempts=7)
    run = run_of(
        scheduled(1, "charge", queue="slow", inline=True, start_to_close_ms=5, retry=policy)
    )
    charge = OpenActivity(1, "charge", payload([7]), "slow", True, 5, policy)
    charge.scheduled_ms = charge.attempt_ms = run.updated_ms
    assert run.activities == {1: charge}
    assert run.has_open_inline


def test_activity_waits_when_its_retry_is_scheduled_and_no_longer_when_dispatched() -> None:
    run = run_of(scheduled(inline=True), retry_scheduled(due_ms=NOW_MS + 70))
    activity = run.activities[1]
    assert (activity.attempt, activity.waiting, activity.due_ms) == (2, True, NOW_MS + 70)
    assert not run.has_open_inline
    fold(run, dispatched())
    assert (activity.attempt, activity.waiting, activity.due_ms) == (2, False, 0)
    assert run.has_open_inline


@pytest.mark.parametrize(
    "ending",
    [
        ActivityCompleted(0, NOW_MS, 1, "charge", 1),
        ActivityFailed(0, NOW_MS, 1, "charge", 1, BLIP),
        ActivityCancelled(0, NOW_MS, 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_activity_is_closed_by(ending: HistoryEvent) -> None:
    run = run_of(scheduled(1), scheduled(2), ending)
    assert list(run.activities) == [2]


@pytest.mark.parametrize(
    "ending",
    [TimerFired(0, NOW_MS, 1), TimerCancelled(0, NOW_MS, 1)],
    ids=lambda event: type(event).__name__,
)
def test_timer_is_closed_by(ending: HistoryEvent) -> None:
    run = run_of(timer(1, NOW_MS + 5), timer(2, NOW_MS + 9), ending)
    assert run.timers == {2: NOW_MS + 9}
    assert next_due_ms(run) == NOW_MS + 9


def test_signal_ids_are_remembered() -> None:
    run = run_of(signal(signal_id="a"), signal(), signal(signal_id="b"))
    assert list(run.signal_ids) == ["a", "b"]


def test_next_due_is_the_earliest_of_everything() -> None:
    run = run_of(started(timeout_ms=9000))
    assert next_due_ms(run) == NOW_MS + 9000
    fold(run, scheduled(1, start_to_close_ms=8000), attempt_started())
    assert next_due_ms(run) == NOW_MS + 8000
    fold(run, timer(2, NOW_MS + 7000))
    assert next_due_ms(run) == NOW_MS + 7000
    fold(run, TimerCancelled(0, NOW_MS, 2))
    assert next_due_ms(run) == NOW_MS + 8000
    fold(run, retry_scheduled(due_ms=NOW_MS + 300))
    assert next_due_ms(run) == NOW_MS + 300
    fold(run, dispatched())
    assert next_due_ms(run) == NOW_MS + 9000


def test_next_due_is_never_when_nothing_waits_for_the_clock() -> None:
    assert next_due_ms(run_of(scheduled())) == 0


@pytest.mark.parametrize(
    ("ending", "status", "reason"), ENDED_RUNS, ids=lambda value: str(value)[:20]
)
def test_ended_run_waits_for_nothing(ending: HistoryEvent, status: str, reason: str) -> None:
    run = run_of(started(timeout_ms=500), scheduled(1), timer(2, NOW_MS + 5), ending)
    assert (run.status, run.reason, run.ended) == (status, reason, True)
    assert (run.activities, run.timers, next_due_ms(run)) == ({}, {}, 0)


def test_ended_run_knows_its_result_or_failure() -> None:
    assert run_of(WorkflowCompleted(0, NOW_MS, payload(5))).result == payload(5)
    assert run_of(WorkflowFailed(0, NOW_MS, BLIP)).failure == BLIP


def test_blocked_run_keeps_what_it_waits_for() -> None:
    run = run_of(scheduled(), timer(2, NOW_MS + 5), WorkflowBlocked(0, NOW_MS, "why"))
    assert (run.status, run.reason, run.ended) == ("blocked", "why", False)
    assert list(run.activities) == [1]
    assert list(run.timers) == [2]


def test_deferred_records_are_kept_in_order_until_the_run_continues() -> None:
    first = RecordDeferred(0, NOW_MS, "signals", payload(1))
    second = RecordDeferred(0, NOW_MS, "results", payload(2))
    run = run_of(WorkflowBlocked(0, NOW_MS, "why"), first, second)
    assert [event.record for event in run.deferred] == [payload(1), payload(2)]
    fold(run, WorkflowUnblocked(0, NOW_MS))
    assert (run.deferred, run.status, run.reason) == ([], "running", "")


def test_cancel_reason_comes_back_when_the_run_continues() -> None:
    run = run_of(
        cancel_requested("enough"), WorkflowBlocked(0, NOW_MS, "why"), WorkflowUnblocked(0, NOW_MS)
    )
    assert (run.cancel_requested, run.reason) == (True, "enough")


@pytest.mark.parametrize("event_id", [0, 1, 3, 40])
def test_event_is_refused_when_it_does_not_follow_the_last(event_id: int) -> None:
    run = run_of()
    with pytest.raises(InvariantViolation, match=r"order-42, run run-1 follows event 1:"):
        apply(run, TimerFired(event_id, NOW_MS, 1))


def test_history_is_refused_when_its_beginning_is_missing() -> None:
    with pytest.raises(InvariantViolation, match="missing or stands twice"):
        rebuild("order-42", [TimerFired(2, NOW_MS, 1)])


@pytest.mark.parametrize(
    ("ending", "status", "reason"), ENDED_RUNS, ids=lambda value: str(value)[:20]
)
def test_event_is_refused_when_the_run_has_ended(
    ending: HistoryEvent, status: str, reason: str
) -> None:
    run = run_of(ending)
    with pytest.raises(InvariantViolation, match=f"comes after the run ended as {status}"):
        apply(run, WorkflowCompleted(3, NOW_MS))


def test_every_ending_is_among_the_tested() -> None:
    assert {type(ending) for ending, _, _ in ENDED_RUNS} == set(ENDINGS)
