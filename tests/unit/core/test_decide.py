"""What a record, or the clock, means to a run."""

from __future__ import annotations

import copy

import pytest

from tests.unit.core.kit import (
    BLIP,
    NOW_MS,
    RUN_ID,
    attempt_started,
    cancel_requested,
    decided,
    dispatched,
    once,
    payload,
    retry_scheduled,
    run_of,
    scheduled,
    signal,
    started,
    taken,
    timer,
)
from weft.core import Decision, DispatchActivity, Due, Input, Run, decide_start
from weft.records import (
    ActivityCompleted,
    ActivityDispatched,
    ActivityFailed,
    ActivityRetryScheduled,
    ActivityStarted,
    AttemptCompleted,
    AttemptFailed,
    AttemptStarted,
    CancelRequested,
    CancelWorkflow,
    FailureInfo,
    RetryPolicy,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
    TimerFired,
    WorkflowCompleted,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)

COMPLETED = AttemptCompleted(RUN_ID, 1, 1, payload("ok"))
FAILED = AttemptFailed(RUN_ID, 1, 1, BLIP)


def test_start_carries_all_of_the_request_into_the_first_event() -> None:
    request = StartWorkflow("fulfil", "request-1", payload({"id": 7}), timeout_ms=5000)
    decision = decide_start(request, run_id=RUN_ID, version="2", now_ms=NOW_MS)
    first = WorkflowStarted(1, NOW_MS, RUN_ID, "fulfil", "2", payload({"id": 7}), 5000, "request-1")
    assert decision == Decision((first,))


@pytest.mark.parametrize(("asked_ms", "kept_ms"), [(-5, 0), (0, 0), (10**400, 31_536_000_000_000)])
def test_start_has_a_timeout_that_a_clock_can_reach(asked_ms: int, kept_ms: int) -> None:
    """Any producer may write any number."""
    request = StartWorkflow("fulfil", "request-1", timeout_ms=asked_ms)
    (event,) = decide_start(request, run_id=RUN_ID, version="", now_ms=NOW_MS).events
    assert isinstance(event, WorkflowStarted)
    assert event.timeout_ms == kept_ms


def test_signal_becomes_one_event() -> None:
    decision = decided(run_of(), SignalWorkflow("approval", payload({"ok": True}), "s-1"))
    event = SignalReceived(2, NOW_MS, "approval", payload({"ok": True}), "s-1")
    assert decision == Decision((event,))


def test_signal_is_dropped_when_its_id_was_received_before() -> None:
    run = run_of(signal(signal_id="s-1"))
    decision = decided(run, SignalWorkflow("other name", id="s-1"))
    assert decision == Decision(dropped="a signal with this ID was received before")


def test_signal_is_taken_each_time_when_it_has_no_id() -> None:
    run = run_of()
    assert len(taken(run, SignalWorkflow("approval"))) == 1
    assert len(taken(run, SignalWorkflow("approval"))) == 1


def test_cancel_is_asked_for_once() -> None:
    run = run_of()
    assert taken(run, CancelWorkflow("changed my mind")) == [
        CancelRequested(0, NOW_MS, "changed my mind")
    ]
    again = decided(run, CancelWorkflow("really"))
    assert again == Decision(dropped="its cancellation was asked for before")


def test_terminate_ends_the_run_at_once() -> None:
    run = run_of(scheduled(), cancel_requested())
    assert taken(run, TerminateWorkflow("stop")) == [WorkflowTerminated(0, NOW_MS, "stop")]
    assert (run.status, run.reason, run.activities) == ("terminated", "stop", {})


def test_result_completes_the_activity_that_waits_for_it() -> None:
    run = run_of(scheduled())
    assert taken(run, COMPLETED) == [ActivityCompleted(0, NOW_MS, 1, "charge", 1, payload("ok"))]
    assert run.activities == {}


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_of(), id="of an activity that was never scheduled"),
        pytest.param(
            run_of(scheduled(), ActivityCompleted(0, NOW_MS, 1, "charge", 1)),
            id="of one that ended",
        ),
        pytest.param(run_of(scheduled(), retry_scheduled()), id="of an attempt that has failed"),
        pytest.param(
            run_of(scheduled(), retry_scheduled(), dispatched()),
            id="of the attempt before this one",
        ),
        pytest.param(
            run_of(
                WorkflowStarted(0, NOW_MS, "run-2", "fulfil"),
                scheduled(),
            ),
            id="of another run",
        ),
    ],
)
@pytest.mark.parametrize(
    "record",
    [COMPLETED, FAILED, AttemptStarted(RUN_ID, 1, 1, NOW_MS)],
    ids=lambda r: type(r).__name__,
)
def test_result_is_dropped_when_nobody_waits_for_it(run: Run, record: Input) -> None:
    decision = decided(run, record)
    assert decision == Decision(dropped="the run does not wait for this attempt")


