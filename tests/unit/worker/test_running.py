"""What is known of attempts that run, and when silence counts."""

from __future__ import annotations

from tests.unit.core.kit import NOW_MS, fold, run_of, scheduled
from weft.core import Run
from weft.records import ActivityLost, ActivityStarted, ReplyTo, WorkflowCompleted
from weft.worker._running import RunningAttempts

TO = ReplyTo("worker-1", "lease-1", 0)


def leased_run(count: int = 1, lease_ms: int = 10_000) -> Run:
    starts = [
        ActivityStarted(0, NOW_MS, number, 1, NOW_MS, lease_ms, f"lease-{number}")
        for number in range(1, count + 1)
    ]
    return run_of(*[scheduled(number) for number in range(1, count + 1)], *starts)


def watched(run: Run) -> RunningAttempts:
    running = RunningAttempts()
    for activity in run.activities.values():
        running.begin_lease("order-42", run.run_id, activity, TO)
    return running


def silent(running: RunningAttempts, seconds: float) -> list[str]:
    leases = []
    if running.pass_time(seconds):
        while (found := running.next_silent()) is not None:
            leases.append(found[1].lease)
    assert running.next_silent() is None
    return leases


def test_silent_worker_is_noticed_when_its_lease_is_over() -> None:
    running = watched(leased_run())
    assert silent(running, 9.9) == []
    assert silent(running, 0.2) == ["lease-1"]


def test_heartbeat_gives_a_whole_lease() -> None:
    running = watched(leased_run())
    for _ in range(5):
        assert silent(running, 9) == []
        running.hear("order-42", 1, "lease-1", TO)
    assert silent(running, 9.9) == []
    assert silent(running, 0.2) == ["lease-1"]


def test_heartbeat_under_another_lease_keeps_nothing() -> None:
    running = watched(leased_run())
    running.pass_time(9)
    running.hear("order-42", 1, "lease-2", TO)
    running.hear("order-42", 2, "lease-1", TO)
    running.hear("order-43", 1, "lease-1", TO)
    assert silent(running, 10) == ["lease-1"]


def test_silence_is_told_again_after_another_lease_when_nothing_came_of_it() -> None:
    running = watched(leased_run())
    assert silent(running, 10) == ["lease-1"]
    assert silent(running, 9.9) == []
    assert silent(running, 0.2) == ["lease-1"]


def test_attempt_with_a_result_is_watched_no_more() -> None:
    running = watched(leased_run())
    running.end("order-42", 1, 2)
    assert "order-42" in running.by_workflow, "that was another attempt"
    running.end("order-42", 1, 1)
    assert "order-42" not in running.by_workflow
    assert silent(running, 100) == []


def test_attempts_that_are_not_waited_for_are_given_out_once() -> None:
    run = leased_run(3)
    running = watched(run)
    fold(run, ActivityLost(0, NOW_MS, 2, 1))
    assert [attempt.lease for attempt in running.take_stale("order-42", run)] == ["lease-2"]
    assert running.take_stale("order-42", run) == []
    fold(run, WorkflowCompleted(0, NOW_MS))
    assert len(running.take_stale("order-42", run)) == 2
    assert "order-42" not in running.by_workflow
    assert silent(running, 100) == []


def test_all_are_stale_when_the_workflow_is_gone_or_another_run() -> None:
    for run in (None, run_of()):
        assert len(watched(leased_run(2)).take_stale("order-42", run)) == 2


def test_heartbeats_leave_no_entries_behind() -> None:
    running = watched(leased_run())
    for _ in range(1000):
        silent(running, 1)
        running.hear("order-42", 1, "lease-1", TO)
    assert len(running._heap) == 1
