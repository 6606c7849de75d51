"""Results of activities: applied once, retried, or dropped when nobody waits for them."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NOW_MS, accepted_reply, replies_of, topics_of
from tests.unit.worker.workflows import at_once, fan_out, fulfil
from weft.codec import decode_payload
from weft.records import ActivityTask, AttemptStarted


@pytest.mark.requirement("R1-8", "R2-3", "R3-13")
def test_result_takes_the_run_one_step_on(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    batch = served.complete(served.task, 501)
    assert sorted(topics_of(batch)) == ["state", "tasks.default"]
    assert (served.task.activity, served.task.activity_id, served.task.attempt) == ("ship", 2, 1)
    assert decode_payload(served.task.input) == [{"paid": 501}]
    batch = served.complete(served.task, "parcel-1")
    assert sorted(topics_of(batch)) == ["events", "state"]
    assert served.head().status == "completed"


@pytest.mark.requirement("R2-24")
def test_result_is_applied_once_when_it_comes_twice(serve: Serve) -> None:
    """A worker died after it had written its result, and another one ran the task again."""
    served = serve(fulfil)
    served.start("fulfil", 500)
    first = served.task
    served.complete(first, 501)
    batch = served.complete(first, 999)
    assert topics_of(batch) == []
    assert decode_payload(served.task.input) == [{"paid": 501}]
    assert served.head().event_count == 4


def test_result_changes_nothing_when_its_workflow_was_purged(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    late = served.task
    served.terminate()
    served.purge()
    batch = served.complete(late, 501)
    assert topics_of(batch) == []
    assert served.compacted == {}
    assert served.partition.cells == {}


def test_result_changes_nothing_when_its_run_was_replaced(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    late = served.task
    served.start("fulfil", 600, request_id="request-2", on_conflict="terminate_existing")
    batch = served.complete(late, 501)
    assert topics_of(batch) == []
    assert served.story() == ["WorkflowStarted", "ActivityScheduled"]


def test_result_changes_nothing_when_its_run_has_ended(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    served.terminate()
    assert topics_of(served.complete(served.task, 501)) == []
    assert served.head().status == "terminated"


def test_dropped_results_are_counted_by_reason(serve_live: Serve) -> None:
    served = serve_live(fulfil, at_once)
    served.complete(ActivityTask("run-0", 1, 1, "charge", msgspec.Raw(b"[]")), key="nobody")
    served.start("fulfil", 500)
    first = served.task
    served.complete(first, 1)
    served.complete(first, 1)
    served.terminate()
    served.complete(first, 1)
    served.start("fulfil", 600, request_id="request-2")
    served.complete(first, 1)
    assert served.partition.dropped == {
        "no such workflow": 1,
        "the run does not wait for this attempt": 1,
        "the run has ended": 1,
        "result of an earlier run": 1,
    }


@pytest.mark.requirement("R1-13", "R2-33")
def test_failed_attempt_is_brought_out_again_when_its_pause_is_over(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    served.complete(served.task, 501)
    batch = served.fail(served.task)
    assert topics_of(batch) == ["state"], "the pause stands in the head and in no task"
    assert served.head().next_due_ms == NOW_MS + 1000
    assert topics_of(served.advance(999)) == []
    batch = served.advance(1)
    assert sorted(topics_of(batch)) == ["state", "tasks.default"]
    assert (served.task.activity_id, served.task.attempt) == (2, 2)
    assert topics_of(served.fail(served.tasks()[1])) == [], "attempt 1 is over"
    served.complete(served.task, "parcel-1")
    assert served.head().status == "completed"


def test_run_fails_when_its_activity_fails_for_good(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    served.fail(served.task, "CardDeclined", non_retryable=True)
    assert served.head().status == "failed"
    assert served.lifecycle == ["started", "failed"]


@pytest.mark.requirement("R1-14", "R2-33")
def test_attempt_times_out_by_the_owners_clock_when_it_has_started(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.turn(served.results(AttemptStarted(task.run_id, 1, 1, NOW_MS - 1000)))
    assert served.head().next_due_ms == NOW_MS - 1000 + 600_000
    served.advance(598_999)
    assert served.story()[-1] == "ActivityStarted"
    served.advance(1)
    assert served.story()[-1] == "ActivityRetryScheduled"
    served.complete(task, 501)
    assert served.story()[-1] == "ActivityRetryScheduled", "too late"
    served.advance(1000)
    assert served.task.attempt == 2


@pytest.mark.requirement("R2-29")
def test_fan_out_of_a_thousand_comes_back_in_any_order(serve_live: Serve) -> None:
    served = serve_live(fan_out, checked=False)
    batch = served.start("fan_out", 1000)
    assert topics_of(batch).count("tasks.default") == 1000
    assert served.head().event_count == 1001
    tasks = served.tasks()
    for first in range(0, 1000, 100):
        chunk = tasks[::-1][first : first + 100]
        batch = served.turn(
            *(
                served.results(served.completed(task, decode_payload(task.input)[0]))
                for task in chunk
            )
        )
        assert topics_of(batch).count("state") <= 3, "one head and the pages that 100 events fill"
    head = served.head()
    assert (head.status, head.event_count) == ("completed", 2002)
    history = served.history()
    assert decode_payload(history[-1].result) == sum(range(1000))  # type: ignore[attr-defined]
    served.check_reload()
    served.take_over()
    served.purge(reply_to=accepted_reply())
    assert [reply.outcome for reply in replies_of(served.batch)] == ["accepted"]
    assert served.compacted == {}