def test_result_is_dropped_when_its_attempt_is_still_to_come() -> None:
    """Attempt 2 waits for its time: nobody can have run it, whatever the record says."""
    run = run_of(scheduled(), retry_scheduled())
    assert not decided(run, AttemptCompleted(RUN_ID, 1, 2)).events


@pytest.mark.requirement("R1-13", "R2-33")
def test_failed_attempt_is_tried_again_after_its_interval() -> None:
    run = run_of(scheduled())
    assert taken(run, FAILED, draw=0.5) == [
        ActivityRetryScheduled(0, NOW_MS, 1, "charge", 1, NOW_MS + 100, BLIP)
    ]
    assert decided(run, Due(), now_ms=NOW_MS + 99) == Decision(dropped="nothing is due")
    decision = decided(run, Due(), now_ms=NOW_MS + 100)
    dispatch = ActivityDispatched(4, NOW_MS + 100, 1, 2)
    assert decision == Decision((dispatch,), (DispatchActivity(1, 2),))


def test_retry_records_what_the_draw_made_of_the_interval() -> None:
    """The history holds the time, not the policy: a replay draws nothing."""
    for draw, interval_ms in ((0.0, 50), (0.25, 75), (0.5, 100), (0.75, 125)):
        events = taken(run_of(scheduled()), FAILED, draw=draw)
        assert events == [
            ActivityRetryScheduled(0, NOW_MS, 1, "charge", 1, NOW_MS + interval_ms, BLIP)
        ]


def test_attempt_after_the_pause_is_the_one_that_counts() -> None:
    run = run_of(scheduled(), retry_scheduled(), dispatched())
    assert taken(run, AttemptCompleted(RUN_ID, 1, 2, payload("ok"))) == [
        ActivityCompleted(0, NOW_MS, 1, "charge", 2, payload("ok"))
    ]


@pytest.mark.parametrize(
    ("policy", "failure"),
    [
        pytest.param(once(), BLIP, id="no attempt is left"),
        pytest.param(
            RetryPolicy(non_retryable=("CardDeclined", "ConnectionError")),
            BLIP,
            id="its type is listed",
        ),
        pytest.param(
            RetryPolicy(), FailureInfo("CardDeclined", non_retryable=True), id="the failure says so"
        ),
    ],
)
def test_activity_fails_for_good_when(policy: RetryPolicy, failure: FailureInfo) -> None:
    run = run_of(scheduled(retry=policy))
    assert taken(run, AttemptFailed(RUN_ID, 1, 1, failure)) == [
        ActivityFailed(0, NOW_MS, 1, "charge", 1, failure)
    ]
    assert run.activities == {}


@pytest.mark.requirement("R1-22")
def test_activity_is_attempted_as_often_as_its_policy_says() -> None:
    run, attempts = run_of(scheduled(retry=RetryPolicy(max_attempts=5))), 0
    now_ms = NOW_MS
    while run.activities:
        attempts += 1
        taken(run, AttemptFailed(RUN_ID, 1, attempts, BLIP), now_ms=now_ms)
        now_ms += 60_000
        if run.activities:
            taken(run, Due(), now_ms=now_ms)
    assert attempts == 5


def test_reported_start_is_kept_once() -> None:
    run = run_of(scheduled())
    assert taken(run, AttemptStarted(RUN_ID, 1, 1, NOW_MS - 50)) == [
        ActivityStarted(0, NOW_MS, 1, 1, NOW_MS - 50)
    ]
    assert not decided(run, AttemptStarted(RUN_ID, 1, 1, NOW_MS)).events


def test_reported_start_counts_from_now_when_the_workers_clock_is_ahead() -> None:
    run = run_of(scheduled())
    assert taken(run, AttemptStarted(RUN_ID, 1, 1, NOW_MS + 10**400)) == [
        ActivityStarted(0, NOW_MS, 1, 1, NOW_MS)
    ]


@pytest.mark.requirement("R1-14", "R2-33")
def test_attempt_times_out_when_its_time_has_passed_since_its_start() -> None:
    run = run_of(scheduled(start_to_close_ms=5000, retry=once()), attempt_started())
    assert decided(run, Due(), now_ms=NOW_MS + 4999) == Decision(dropped="nothing is due")
    (failed,) = taken(run, Due(), now_ms=NOW_MS + 5000)
    assert isinstance(failed, ActivityFailed)
    assert failed.failure.type == "TimeoutError"
    assert "5000 ms" in failed.failure.message


