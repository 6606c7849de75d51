"""Runs that an operator holds: nothing goes on, nothing is lost, and they go on where they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import ORDER, Served, accepted_reply, replies_of
from tests.unit.worker.test_partition_blocked import inline_waiting, other_fulfil
from tests.unit.worker.workflows import approval, at_once, collecting, fulfil, sleepy
from weft.codec import decode_payload

pytestmark = pytest.mark.requirement("R3-9", "R3-33")


def last_result(served: Served) -> Any:
    return decode_payload(served.history(ORDER)[-1].result)  # type: ignore[attr-defined]


def test_suspended_run_keeps_what_comes_in_and_takes_it_up_when_it_is_resumed(
    serve: Serve,
) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    batch = served.suspend("to look at it", accepted_reply())
    assert [(reply.outcome, reply.status) for reply in replies_of(batch)] == [
        ("accepted", "suspended")
    ]
    head = served.head()
    assert (head.status, head.reason) == ("suspended", "to look at it")
    served.complete(task, 501)
    assert served.story()[-2:] == ["WorkflowSuspended", "RecordDeferred"]
    assert served.task == task, "nothing new is asked for"
    batch = served.resume(accepted_reply("q-2"))
    assert [(reply.outcome, reply.status) for reply in replies_of(batch)] == [
        ("accepted", "running")
    ]
    assert served.story()[-3:] == ["WorkflowResumed", "ActivityCompleted", "ActivityScheduled"]
    assert served.head().reason == ""
    served.complete(served.task, "parcel-1")
    assert last_result(served) == "parcel-1"
    assert served.lifecycle == ["started", "suspended", "resumed", "completed"]
    assert +served.partition.statuses == {"completed": 1}


def test_signals_of_a_suspended_run_come_in_order_and_once(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    served.signal("line", 1, id="a")
    served.suspend()
    served.signal("line", 2, id="b")
    served.signal("line", 2, id="b")
    served.take_over()
    assert served.head().status == "suspended", "only a person resumes it"
    served.signal("line", 3, id="c")
    served.signal("enough")
    (reply,) = replies_of(served.resume(accepted_reply()))
    assert (reply.outcome, reply.status) == ("accepted", "completed")
    assert last_result(served) == [1, 2, 3]


def test_timer_of_a_suspended_run_fires_when_it_is_resumed(serve: Serve) -> None:
    served = serve(sleepy)
    served.start("sleepy")
    served.suspend()
    served.advance(3_600_000)
    assert served.story()[-1] == "WorkflowSuspended"
    served.take_over()
    served.advance(3_600_000)
    assert served.story()[-1] == "WorkflowSuspended"
    served.resume()
    assert served.story()[-3:] == ["WorkflowResumed", "TimerFired", "TimerStarted"]


def test_inline_activity_ends_while_its_run_is_suspended(serve: Serve) -> None:
    served = serve(inline_waiting)
    served.start("inline_waiting")
    served.suspend()
    served.turn_inline(ORDER, served.completed(served.inline[-1], 2))
    served.signal("go", 7)
    assert served.head().status == "suspended"
    served.resume()
    if served.inline[1:]:  # it was run again by who took over
        served.turn_inline(ORDER, served.completed(served.inline[-1], 2))
    assert last_result(served) == [2, 7]


def test_inline_activity_that_ended_meanwhile_is_not_run_again_by_another_owner() -> None:
    served = Served(inline_waiting)
    served.start("inline_waiting")
    served.suspend()
    served.turn_inline(ORDER, served.completed(served.inline[-1], 2))
    served.take_over()
    served.signal("go", 7)
    served.resume()
    assert len(served.inline) == 1
    assert last_result(served) == [2, 7]
    served.close()


def test_suspending_and_resuming_twice_is_done_once(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    for _ in range(2):
        (reply,) = replies_of(served.suspend("why", accepted_reply()))
        assert (reply.outcome, reply.status) == ("accepted", "suspended")
    for _ in range(2):
        (reply,) = replies_of(served.resume(accepted_reply()))
        assert (reply.outcome, reply.status) == ("accepted", "running")
    assert served.story().count("WorkflowSuspended") == 1
    assert served.story().count("WorkflowResumed") == 1


def test_cancellation_of_a_suspended_run_is_seen_when_it_is_resumed(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    served.suspend()
    (reply,) = replies_of(served.cancel("enough", accepted_reply()))
    assert (reply.outcome, reply.status) == ("accepted", "suspended")
    served.resume()
    assert served.head().status == "cancelled"


def test_suspended_run_can_be_terminated(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    served.suspend()
    served.terminate("enough")
    assert served.head().status == "terminated"
    (reply,) = replies_of(served.resume(accepted_reply()))
    assert (reply.outcome, reply.reason) == (
        "refused",
        f"workflow {ORDER!r} has ended (terminated): there is nothing to resume",
    )


def test_time_limit_of_a_suspended_run_goes_on(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval", timeout_ms=60_000)
    served.suspend()
    served.advance(60_000)
    assert served.head().status == "timed_out"


def test_resumed_run_is_blocked_when_its_code_no_longer_fits(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    task = served.task
    served.suspend()
    served.complete(task, 501)
    served.take_over(other_fulfil)
    (reply,) = replies_of(served.resume(accepted_reply()))
    assert (reply.outcome, reply.status) == ("refused", "blocked")
    assert "is blocked, which must be mended first" in reply.reason
    (reply,) = replies_of(served.suspend("", accepted_reply()))
    assert (reply.outcome, reply.status) == ("refused", "blocked")
    served.take_over(fulfil)
    assert served.story()[-3:] == ["WorkflowUnblocked", "ActivityCompleted", "ActivityScheduled"]


def test_run_that_has_ended_cannot_be_suspended(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once")
    (reply,) = replies_of(served.suspend("", accepted_reply()))
    assert (reply.outcome, reply.status) == ("refused", "completed")
