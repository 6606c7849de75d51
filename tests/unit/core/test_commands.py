"""What the workflow's code asked for, as events and effects."""

from __future__ import annotations

import pytest

from tests.unit.core.kit import BLIP, NOW_MS, cancel_requested, payload, run_of, scheduled, timer
from weft.core import (
    CancelActivity,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteWorkflow,
    DispatchActivity,
    FailWorkflow,
    RecordPatch,
    ScheduleActivity,
    StartTimer,
    decide_commands,
)
from weft.errors import InvariantViolation
from weft.records import (
    ActivityCancelled,
    ActivityScheduled,
    HistoryEvent,
    RetryPolicy,
    TimerCancelled,
    TimerStarted,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPatched,
    WorkflowUnblocked,
)

POLICY = RetryPolicy(max_attempts=7)
SCHEDULE = ScheduleActivity(3, "ship", payload([1]), "slow", False, 9000, POLICY)


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (
            SCHEDULE,
            ActivityScheduled(4, NOW_MS, 3, "ship", payload([1]), "slow", False, 9000, POLICY),
        ),
        (CancelActivity(1), ActivityCancelled(4, NOW_MS, 1)),
        (StartTimer(3, NOW_MS + 5), TimerStarted(4, NOW_MS, 3, NOW_MS + 5)),
        (CancelTimer(2), TimerCancelled(4, NOW_MS, 2)),
        (RecordPatch("tax-2026"), WorkflowPatched(4, NOW_MS, "tax-2026")),
        (CompleteWorkflow(payload("done")), WorkflowCompleted(4, NOW_MS, payload("done"))),
        (FailWorkflow(BLIP), WorkflowFailed(4, NOW_MS, BLIP)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_command_becomes_its_event(command: Command, event: HistoryEvent) -> None:
    run = run_of(scheduled(1), timer(2, NOW_MS + 5))
    decision = decide_commands(run, [command], now_ms=NOW_MS)
    assert list(decision.events) == [event]
    assert decision.dropped == ""


def test_only_a_scheduled_activity_has_an_effect() -> None:
    run = run_of(scheduled(1), timer(2, NOW_MS + 5))
    commands: list[Command] = [CancelActivity(1), SCHEDULE, CancelTimer(2), StartTimer(4, NOW_MS)]
    decision = decide_commands(run, commands, now_ms=NOW_MS)
    assert list(decision.effects) == [DispatchActivity(3, 1)]


def test_commands_keep_their_order_and_are_numbered_on() -> None:
    commands: list[Command] = [StartTimer(1, 5), StartTimer(2, 5), CompleteWorkflow(payload(None))]
    events = decide_commands(run_of(), commands, now_ms=NOW_MS).events
    assert [event.event_id for event in events] == [2, 3, 4]
    assert [type(event) for event in events] == [TimerStarted, TimerStarted, WorkflowCompleted]


def test_no_commands_are_no_events() -> None:
    decision = decide_commands(run_of(), [], now_ms=NOW_MS)
    assert (list(decision.events), list(decision.effects)) == ([], [])


def test_cancelled_run_ends_with_the_reason_that_was_given() -> None:
    run = run_of(cancel_requested("changed my mind"))
    (event,) = decide_commands(run, [CancelWorkflowDone()], now_ms=NOW_MS).events
    assert event == WorkflowCancelled(3, NOW_MS, "changed my mind")


def test_cancelled_run_keeps_its_reason_when_it_was_blocked_in_between() -> None:
    run = run_of(
        cancel_requested("changed my mind"),
        WorkflowBlocked(0, NOW_MS, "no such workflow here"),
        WorkflowUnblocked(0, NOW_MS),
    )
    (event,) = decide_commands(run, [CancelWorkflowDone()], now_ms=NOW_MS).events
    assert event == WorkflowCancelled(5, NOW_MS, "changed my mind")


@pytest.mark.parametrize("command", [CancelActivity(1), CancelTimer(1)], ids=repr)
def test_command_is_refused_when_it_is_about_nothing_open(command: Command) -> None:
    with pytest.raises(InvariantViolation, match=r"order-42, run run-1: .* is not open"):
        decide_commands(run_of(), [command], now_ms=NOW_MS)