def test_timed_out_attempt_is_retried_and_its_late_result_dropped() -> None:
    run = run_of(scheduled(start_to_close_ms=5000), attempt_started())
    (retried,) = taken(run, Due(), now_ms=NOW_MS + 5000)
    assert isinstance(retried, ActivityRetryScheduled)
    assert not decided(run, COMPLETED, now_ms=NOW_MS + 5001).events
    taken(run, Due(), now_ms=retried.due_ms)
    assert not decided(run, COMPLETED, now_ms=retried.due_ms).events
    assert run.activities[1].attempt == 2


def test_attempt_does_not_time_out_when_no_worker_has_reported_its_start() -> None:
    """It may lie in its queue for as long as nobody serves it."""
    run = run_of(scheduled(start_to_close_ms=5000))
    assert decided(run, Due(), now_ms=NOW_MS * 1000) == Decision(dropped="nothing is due")


def test_second_attempt_has_all_of_its_time_when_the_first_had_started() -> None:
    run = run_of(
        scheduled(start_to_close_ms=5000), attempt_started(), retry_scheduled(), dispatched()
    )
    assert not decided(run, Due(), now_ms=NOW_MS + 60_000).events
    taken(run, AttemptStarted(RUN_ID, 1, 2, NOW_MS + 60_000), now_ms=NOW_MS + 60_000)
    assert not decided(run, Due(), now_ms=NOW_MS + 64_999).events
    assert decided(run, Due(), now_ms=NOW_MS + 65_000).events


def test_timer_fires_when_its_time_has_come() -> None:
    run = run_of(timer(1, NOW_MS + 50))
    assert decided(run, Due(), now_ms=NOW_MS + 49) == Decision(dropped="nothing is due")
    assert taken(run, Due(), now_ms=NOW_MS + 70) == [TimerFired(0, NOW_MS + 70, 1)]
    assert run.timers == {}


def test_due_items_come_one_at_a_time_by_time_and_then_by_number() -> None:
    run = run_of(timer(5, NOW_MS + 20), timer(3, NOW_MS + 10), timer(4, NOW_MS + 20))
    fired = []
    while events := taken(run, Due(), now_ms=NOW_MS + 100):
        fired += events
    assert fired == [TimerFired(0, NOW_MS + 100, timer_id) for timer_id in (3, 4, 5)]


def test_run_times_out_when_its_deadline_has_come() -> None:
    run = run_of(started(timeout_ms=500), scheduled())
    assert not decided(run, Due(), now_ms=NOW_MS + 499).events
    assert taken(run, Due(), now_ms=NOW_MS + 500) == [WorkflowTimedOut(0, NOW_MS + 500, 500)]
    assert run.status == "timed_out"


def test_deadline_comes_before_a_timer_when_both_are_due() -> None:
    run = run_of(started(timeout_ms=500), timer(1, NOW_MS + 500))
    assert taken(run, Due(), now_ms=NOW_MS + 500) == [WorkflowTimedOut(0, NOW_MS + 500, 500)]


def test_run_without_a_timeout_is_never_due() -> None:
    assert not decided(run_of(), Due(), now_ms=2**53).events


@pytest.mark.parametrize(
    "record",
    [
        COMPLETED,
        FAILED,
        AttemptStarted(RUN_ID, 1, 1, NOW_MS),
        SignalWorkflow("approval"),
        CancelWorkflow(),
        TerminateWorkflow(),
        Due(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_input_is_dropped_when_the_run_has_ended(record: Input) -> None:
    run = run_of(
        started(timeout_ms=500), scheduled(), timer(2, NOW_MS), WorkflowCompleted(0, NOW_MS)
    )
    decision = decided(run, record, now_ms=NOW_MS + 500)
    assert decision == Decision(dropped="the run has ended")


@pytest.mark.parametrize(
    "record",
    [COMPLETED, FAILED, SignalWorkflow("approval"), CancelWorkflow(), TerminateWorkflow(), Due()],
    ids=lambda record: type(record).__name__,
)
def test_decide_changes_nothing(record: Input) -> None:
    run = run_of(scheduled(), timer(2, NOW_MS), signal(signal_id="s-1"))
    before = copy.deepcopy(run)
    assert decided(run, record).events
    assert run == before
