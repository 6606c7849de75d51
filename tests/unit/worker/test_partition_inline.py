"""Inline activities: run in the owner's process, and run again by the next owner when their result was not written."""

from __future__ import annotations

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NOW_MS, ORDER, Served, topics_of
from tests.unit.worker.workflows import at_once, inline_and_signal, inline_steps
from weft.codec import decode_payload, encode_payload
from weft.records import ActivityTask, AttemptFailed, FailureInfo, SignalWorkflow


def finished(served: Served, result: object = None) -> list[ActivityTask]:
    """Complete the newest inline activity; returns the tasks that this led to."""
    task = served.inline[-1]
    served.inline.clear()
    served.turn_inline(ORDER, served.completed(task, result))
    return served.inline


def test_inline_activity_writes_no_task(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    batch = served.start("inline_steps")
    assert sorted(topics_of(batch)) == ["events", "state"]
    head = served.head()
    assert batch.inline == [
        (
            0,
            "order-42",
            ActivityTask(
                head.run_id, 1, 1, "quick", encode_payload([1]), "inline_steps", 600_000, NOW_MS
            ),
        )
    ]
    assert served.story() == ["WorkflowStarted", "ActivityScheduled"]


def test_inline_results_lead_the_run_to_its_end(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    served.start("inline_steps")
    (second,) = finished(served, "one")
    assert second.activity_id == 2
    assert finished(served, "two") == []
    assert decode_payload(served.history()[-1].result) == ["one", "two"]  # type: ignore[attr-defined]
    assert served.head().updated_ms == NOW_MS


def test_head_asks_to_be_looked_at_when_an_inline_activity_runs(serve_live: Serve) -> None:
    """The next owner must know without reading the history."""
    served = serve_live(inline_steps)
    served.start("inline_steps")
    assert 0 < served.head().next_due_ms <= NOW_MS
    finished(served)
    finished(served)
    assert served.head().next_due_ms == 0


@pytest.mark.requirement("R2-2")
def test_inline_activity_is_run_again_when_another_worker_takes_over(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    served.start("inline_steps")
    (first,) = served.inline
    served.inline.clear()
    batch = served.take_over()
    assert served.inline == [first]
    assert topics_of(batch) == [], "it is not an event: running is at least once"
    served.turn()
    assert served.inline == [first], "once, not in every turn"


def test_inline_activity_is_run_again_when_a_record_comes_first_after_the_takeover(
    serve_live: Serve,
) -> None:
    """The first poll of the new owner brings a signal for the run: that must not make it forget the activity."""
    served = serve_live(inline_and_signal)
    served.start("inline_and_signal")
    (first,) = served.inline
    served.inline.clear()
    served.rebuild()
    served.signal("approval", "yes")
    assert [task.activity_id for task in served.inline] == [first.activity_id]
    served.turn_inline(ORDER, served.completed(first, "step"))
    served.signal("more", "no")
    assert decode_payload(served.history()[-1].result) == ["step", "yes", "no"]  # type: ignore[attr-defined]


def test_inline_activity_is_run_again_when_a_repeated_signal_comes_first_after_the_takeover(
    serve_live: Serve,
) -> None:
    """A record that changes nothing must not make the owner forget either."""
    served = serve_live(inline_and_signal)
    served.start("inline_and_signal")
    served.signal("approval", "yes", id="s-1")
    served.inline.clear()
    served.rebuild()
    batch = served.turn(served.signals(SignalWorkflow("approval", encode_payload("yes"), "s-1")))
    assert topics_of(batch) == []
    assert [task.activity_id for task in served.inline] == [1]


def test_inline_result_is_dropped_when_its_run_was_replaced(serve_live: Serve) -> None:
    served = serve_live(inline_steps, at_once)
    served.start("inline_steps")
    late = served.inline[-1]
    served.start("at_once", 7, request_id="request-2", on_conflict="terminate_existing")
    batch = served.turn_inline(ORDER, served.completed(late))
    assert topics_of(batch) == []
    assert decode_payload(served.history()[-1].result) == 7  # type: ignore[attr-defined]


def test_inline_result_is_dropped_when_its_workflow_was_purged(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    served.start("inline_steps")
    late = served.inline[-1]
    served.terminate()
    served.purge()
    assert topics_of(served.turn_inline(ORDER, served.completed(late))) == []
    assert served.compacted == {}
    assert served.partition.dropped == {"no such workflow": 1}


def test_failed_inline_attempt_is_brought_out_again_after_its_pause(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    served.start("inline_steps")
    task = served.inline.pop()
    failed = AttemptFailed(task.run_id, 1, 1, FailureInfo("Blip"))
    served.turn_inline(ORDER, failed)
    assert served.inline == []
    assert served.head().next_due_ms == NOW_MS + 1000
    served.take_over()
    assert served.inline == [], "its time has not come"
    served.advance(1000)
    assert [(task.activity_id, task.attempt) for task in served.inline] == [(1, 2)]


def test_restarted_inline_attempt_is_the_one_that_counts(serve_live: Serve) -> None:
    served = serve_live(inline_steps)
    served.start("inline_steps")
    task = served.inline.pop()
    served.turn_inline(ORDER, AttemptFailed(task.run_id, 1, 1, FailureInfo("Blip")))
    served.advance(1000)
    served.inline.clear()
    served.take_over()
    assert [(task.activity_id, task.attempt) for task in served.inline] == [(1, 2)]
