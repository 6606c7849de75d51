"""Signals, cancellation, termination, purging and waiting, as records of clients and of plain producers."""

from __future__ import annotations

import gc

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import (
    NAMESPACE,
    Served,
    accepted_reply,
    ended_reply,
    replies_of,
    topics_of,
)
from tests.unit.worker.workflows import approval, at_once, careful, collecting, fulfil, sleepy
from weft.codec import decode_payload, encode_payload
from weft.records import (
    AwaitResult,
    CancelWorkflow,
    PurgeWorkflow,
    Reply,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
)


def result_of(served: Served) -> object:
    """The result in the last event of the workflow's history."""
    return decode_payload(served.history()[-1].result)  # type: ignore[attr-defined]


@pytest.mark.requirement("R1-4", "R1-25", "R3-10")
def test_signal_wakes_the_run_that_waits_for_it(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    batch = served.signal("approval", {"by": "Ada"}, reply_to=accepted_reply())
    run_id = served.head().run_id
    assert replies_of(batch) == [Reply("q-1", "accepted", run_id, "completed")]
    assert sorted(topics_of(batch)) == ["events", "state"]
    assert result_of(served) == {"by": "Ada"}


def test_signal_of_a_plain_producer_is_understood(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    served.turn(served.signals(b'{"signal": "approval", "payload": [1, "\xc3\xa9"]}'))
    assert result_of(served) == [1, "é"]


def test_signals_of_one_batch_are_taken_in_order_with_one_head(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    records = [
        served.signals(SignalWorkflow("line", encode_payload(number))) for number in range(20)
    ]
    batch = served.turn(*records)
    assert topics_of(batch) == ["state"]
    served.signal("enough")
    assert result_of(served) == list(range(20))


def test_signal_is_taken_once_when_it_has_an_id(serve: Serve) -> None:
    served = serve(collecting)
    served.start("collecting")
    first = served.signal("line", "a", id="s-1", reply_to=accepted_reply("q-1"))
    again = served.signal("line", "a", id="s-1", reply_to=accepted_reply("q-2"))
    served.signal("line", "b", id="s-2")
    served.signal("enough")
    assert result_of(served) == ["a", "b"]
    assert [replies_of(batch)[0].outcome for batch in (first, again)] == ["accepted", "accepted"]
    assert topics_of(again) == []


def test_dropped_signal_is_counted(serve_live: Serve) -> None:
    served = serve_live(collecting)
    served.start("collecting")
    served.signal("line", id="s-1")
    served.signal("line", id="s-1")
    assert served.partition.dropped == {"a signal with this ID was received before": 1}


@pytest.mark.parametrize(
    "request_",
    [SignalWorkflow("approval"), CancelWorkflow(), TerminateWorkflow(), PurgeWorkflow()],
    ids=lambda record: type(record).__name__,
)
def test_request_is_put_aside_when_there_is_no_such_workflow(
    serve: Serve, request_: object
) -> None:
    served = serve(approval)
    batch = served.turn(served.signals(request_))
    assert topics_of(batch) == ["deadletters"]
    assert batch.replies == []
    headers = dict(batch.writes[0][4])
    assert headers == {
        "weft-topic": b"orders.signals",
        "weft-partition": b"0",
        "weft-offset": b"0",
        "weft-reason": b"there is no workflow 'order-42'",
    }


@pytest.mark.parametrize(
    "request_",
    [
        SignalWorkflow("approval", reply_to=accepted_reply()),
        CancelWorkflow(reply_to=accepted_reply()),
        TerminateWorkflow(reply_to=accepted_reply()),
        PurgeWorkflow(reply_to=accepted_reply()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_request_is_answered_unknown_when_there_is_no_such_workflow(
    serve: Serve, request_: object
) -> None:
    served = serve(approval)
    batch = served.turn(served.signals(request_))
    assert replies_of(batch) == [Reply("q-1", "unknown")]
    assert topics_of(batch) == []


@pytest.mark.parametrize(
    "request_",
    [
        SignalWorkflow("approval", reply_to=accepted_reply()),
        CancelWorkflow(reply_to=accepted_reply()),
        TerminateWorkflow(reply_to=accepted_reply()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_request_is_refused_when_the_run_has_ended(serve: Serve, request_: object) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    batch = served.turn(served.signals(request_))
    (reply,) = replies_of(batch)
    assert (reply.outcome, reply.status) == ("refused", "completed")
    assert reply.reason == "workflow 'order-42' has ended (completed)"
    assert topics_of(batch) == []


def test_signal_is_put_aside_when_the_run_has_ended_and_nobody_waits(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    assert topics_of(served.signal("approval")) == ["deadletters"]


@pytest.mark.requirement("R1-6")
def test_cancelled_run_cleans_up_and_ends_cancelled(serve: Serve) -> None:
    served = serve(careful)
    served.start("careful")
    (reply,) = replies_of(served.cancel("customer left", accepted_reply()))
    assert (reply.outcome, reply.status) == ("accepted", "running")
    assert decode_payload(served.task.input) == ["back"]
    served.complete(served.task)
    assert (served.head().status, served.head().reason) == ("cancelled", "customer left")
    assert served.lifecycle == ["started", "cancelled"]


def test_cancellation_is_asked_for_once(serve: Serve) -> None:
    served = serve(careful)
    served.start("careful")
    served.cancel("first")
    batch = served.cancel("second", accepted_reply())
    assert [reply.outcome for reply in replies_of(batch)] == ["accepted"]
    assert topics_of(batch) == []


@pytest.mark.requirement("R3-11")
def test_terminated_run_ends_at_once(serve: Serve) -> None:
    served = serve(careful)
    served.start("careful")
    batch = served.terminate("stop", accepted_reply())
    assert [(reply.outcome, reply.status) for reply in replies_of(batch)] == [
        ("accepted", "terminated")
    ]
    assert served.story() == ["WorkflowStarted", "WorkflowTerminated"]
    assert served.head().reason == "stop"
    assert served.tasks() == []


@pytest.mark.requirement("R3-12")
def test_purge_deletes_the_head_of_an_ended_run(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    batch = served.purge(reply_to=accepted_reply())
    assert batch.writes == [(NAMESPACE.state, 0, b"order-42", None, ())]
    assert [reply.outcome for reply in replies_of(batch)] == ["accepted"]
    assert served.compacted == {}
    assert served.partition.cells == {}
    assert +served.partition.statuses == {}


def test_purged_workflow_is_unknown_and_may_be_started_again(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    served.purge()
    (reply,) = replies_of(served.ask(ended_reply()))
    assert reply == Reply("q-1", "unknown")
    served.start("at_once", 2)
    assert result_of(served) == 2


def test_purge_and_new_start_of_one_batch_leave_the_new_run(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    served.turn(
        served.signals(PurgeWorkflow()),
        served.signals(StartWorkflow("at_once", "request-2", encode_payload(2))),
    )
    assert result_of(served) == 2


def test_start_and_purge_of_one_batch_leave_nothing(serve: Serve) -> None:
    served = serve(at_once)
    served.turn(
        served.signals(StartWorkflow("at_once", "request-2", encode_payload(2))),
        served.signals(PurgeWorkflow()),
    )
    assert served.compacted == {}


@pytest.mark.parametrize(
    "last",
    [PurgeWorkflow(), StartWorkflow("at_once", "request-2", on_conflict="terminate_existing")],
    ids=lambda record: type(record).__name__,
)
def test_code_of_a_run_that_is_gone_is_dropped(
    serve_live: Serve, last: object, capfd: pytest.CaptureFixture[str]
) -> None:
    """Waiting code that is merely forgotten would run its `finally` blocks whenever it is collected."""
    served = serve_live(careful, at_once)
    served.start("careful")
    code = served.partition.cells["order-42"].machine
    assert code is not None
    served.turn(served.signals(TerminateWorkflow()), served.signals(last))
    assert code.commands.ended
    assert code.loop._tasks == []
    del code
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_purge_is_refused_when_the_run_is_open(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    (reply,) = replies_of(served.purge(reply_to=accepted_reply()))
    assert (reply.outcome, reply.status) == ("refused", "running")
    assert reply.reason == "workflow 'order-42' is running: only ended workflows can be purged"
    assert served.head().status == "running"


def test_purge_is_refused_when_it_means_an_earlier_run(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    first = served.head().run_id
    served.start("at_once", 2, request_id="request-2")
    (reply,) = replies_of(served.purge(first, accepted_reply()))
    assert (reply.outcome, reply.run_id) == ("refused", served.head().run_id)
    assert reply.reason == f"workflow 'order-42' has a newer run, {served.head().run_id}"
    assert topics_of(served.purge(served.head().run_id)) == ["state"]


# Waiting for the end.


def test_question_is_answered_at_once_when_the_run_has_ended(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 7)
    batch = served.ask(ended_reply())
    assert replies_of(batch) == [
        Reply("q-1", "ended", served.head().run_id, "completed", encode_payload(7))
    ]
    assert topics_of(batch) == []
    assert batch.next_offsets == {(NAMESPACE.queries, 0): 1}


def test_question_is_answered_unknown_when_there_is_no_such_workflow(serve: Serve) -> None:
    served = serve(at_once)
    assert replies_of(served.ask(ended_reply())) == [Reply("q-1", "unknown")]


def test_question_is_answered_unknown_when_its_run_is_gone(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 7)
    assert replies_of(served.ask(ended_reply(), run_id="another")) == [Reply("q-1", "unknown")]
    (reply,) = replies_of(served.ask(ended_reply(), run_id=served.head().run_id))
    assert reply.outcome == "ended"


def test_question_is_answered_running_when_the_run_goes_on(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    batch = served.ask(ended_reply())
    assert replies_of(batch) == [Reply("q-1", "running", served.head().run_id, "running")]
    assert topics_of(batch) == []


def test_waiting_clients_are_answered_when_the_run_ends(serve_live: Serve) -> None:
    served = serve_live(approval)
    served.start("approval", reply_to=ended_reply("q-1"))
    served.ask(ended_reply("q-2"))
    served.ask(ended_reply("q-3"))
    served.ask(ended_reply("q-2"))
    batch = served.signal("approval", "yes")
    assert [reply.request for reply in replies_of(batch)] == ["q-1", "q-2", "q-3"]
    assert {(reply.outcome, reply.status) for reply in replies_of(batch)} == {
        ("ended", "completed")
    }
    assert replies_of(served.turn()) == []


def test_question_of_the_batch_in_which_the_run_ends_is_answered_after_it(
    serve_live: Serve,
) -> None:
    """The answer says what the same transaction commits, not what was before."""
    served = serve_live(approval)
    served.start("approval")
    batch = served.turn(
        served.signals(SignalWorkflow("approval", encode_payload("yes"))),
        served.queries(AwaitResult(ended_reply())),
    )
    (reply,) = replies_of(batch)
    assert (reply.outcome, reply.result) == ("ended", encode_payload("yes"))


@pytest.mark.parametrize(
    "last",
    [PurgeWorkflow(), StartWorkflow("at_once", "request-2", encode_payload(2))],
    ids=lambda record: type(record).__name__,
)
def test_waiting_client_gets_its_own_runs_result_when_the_run_is_gone_in_the_same_batch(
    serve: Serve, last: object
) -> None:
    served = serve(at_once)
    first = StartWorkflow("at_once", "request-1", encode_payload(1), reply_to=ended_reply())
    batch = served.turn(served.signals(first), served.signals(last))
    assert [(reply.outcome, reply.result) for reply in replies_of(batch)] == [
        ("ended", encode_payload(1))
    ]


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        (CancelWorkflow("left"), "cancelled", "left"),
        (TerminateWorkflow("stop"), "terminated", "stop"),
    ],
)
def test_answer_says_how_the_run_ended(
    serve: Serve, ending: object, status: str, reason: str
) -> None:
    served = serve(approval)
    served.start("approval")
    served.turn(served.signals(ending))
    (reply,) = replies_of(served.ask(ended_reply()))
    assert (reply.outcome, reply.status, reply.reason) == ("ended", status, reason)


def test_answer_says_that_the_run_timed_out(serve: Serve) -> None:
    served = serve(sleepy)
    served.start("sleepy", timeout_ms=500)
    served.advance(500)
    (reply,) = replies_of(served.ask(ended_reply()))
    assert (reply.outcome, reply.status) == ("ended", "timed_out")
    assert reply.reason == "not done within 500 ms"


@pytest.mark.requirement("R2-25")
def test_records_of_one_workflow_are_taken_one_after_the_other(serve: Serve) -> None:
    """A result, a signal and a termination of one batch: each sees what the one before it did."""
    served = serve(fulfil)
    served.start("fulfil", 1)
    batch = served.turn(
        served.signals(SignalWorkflow("note")),
        served.results(served.completed(served.task, 5)),
        served.signals(TerminateWorkflow("stop", accepted_reply("q-1"))),
        served.signals(SignalWorkflow("too late", reply_to=accepted_reply("q-2"))),
    )
    assert served.story() == [
        "WorkflowStarted",
        "ActivityScheduled",
        "SignalReceived",
        "ActivityCompleted",
        "ActivityScheduled",
        "WorkflowTerminated",
    ]
    assert [reply.outcome for reply in replies_of(batch)] == ["accepted", "refused"]
