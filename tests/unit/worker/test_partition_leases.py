"""Long attempts as the owner sees them: held, lost, cancelled, and resumed where they were."""

from __future__ import annotations

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, ORDER, Served, replies_of, topics_of
from tests.unit.worker.workflows import at_once, copying, fan_out, inline_until_enough, painting
from weft.codec import decode_payload
from weft.metrics import WorkerMetrics
from weft.records import (
    NULL,
    ActivityTask,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    FailureInfo,
    PurgeWorkflow,
    Reply,
    TerminateWorkflow,
)
from weft.worker._batch import Batch
from weft.worker._room import Room

BLIP = FailureInfo("Blip", "on purpose")


def copied(serve: Serve) -> Served:
    """A run whose long activity is on its queue."""
    served = serve(copying)
    served.start("copying", 7)
    return served


def cancelled_by(batch: Batch) -> list[str]:
    """The leases that this batch tells their workers to give up."""
    assert all(to.client == "worker-1" for to, _ in batch.replies)
    assert all(reply.outcome == "cancelled" for reply in replies_of(batch))
    return [reply.request for reply in replies_of(batch)]


def details_of(task: ActivityTask) -> object:
    return decode_payload(task.heartbeat_details)


def test_task_carries_what_its_worker_must_know(serve: Serve) -> None:
    task = copied(serve).task
    assert (task.heartbeat_timeout_ms, task.schedule_to_start_ms) == (20_000, 600_000)
    assert task.heartbeat_details is NULL


def test_lease_is_written_once_and_heartbeats_leave_the_state_alone(serve: Serve) -> None:
    served = copied(serve)
    assert topics_of(served.hold(served.task)) == ["state"]
    for _ in range(20):
        assert topics_of(served.beat(served.task)) == []
    assert served.story() == ["WorkflowStarted", "ActivityScheduled", "ActivityStarted"]


