"""Starts: what a new run writes, and what happens when there is a run already."""

from __future__ import annotations

import json

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import (
    NAMESPACE,
    NOW_MS,
    ORDER,
    accepted_reply,
    ended_reply,
    replies_of,
    topics_of,
)
from tests.unit.worker.workflows import approval, at_once, failing, fulfil
from weft.codec import decode_payload, decode_task, encode_payload
from weft.records import ActivityTask, OnConflict, Reply, StartWorkflow


@pytest.mark.requirement("R1-41")
def test_start_writes_one_head_one_task_and_one_event(serve: Serve) -> None:
    served = serve(fulfil)
    batch = served.start("fulfil", 500)
    assert sorted(topics_of(batch)) == ["events", "state", "tasks.default"]
    assert {(partition, key) for _, partition, key, _, _ in batch.writes} == {(0, b"order-42")}
    assert batch.next_offsets == {(NAMESPACE.signals, 0): 1}
    assert (batch.partitions, batch.replies, batch.record_count) == ({0}, [], 1)
    head = served.head()
    assert head.run_id
    assert served.task == ActivityTask(
        head.run_id, 1, 1, "charge", encode_payload([500]), "fulfil", 600_000, NOW_MS
    )
    assert served.story() == ["WorkflowStarted", "ActivityScheduled"]


@pytest.mark.requirement("R1-17")
def test_head_says_what_the_run_is_and_where_it_stands(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500, timeout_ms=9000)
    head = served.head()
    assert (head.workflow, head.version, head.status) == ("fulfil", "2", "running")
    assert (head.created_ms, head.updated_ms, head.next_due_ms) == (NOW_MS, NOW_MS, NOW_MS + 9000)
    assert (head.request_id, head.event_count, head.page_count) == ("request-1", 2, 0)


