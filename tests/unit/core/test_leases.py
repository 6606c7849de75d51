"""Long attempts and the timeouts of activities, as the core decides about them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.kit import (
    BLIP,
    NOW_MS,
    RUN_ID,
    decided,
    fold,
    once,
    run_of,
    scheduled,
    started,
    taken,
)
from weft.core import Decision, DispatchActivity, Due, LeaseExpired, Run, next_due_ms
from weft.records import (
    ActivityCancelled,
    ActivityDispatched,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityStarted,
    AttemptCompleted,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    FailureInfo,
    RetryPolicy,
    WorkflowCompleted,
)

STALE = Decision(dropped="the run does not wait for this attempt")
EXPIRED = LeaseExpired(1, "lease-1")


def leased(lease: str = "lease-1", *, attempt: int = 1) -> ActivityStarted:
    return ActivityStarted(0, NOW_MS, 1, attempt, NOW_MS, 10_000, lease)


def claimed(lease: str = "lease-1", *, attempt: int = 1, **fields: Any) -> AttemptStarted:
    return AttemptStarted(RUN_ID, 1, attempt, NOW_MS, 10_000, lease, **fields)


def lost(attempt: int = 1, reason: str = "its worker was not heard of for 10000 ms") -> Any:
    return ActivityLost(0, NOW_MS, 1, attempt, reason)


def failure_of(events: list[Any]) -> FailureInfo:
    (event,) = events
    assert isinstance(event, ActivityFailed)
    return event.failure


# Leases.


def test_lease_stands_in_the_history_and_is_counted() -> None:
    run = run_of(scheduled())
    assert taken(run, claimed()) == [leased()]
    assert (run.activities[1].lease, run.activities[1].lease_ms, run.leased_count) == (
        "lease-1",
        10_000,
        1,
    )


def test_second_worker_gets_no_lease_of_an_attempt_that_is_held() -> None:
    run = run_of(scheduled(), leased())
    assert decided(run, claimed("lease-2")) == STALE
    assert run.activities[1].lease == "lease-1"


@pytest.mark.parametrize("lease_ms, kept_ms", [(-5, 0), (0, 0), (10**12, 3_600_000)])
def test_lease_is_bounded_whatever_the_record_says(lease_ms: int, kept_ms: int) -> None:
    run = run_of(scheduled())
    taken(run, AttemptStarted(RUN_ID, 1, 1, NOW_MS, lease_ms, "x"))
    assert run.activities[1].lease_ms == kept_ms
    assert run.leased_count == (kept_ms > 0)


def test_lost_attempt_is_brought_out_again_at_once_under_a_new_number() -> None:
    run = run_of(scheduled(), leased())
    decision = decided(run, EXPIRED)
    assert decision.effects == (DispatchActivity(1, 2),)
    assert taken(run, EXPIRED) == [lost()]
    activity = run.activities[1]
    assert (activity.attempt, activity.tries, activity.lease, activity.waiting) == (2, 1, "", False)
    assert run.leased_count == 0


def test_late_result_of_a_lost_attempt_is_dropped() -> None:
    run = run_of(scheduled(), leased(), lost())
    assert decided(run, AttemptCompleted(RUN_ID, 1, 1)) == STALE
    assert decided(run, AttemptFailed(RUN_ID, 1, 1, BLIP)) == STALE
    assert decided(run, AttemptReleased(RUN_ID, 1, 1, "lease-1")) == STALE
    assert taken(run, AttemptCompleted(RUN_ID, 1, 2))


def test_lost_attempts_do_not_count_for_the_policy() -> None:
    run = run_of(scheduled(retry=RetryPolicy(max_attempts=2)), leased(), lost())
    (retried,) = taken(run, AttemptFailed(RUN_ID, 1, 2, BLIP))
    assert isinstance(retried, ActivityRetryScheduled)
    assert retried.due_ms == NOW_MS + 100, "the first pause, as after the first failure"
    taken(run, Due(), now_ms=retried.due_ms)
    assert failure_of(taken(run, AttemptFailed(RUN_ID, 1, 3, BLIP))) == BLIP


def test_activity_of_one_attempt_is_run_again_when_its_worker_died() -> None:
    run = run_of(scheduled(retry=once()), leased())
    assert taken(run, EXPIRED) == [lost()]


def test_attempt_that_kills_its_workers_comes_to_an_end() -> None:
    run = run_of(scheduled(retry=RetryPolicy(max_attempts=3)))
    now_ms, losses, events = NOW_MS, 0, list[Any]()
    while 1 in run.activities:
        activity = run.activities[1]
        taken(run, claimed(f"lease-{activity.attempt}", attempt=activity.attempt), now_ms=now_ms)
        events = taken(run, LeaseExpired(1, f"lease-{activity.attempt}"), now_ms=now_ms)
        losses += 1
        if isinstance(events[0], ActivityRetryScheduled):
            now_ms = events[0].due_ms
            taken(run, Due(), now_ms=now_ms)
    assert losses == 10 + 3
    failure = failure_of(events)
    assert failure.type == "LeaseLostError"
    assert "not heard of for 10000 ms; 10 attempts were lost so before" in failure.message


def test_released_attempt_is_lost_without_waiting() -> None:
    run = run_of(scheduled(), leased())
    assert decided(run, AttemptReleased(RUN_ID, 1, 1, "lease-2")) == STALE
    assert taken(run, AttemptReleased(RUN_ID, 1, 1, "lease-1")) == [
        lost(reason="its worker stopped and gave it up")
    ]


@pytest.mark.parametrize(
    "run",
    [
        run_of(),
        run_of(scheduled()),
        run_of(scheduled(), leased("lease-2")),
        run_of(scheduled(), leased(), lost()),
        run_of(scheduled(), leased(), ActivityCancelled(0, NOW_MS, 1)),
    ],
    ids=["nothing open", "not leased", "another's", "lost before", "cancelled"],
)
def test_expired_lease_changes_nothing_when_it_is_not_the_one(run: Run) -> None:
    assert decided(run, EXPIRED) == STALE


def test_ended_run_has_no_leases() -> None:
    run = run_of(scheduled(), leased())
    fold(run, WorkflowCompleted(0, NOW_MS))
    assert run.leased_count == 0
    assert decided(run, EXPIRED) == Decision(dropped="the run has ended")


def test_leases_are_counted_down_however_an_attempt_ends() -> None:
    for record in (
        AttemptCompleted(RUN_ID, 1, 1),
        AttemptFailed(RUN_ID, 1, 1, BLIP),
        AttemptReleased(RUN_ID, 1, 1, "lease-1"),
        EXPIRED,
    ):
        run = run_of(scheduled(), leased())
        taken(run, record)
        assert run.leased_count == 0, record


# Timeouts.


def test_attempt_that_nobody_begins_in_time_fails_the_activity_for_good() -> None:
    """Another attempt would wait in the same queue."""
    run = run_of(scheduled(schedule_to_start_ms=5000))
    assert not decided(run, Due(), now_ms=NOW_MS + 4999).events
    failure = failure_of(taken(run, Due(), now_ms=NOW_MS + 5000))
    assert failure.type == "TimeoutError"
    assert "schedule-to-start timeout of 5000 ms" in failure.message
    assert decided(run, AttemptCompleted(RUN_ID, 1, 1), now_ms=NOW_MS + 5001) == STALE


def test_started_attempt_has_no_time_on_the_queue_any_more() -> None:
    run = run_of(scheduled(schedule_to_start_ms=5000, start_to_close_ms=60_000))
    taken(run, claimed(), now_ms=NOW_MS + 4000)
    assert next_due_ms(run) == NOW_MS + 60_000


def test_every_attempt_has_its_own_time_on_the_queue() -> None:
    run = run_of(scheduled(schedule_to_start_ms=5000))
    taken(run, AttemptFailed(RUN_ID, 1, 1, BLIP), now_ms=NOW_MS + 4000)
    assert taken(run, Due(), now_ms=NOW_MS + 8000) == [ActivityDispatched(0, NOW_MS + 8000, 1, 2)]
    assert next_due_ms(run) == NOW_MS + 13_000
    taken(run, claimed(attempt=2), now_ms=NOW_MS + 9000)
    taken(run, EXPIRED, now_ms=NOW_MS + 20_000)
    assert next_due_ms(run) == NOW_MS + 25_000


def test_activity_fails_when_its_time_as_a_whole_is_over() -> None:
    run = run_of(scheduled(schedule_to_close_ms=20_000), leased())
    assert not decided(run, Due(), now_ms=NOW_MS + 19_999).events
    failure = failure_of(taken(run, Due(), now_ms=NOW_MS + 20_000))
    assert failure.type == "TimeoutError"
    assert "schedule-to-close timeout of 20000 ms" in failure.message


def test_whole_time_goes_on_over_attempts_and_pauses() -> None:
    policy = RetryPolicy(initial_interval_ms=1000, jitter=0)
    run = run_of(scheduled(schedule_to_close_ms=5000, retry=policy))
    (retried,) = taken(run, AttemptFailed(RUN_ID, 1, 1, BLIP), now_ms=NOW_MS + 2000)
    assert next_due_ms(run) == retried.due_ms == NOW_MS + 3000  # type: ignore[attr-defined]
    taken(run, Due(), now_ms=NOW_MS + 3000)
    assert next_due_ms(run) == NOW_MS + 5000
    assert "schedule-to-close" in failure_of(taken(run, Due(), now_ms=NOW_MS + 5000)).message


def test_no_retry_is_waited_for_when_it_would_come_too_late() -> None:
    policy = RetryPolicy(initial_interval_ms=1000, jitter=0)
    run = run_of(scheduled(schedule_to_close_ms=5000, retry=policy))
    failure = failure_of(taken(run, AttemptFailed(RUN_ID, 1, 1, BLIP), now_ms=NOW_MS + 4000))
    assert (failure.type, failure.cause) == ("TimeoutError", BLIP)
    assert "leaves no time for another attempt" in failure.message


def test_soonest_of_the_timeouts_counts() -> None:
    run = run_of(scheduled(schedule_to_start_ms=3000, schedule_to_close_ms=2000))
    assert "schedule-to-close" in failure_of(taken(run, Due(), now_ms=NOW_MS + 2000)).message
    run = run_of(scheduled(schedule_to_close_ms=9000, start_to_close_ms=4000, retry=once()))
    taken(run, claimed())
    assert "start-to-close" in failure_of(taken(run, Due(), now_ms=NOW_MS + 4000)).message


def test_inline_activity_has_a_whole_time_too() -> None:
    run = run_of(started(), scheduled(inline=True, schedule_to_close_ms=1000))
    assert "schedule-to-close" in failure_of(taken(run, Due(), now_ms=NOW_MS + 1000)).message
    assert run.open_inline_count == 0