def test_silent_workers_attempt_goes_to_another(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    assert topics_of(served.advance(9_900)) == []
    batch = served.advance(200)
    assert sorted(topics_of(batch)) == ["state", "tasks.default"]
    assert served.task.attempt == 2
    assert served.story()[-1] == "ActivityLost"
    assert cancelled_by(batch) == ["lease-1"], "should it only have been slow"


def test_heartbeats_keep_an_attempt(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    for _ in range(10):
        assert topics_of(served.advance(9_000)) == []
        assert replies_of(served.beat(served.task)) == []
    served.complete(served.task, 7)
    assert served.head().status == "completed"
    assert topics_of(served.advance(60_000)) == []


def test_late_result_of_a_lost_attempt_is_dropped_and_counted(serve_live: Serve) -> None:
    served = copied(serve_live)
    first = served.task
    served.hold(first)
    served.advance(10_000)
    assert topics_of(served.complete(first, "late")) == []
    assert served.partition.dropped == {"the run does not wait for this attempt": 1}
    assert served.partition.lost == {"silent": 1}
    served.complete(served.task, 7)
    assert served.head().status == "completed"
    metrics = WorkerMetrics()
    served.partition.report(metrics)
    value = metrics.registry.get_sample_value
    assert value("weft_leases_lost_total", {"reason": "silent"}) == 1
    assert value("weft_dropped_total", {"reason": "the run does not wait for this attempt"}) == 1
    assert not served.partition.lost


def test_workers_get_a_whole_lease_after_a_takeover(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    served.advance(9_000)
    served.take_over()
    assert topics_of(served.advance(1)) == []
    assert topics_of(served.advance(9_000)) == []
    served.beat(served.task)
    assert topics_of(served.advance(9_900)) == []
    served.advance(200)
    assert served.task.attempt == 2


@pytest.mark.parametrize("compacted", [True, False])
def test_lost_attempt_is_noticed_by_the_next_owner_too(
    serve_live: Serve, *, compacted: bool
) -> None:
    """Nothing but the head says that somebody must be watched."""
    served = copied(serve_live)
    served.hold(served.task)
    served.take_over(compacted=compacted)
    served.advance(1)
    served.advance(10_001)
    assert served.task.attempt == 2


def test_second_holder_of_an_attempt_is_told_to_stop(serve: Serve) -> None:
    """Its task was read twice: the first one's lease came before its offset was committed."""
    served = copied(serve)
    served.hold(served.task)
    batch = served.hold(served.task, "lease-2")
    assert (topics_of(batch), cancelled_by(batch)) == ([], ["lease-2"])
    batch = served.beat(served.task, lease="lease-2")
    assert (topics_of(batch), cancelled_by(batch)) == ([], ["lease-2"])
    assert cancelled_by(served.beat(served.task)) == []


def test_lease_that_is_written_twice_is_granted_twice(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    served.advance(5_000)
    assert cancelled_by(served.hold(served.task)) == []
    assert topics_of(served.advance(9_900)) == []


def test_released_attempt_goes_to_another_at_once(serve: Serve) -> None:
    served = copied(serve)
    task = served.task
    served.hold(task)
    released = AttemptReleased(task.run_id, task.activity_id, task.attempt, "lease-1")
    served.turn(served.results(released))
    assert (served.task.attempt, served.story()[-1]) == (2, "ActivityLost")


def test_lease_runs_out_when_a_worker_that_does_not_hold_it_releases_the_attempt(
    serve: Serve,
) -> None:
    """It had the same task: the holder's silence must be noticed all the same."""
    served = copied(serve)
    task = served.task
    served.hold(task)
    released = AttemptReleased(task.run_id, task.activity_id, task.attempt, "lease-of-another")
    served.turn(served.results(released))
    assert served.story()[-1] == "ActivityStarted"
    served.advance(10_001)
    served.advance(10_001)
    assert (served.task.attempt, served.story()[-1]) == (2, "ActivityLost")


# Cancellation.


def test_worker_is_told_at_once_when_the_workflow_cancels(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    batch = served.signal("enough")
    assert cancelled_by(batch) == ["lease-1"]
    assert served.story()[-1] == "ActivityCancelled"


@pytest.mark.parametrize("end", ["cancel", "terminate"])
def test_worker_is_told_when_the_run_ends(serve_live: Serve, end: str) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    assert cancelled_by(getattr(served, end)()) == ["lease-1"]


def test_worker_is_told_when_the_run_times_out(serve_live: Serve) -> None:
    served = serve_live(copying)
    served.start("copying", 7, timeout_ms=5_000)
    served.hold(served.task)
    assert cancelled_by(served.advance(5_000)) == ["lease-1"]
    assert served.head().status == "timed_out"


def test_worker_is_told_when_the_run_is_replaced(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    batch = served.start("copying", 8, request_id="request-2", on_conflict="terminate_existing")
    assert cancelled_by(batch) == ["lease-1"]


def test_worker_is_told_when_the_run_ends_and_is_purged_in_one_batch(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    batch = served.turn(served.signals(TerminateWorkflow()), served.signals(PurgeWorkflow()))
    assert cancelled_by(batch) == ["lease-1"]
    assert served.compacted == {}


def test_worker_is_told_when_a_timeout_of_the_owners_has_ended_its_attempt(
    serve_live: Serve,
) -> None:
    served = copied(serve_live)
    served.hold(served.task, lease_ms=3_600_000)
    assert cancelled_by(served.advance(600_000)) == ["lease-1"], "start to close"
    served.advance(10_000)
    served.hold(served.task, "lease-2", 3_600_000)
    served.advance(10)
    assert cancelled_by(served.advance(3_600_000)) == ["lease-2"], "schedule to close"
    assert served.head().status == "failed"


def test_next_heartbeat_is_answered_when_the_first_answer_was_lost(serve: Serve) -> None:
    """Also after a takeover, when the owner has forgotten where to answer."""
    served = copied(serve)
    task = served.task
    served.hold(task)
    served.signal("enough")
    assert cancelled_by(served.beat(task)) == ["lease-1"]
    served.terminate()
    assert cancelled_by(served.beat(task)) == ["lease-1"]
    served.purge()
    assert cancelled_by(served.beat(task)) == ["lease-1"]


def test_start_that_is_reported_too_late_is_answered(serve: Serve) -> None:
    served = copied(serve)
    task = served.task
    served.signal("enough")
    assert cancelled_by(served.hold(task)) == ["lease-1"]


def test_worker_without_an_address_is_not_answered(serve: Serve) -> None:
    served = copied(serve)
    task = served.task
    served.signal("enough")
    started = AttemptStarted(task.run_id, task.activity_id, task.attempt, 1)
    assert replies_of(served.turn(served.results(started))) == []


def test_own_result_is_no_reason_to_cancel(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    assert replies_of(served.complete(served.task, 7)) == []


def test_cancelled_inline_activity_is_stopped_where_it_runs(serve_live: Serve) -> None:
    served = serve_live(inline_until_enough)
    served.start("inline_until_enough")
    task = served.inline[-1]
    served.signal("enough")
    assert served.inline_stale == [(task.run_id, task.activity_id, 1)]


def test_inline_activity_that_ended_is_not_stopped(serve_live: Serve) -> None:
    served = serve_live(inline_until_enough)
    served.start("inline_until_enough")
    served.turn_inline(ORDER, served.completed(served.inline[-1], 1))
    served.signal("enough")
    served.signal("then")
    assert served.inline_stale == []


# Progress.


def test_details_reach_the_attempt_after_a_failure(serve: Serve) -> None:
    served = copied(serve)
    served.hold(served.task)
    assert topics_of(served.beat(served.task, {"row": 1})) == ["state"]
    served.beat(served.task, {"row": 2})
    served.fail(served.task)
    served.advance(10_000)
    assert (served.task.attempt, details_of(served.task)) == (2, {"row": 2})


def test_details_reach_the_attempt_after_a_loss(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    served.beat(served.task, {"row": 2})
    served.take_over()
    served.advance(1)
    served.advance(10_000)
    assert (served.task.attempt, details_of(served.task)) == (2, {"row": 2})


def test_details_that_no_heartbeat_brought_come_with_the_end(serve: Serve) -> None:
    served = copied(serve)
    served.hold(served.task)
    served.beat(served.task, {"row": 2})
    task = served.task
    failed = AttemptFailed(
        task.run_id,
        task.activity_id,
        task.attempt,
        BLIP,
        served.heartbeat(task, {"row": 3}).details,
    )
    served.turn(served.results(failed))
    served.advance(10_000)
    assert details_of(served.task) == {"row": 3}
    task = served.task
    served.hold(task, "lease-2")
    released = AttemptReleased(
        task.run_id,
        task.activity_id,
        task.attempt,
        "lease-2",
        served.heartbeat(task, {"row": 4}).details,
    )
    served.turn(served.results(released))
    assert (served.task.attempt, details_of(served.task)) == (3, {"row": 4})


def test_same_details_are_written_once(serve_live: Serve) -> None:
    served = copied(serve_live)
    served.hold(served.task)
    assert topics_of(served.beat(served.task, {"row": 1})) == ["state"]
    assert topics_of(served.beat(served.task, {"row": 1})) == []
    assert topics_of(served.beat(served.task)) == []
    assert topics_of(served.beat(served.task, {"row": 2})) == ["state"]
    assert [decode_payload(progress.details) for progress in served.progress] == [{"row": 2}]


def test_details_do_not_grow_the_history_or_the_head(serve: Serve) -> None:
    served = copied(serve)
    served.hold(served.task)
    before = served.head()
    for row in range(50):
        served.beat(served.task, {"row": row})
    assert served.head() == before
    assert len(served.progress) == 1


@pytest.mark.parametrize("end", ["complete", "signal", "terminate"])
def test_details_are_deleted_when_the_activity_is_over(serve: Serve, end: str) -> None:
    served = copied(serve)
    task = served.task
    served.hold(task)
    served.beat(task, {"row": 2})
    assert len(served.progress) == 1
    if end == "complete":
        served.complete(task, 7)
    elif end == "signal":
        served.signal("enough")
    else:
        served.terminate()
    assert served.progress == []
    served.terminate()
    served.purge()
    assert served.compacted == {}


def test_details_of_a_replaced_run_are_gone(serve: Serve) -> None:
    served = copied(serve)
    served.hold(served.task)
    served.beat(served.task, {"row": 2})
    served.start("copying", 8, request_id="request-2", on_conflict="terminate_existing")
    assert served.progress == []
    assert details_of(served.task) is None


def test_details_of_an_old_attempt_are_dropped(serve: Serve) -> None:
    served = copied(serve)
    first = served.task
    served.hold(first)
    served.fail(first)
    served.advance(10_000)
    assert cancelled_by(served.beat(first, {"row": 9})) == ["lease-1"]
    assert served.progress == []


def test_inline_activitys_details_are_kept(serve_live: Serve) -> None:
    served = serve_live(inline_until_enough)
    served.start("inline_until_enough")
    task = served.inline[-1]
    served.turn_inline(ORDER, served.heartbeat(task, {"row": 1}, lease=""))
    served.take_over()
    served.advance(1)
    assert details_of(served.inline[-1]) == {"row": 1}


# A worker with many attempts.


class Places(Room):
    """Room for so many turns."""

    def __init__(self, count: int) -> None:
        self.count = count

    @property
    def is_left(self) -> bool:
        self.count -= 1
        return self.count >= 0


def test_attempts_of_a_dead_worker_go_out_as_far_as_a_batch_has_room(serve_live: Serve) -> None:
    served = serve_live(fan_out)
    served.start("fan_out", 5)
    for number, task in enumerate(served.tasks()):
        served.hold(task, f"lease-{number}")
    batch = Batch(NAMESPACE)
    lost: list[int] = []
    for places in (2, 2, 2):
        passed_s = 0.0 if lost else 10.0
        served.partition.watch_leases(batch, served.now_ms, passed_s, Places(places))
        lost.append(served.partition.lost["silent"])
    assert lost == [2, 4, 5]


# Blocked runs.


def test_blocked_run_keeps_no_heartbeats_and_loses_nothing(serve_live: Serve) -> None:
    served = copied(serve_live)
    task = served.task
    served.hold(task)
    served.take_over(at_once)
    served.signal("enough")
    assert served.head().status == "blocked"
    count = served.head().event_count
    for _ in range(5):
        assert topics_of(served.beat(task)) == []
        assert topics_of(served.advance(60_000)) == []
    assert served.head().event_count == count
    served.take_over(copying)
    assert served.story()[-1] == "ActivityCancelled"


def test_attempt_that_was_lost_while_its_run_was_blocked_goes_on_afterwards(
    serve_live: Serve,
) -> None:
    served = copied(serve_live)
    served.take_over(at_once)
    served.signal("then")
    assert served.head().status == "blocked"
    served.hold(served.task)
    served.advance(60_000)
    assert len(served.tasks()) == 1
    served.take_over(copying)
    served.advance(10_001)
    assert served.task.attempt == 2


def test_run_is_blocked_when_a_lost_attempts_queue_is_gone(serve_live: Serve) -> None:
    served = serve_live(painting, queues=("default", "slow"))
    served.start("painting")
    task = served.tasks("slow")[-1]
    served.hold(task)
    served.queues = frozenset({"default"})
    served.take_over()
    served.advance(1)
    served.advance(10_001)
    assert served.head().status == "blocked"
    assert "task queue 'slow'" in served.head().reason
    served.queues = frozenset({"default", "slow"})
    served.take_over()
    served.advance(1)
    served.advance(10_001)
    assert served.tasks("slow")[-1].attempt == 2
    assert served.head().status == "running"


def test_reply_of_a_cancelled_attempt_names_lease_and_run(serve_live: Serve) -> None:
    served = copied(serve_live)
    task = served.task
    served.hold(task)
    (reply,) = replies_of(served.terminate())
    assert reply == Reply(
        "lease-1",
        "cancelled",
        task.run_id,
        reason="the run does not wait for this attempt any more",
    )