def test_start_is_published_as_a_cloud_event(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    ((_, _, key, value, _),) = served.written[NAMESPACE.events]
    run_id = served.head().run_id
    assert key == b"order-42"
    assert json.loads(value or b"") == {
        "specversion": "1.0",
        "id": f"{run_id}/1",
        "source": "/weft/orders",
        "type": "weft.workflow.started",
        "subject": "order-42",
        "time": "2023-11-14T22:13:20+00:00",
        "datacontenttype": "application/json",
        "data": {
            "workflow_id": "order-42",
            "run_id": run_id,
            "workflow": "fulfil",
            "status": "running",
        },
    }


def test_run_that_ends_in_its_first_turn_writes_one_head(serve: Serve) -> None:
    served = serve(at_once)
    batch = served.start("at_once", {"any": 1})
    assert sorted(topics_of(batch)) == ["events", "events", "state"]
    assert served.lifecycle == ["started", "completed"]
    assert served.head().status == "completed"
    assert served.story() == ["WorkflowStarted", "WorkflowCompleted"]


def test_start_of_a_failing_workflow_ends_failed(serve: Serve) -> None:
    served = serve(failing)
    batch = served.start("failing", reply_to=ended_reply())
    (reply,) = replies_of(batch)
    assert (reply.outcome, reply.status) == ("ended", "failed")
    assert reply.failure is not None
    assert (reply.failure.type, reply.failure.message) == ("ValueError", "out of paper")
    assert served.lifecycle == ["started", "failed"]


@pytest.mark.requirement("R1-3", "R3-7")
def test_start_is_answered_when_it_is_accepted(serve: Serve) -> None:
    served = serve(fulfil)
    batch = served.start("fulfil", 500, reply_to=accepted_reply())
    run_id = served.head().run_id
    assert batch.replies == [(accepted_reply(), Reply("q-1", "accepted", run_id, "running"))]


def test_start_is_answered_when_the_run_has_ended(serve_live: Serve) -> None:
    served = serve_live(fulfil)
    assert served.start("fulfil", 500, reply_to=ended_reply()).replies == []
    assert served.complete(served.task, 501).replies == []
    batch = served.complete(served.task, "parcel-1")
    run_id = served.head().run_id
    reply = Reply("q-1", "ended", run_id, "completed", encode_payload("parcel-1"))
    assert batch.replies == [(ended_reply(), reply)]


def test_start_is_one_run_when_its_request_comes_twice(serve: Serve) -> None:
    served = serve(fulfil)
    first = served.start("fulfil", 500, reply_to=accepted_reply())
    again = served.start("fulfil", 500, reply_to=accepted_reply("q-2"))
    assert topics_of(again) == []
    assert [reply.outcome for reply in replies_of(again)] == ["accepted"]
    assert replies_of(again)[0].run_id == replies_of(first)[0].run_id
    assert len(served.tasks()) == 1


def test_start_is_one_run_when_its_request_comes_twice_in_one_batch(serve: Serve) -> None:
    served = serve(fulfil)
    request = StartWorkflow("fulfil", "request-1", encode_payload(5), reply_to=accepted_reply())
    batch = served.turn(served.signals(request), served.signals(request))
    first, second = replies_of(batch)
    assert first == second
    assert sorted(topics_of(batch)) == ["events", "state", "tasks.default"]


def test_repeated_start_gets_the_result_when_the_run_has_ended(serve: Serve) -> None:
    served = serve(at_once)
    served.start("at_once", 7)
    accepted = served.start("at_once", 7, reply_to=accepted_reply())
    ended = served.start("at_once", 7, reply_to=ended_reply("q-2"))
    assert [(reply.outcome, reply.status) for reply in replies_of(accepted)] == [
        ("accepted", "completed")
    ]
    assert [(reply.outcome, reply.result) for reply in replies_of(ended)] == [
        ("ended", encode_payload(7))
    ]
    assert topics_of(accepted) + topics_of(ended) == []


def test_start_is_a_conflict_when_a_run_is_open(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    run_id = served.head().run_id
    batch = served.start("approval", request_id="request-2", reply_to=ended_reply())
    assert replies_of(batch) == [
        Reply("q-1", "conflict", run_id, "running", reason="already running")
    ]
    assert topics_of(batch) == []
    assert served.head().request_id == "request-1"


def test_conflicting_start_is_put_aside_when_nobody_waits_for_an_answer(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    batch = served.start("approval", request_id="request-2")
    assert topics_of(batch) == ["deadletters"]
    assert "is running already" in dict(batch.writes[0][4])["weft-reason"].decode()


def test_start_takes_the_open_run_when_it_asks_for_that(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    run_id = served.head().run_id
    batch = served.start(
        "approval", request_id="request-2", on_conflict="use_existing", reply_to=accepted_reply()
    )
    assert replies_of(batch) == [Reply("q-1", "accepted", run_id, "running")]
    assert topics_of(batch) == []


def test_start_waits_for_the_open_run_when_it_asks_for_that(serve_live: Serve) -> None:
    served = serve_live(approval)
    served.start("approval")
    served.start(
        "approval", request_id="request-2", on_conflict="use_existing", reply_to=ended_reply()
    )
    (reply,) = replies_of(served.signal("approval", "yes"))
    assert (reply.request, reply.outcome, reply.result) == ("q-1", "ended", encode_payload("yes"))


def test_start_replaces_the_open_run_when_it_asks_for_that(serve: Serve) -> None:
    served = serve(fulfil)
    served.start("fulfil", 500)
    old = served.task
    batch = served.start(
        "fulfil",
        600,
        request_id="request-2",
        on_conflict="terminate_existing",
        reply_to=accepted_reply(),
    )
    head = served.head()
    assert head.run_id != old.run_id
    assert (head.request_id, head.status) == ("request-2", "running")
    assert served.lifecycle == ["started", "terminated", "started"]
    assert topics_of(batch).count("state") == 1
    assert replies_of(batch) == [Reply("q-1", "accepted", head.run_id, "running")]
    assert decode_payload(served.task.input) == [600]
    assert served.partition.statuses["running"] == 1


def test_replaced_run_is_answered_as_terminated(serve_live: Serve) -> None:
    served = serve_live(fulfil)
    served.start("fulfil", 500, reply_to=ended_reply("old"))
    batch = served.start(
        "fulfil",
        600,
        request_id="request-2",
        on_conflict="terminate_existing",
        reply_to=ended_reply("new"),
    )
    (reply,) = replies_of(batch)
    assert (reply.request, reply.outcome, reply.status) == ("old", "ended", "terminated")
    assert reply.reason == "replaced by a new run"
    served.complete(served.task, 1)
    (reply,) = replies_of(served.complete(served.task, "parcel-1"))
    assert (reply.request, reply.status) == ("new", "completed")


@pytest.mark.parametrize("on_conflict", ["fail", "use_existing", "terminate_existing"])
def test_start_begins_a_new_run_when_the_old_one_has_ended(
    serve: Serve, on_conflict: OnConflict
) -> None:
    served = serve(at_once)
    served.start("at_once", 1)
    first = served.head().run_id
    served.start("at_once", 2, request_id="request-2", on_conflict=on_conflict)
    assert served.head().run_id != first
    assert served.lifecycle == ["started", "completed"] * 2
    assert served.story() == ["WorkflowStarted", "WorkflowCompleted"]
    assert +served.partition.statuses == {"completed": 1}


@pytest.mark.requirement("R2-32")
def test_workflows_are_told_apart_by_their_ids(serve: Serve) -> None:
    served = serve(fulfil)
    for number in range(3):
        served.start("fulfil", number, key=f"order-{number}")
    tasks = {
        key: decode_payload(decode_task(value).input)
        for _, _, key, value, _ in served.written[NAMESPACE.tasks("default")]
    }
    assert tasks == {b"order-0": [0], b"order-1": [1], b"order-2": [2]}
    assert ORDER not in served.partition.cells
    served.complete(served.tasks()[1], 7, key="order-1")
    assert [served.head(f"order-{number}").event_count for number in range(3)] == [2, 4, 2]
