"""Children and signals between workflows, as owners of partitions of two namespaces take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.families import FAMILY, double, leaving
from tests.unit.worker.family_kit import BILLING, Family
from tests.unit.worker.kit import NAMESPACE
from weft.codec import decode_payload, encode_payload, references_in
from weft.payloads import PAYLOAD_BYTES_MIN, PayloadStore
from weft.payloads._keys import workflow_folder
from weft.records import (
    CancelWorkflow,
    ChildFailed,
    ChildRetryScheduled,
    ChildScheduled,
    ResumeWorkflow,
    SignalWorkflow,
    StartWorkflow,
    SuspendWorkflow,
    TerminateWorkflow,
    WorkflowCompleted,
    WorkflowStarted,
)
from weft.topics import Namespace

MODES: dict[str, dict[str, Any]] = {
    "live": {},
    "compacted": {"mode": "compacted"},
    "all cold": {"hot_max": 0},
    "no memory": {"memory_bytes_max": 0},
}


@pytest.fixture(params=MODES)
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    family = Family(*FAMILY, **MODES[request.param])
    yield family
    family.close()


def result(family: Family, workflow_id: str, namespace: Namespace = NAMESPACE) -> Any:
    last = family.history(workflow_id, namespace)[-1]
    assert isinstance(last, WorkflowCompleted), last
    return decode_payload(last.result)


def send(family: Family, workflow_id: str, record: object) -> None:
    owner = family.of(workflow_id)
    owner.turn(owner.signals(record, workflow_id))
    family.deliver()


def say(family: Family, workflow_id: str, name: str, value: object = None) -> None:
    send(family, workflow_id, SignalWorkflow(name, encode_payload(value)))


@pytest.mark.requirement("R3-15")
@pytest.mark.parametrize("namespace", [NAMESPACE, BILLING])
def test_child_has_an_id_a_history_and_a_status_of_its_own(
    family: Family, namespace: Namespace
) -> None:
    where = {} if namespace is NAMESPACE else {"namespace": namespace.name}
    family.start("parent", ["packing", "box", where], key="order-1")
    child_id = family.child_of("order-1", namespace)
    run_id = family.history("order-1")[0].run_id  # type: ignore[attr-defined]
    assert child_id == f"order-1/{run_id[-8:]}-1"
    assert family.status(child_id, namespace) == "running"
    started = family.history(child_id, namespace)[0]
    assert isinstance(started, WorkflowStarted)
    assert started.parent is not None
    assert (started.parent.namespace, started.parent.workflow_id) == ("orders", "order-1")
    assert family.of(child_id, namespace).head(child_id).parent == started.parent
    family.complete(child_id, "sent", namespace)
    assert result(family, "order-1") == "sent"
    assert family.story("order-1") == [
        "WorkflowStarted",
        "ChildScheduled",
        "ChildStarted",
        "ChildCompleted",
        "WorkflowCompleted",
    ]
    assert family.status(child_id, namespace) == "completed"


@pytest.mark.requirement("R3-15")
def test_messages_that_come_twice_are_taken_once() -> None:
    family = Family(*FAMILY)
    family.of("order-1").start("parent", ["double", 21, {}], key="order-1")
    family.deliver(copies=3)
    assert result(family, "order-1") == 42
    assert len(family.story("order-1")) == 5
    child_id = family.child_of("order-1")
    assert len(family.story(child_id)) == 2
    assert family.dropped(child_id)["child was started before"] == 2
    assert family.dropped("order-1")["message for a run that is not there"] >= 2
    family.close()


def test_failure_of_a_child_comes_with_what_caused_it(family: Family) -> None:
    family.start("parent", ["broken", "paper", {}], key="order-1")
    status, kind, message, attempts, cause = result(family, "order-1")
    assert (status, kind, message, attempts) == ("failed", "ValueError", "no paper", 1)
    assert cause == "the line is dead"


@pytest.mark.requirement("R3-17")
def test_child_is_run_again_as_its_policy_says(family: Family) -> None:
    family.start("parent", ["broken", "paper", {"attempts": 3, "id": "c-1"}], key="order-1")
    first = family.history("c-1")[0]
    assert family.of("order-1").partition.next_due_ms() == family.of("order-1").now_ms + 10_000
    family.advance(10_000)
    second = family.history("c-1")[0]
    assert isinstance(first, WorkflowStarted)
    assert isinstance(second, WorkflowStarted)
    assert first.run_id != second.run_id
    family.advance(20_000)
    assert result(family, "order-1")[:4] == ["failed", "ValueError", "no paper", 3]
    waits = [event for event in family.history("order-1") if isinstance(event, ChildRetryScheduled)]
    assert [event.due_ms - event.time_ms for event in waits] == [10_000, 20_000]


@pytest.mark.requirement("R3-17")
def test_child_that_was_terminated_is_not_run_again(family: Family) -> None:
    family.start("parent", ["patient", None, {"attempts": 3, "id": "c-1"}], key="order-1")
    send(family, "c-1", TerminateWorkflow("enough"))
    assert result(family, "order-1")[:4] == ["terminated", "TerminatedError", "enough", 1]


def test_child_that_times_out_is_told_apart(family: Family) -> None:
    family.start("parent", ["patient", None, {"timeout": 5, "id": "c-1"}], key="order-1")
    family.advance(5_000)
    assert result(family, "order-1")[:2] == ["timed_out", "TimeoutError"]


def test_child_whose_id_is_taken_is_not_started(family: Family) -> None:
    family.start("patient", key="c-1")
    family.start("parent", ["double", 4, {"id": "c-1", "attempts": 5}], key="order-1")
    status, kind, message, _, _ = result(family, "order-1")
    assert (status, kind) == ("not_started", "AlreadyStartedError")
    assert "'c-1' belongs to a workflow that is running" in message
    assert family.status("c-1") == "running"


def test_child_takes_an_id_whose_run_has_ended(family: Family) -> None:
    family.start("double", 1, key="c-1")
    family.start("parent", ["double", 4, {"id": "c-1"}], key="order-1")
    assert result(family, "order-1") == 8


def test_child_in_a_namespace_that_is_not_there_fails_at_once(family: Family) -> None:
    family.start("parent", ["double", 4, {"namespace": "nowhere"}], key="order-1")
    status, kind, message, _, _ = result(family, "order-1")
    assert (status, kind) == ("not_started", "TopicError")
    assert "weft topics create --namespace nowhere" in message


def test_child_that_nobody_knows_is_blocked_and_its_parent_waits(family: Family) -> None:
    family.start("parent", ["unknown", 4, {"id": "c-1"}], key="order-1")
    assert family.status("c-1") == "blocked"
    assert family.status("order-1") == "running"
    send(family, "c-1", TerminateWorkflow("nobody has it"))
    assert result(family, "order-1")[:2] == ["terminated", "TerminatedError"]


@pytest.mark.requirement("R3-16")
@pytest.mark.parametrize(
    "parent_close,expected", [("terminate", "terminated"), ("cancel", "cancelled"), ("abandon", "running")]
)  # fmt: skip
@pytest.mark.parametrize(
    "end", ["complete", "fail", "cancel", "terminate", "time out", "replace", "continue"]
)
@pytest.mark.parametrize("namespace", [NAMESPACE, BILLING])
def test_end_of_a_parent_does_to_its_child_what_parent_close_says(
    end: str, parent_close: str, expected: str, namespace: Namespace
) -> None:
    family = Family(*FAMILY)
    where = {"namespace": namespace.name} if namespace is BILLING else {}
    plan = ["patient", None, {"parent_close": parent_close, "id": "c-1", **where}]
    family.start("leaving", plan, key="order-1", timeout_ms=60_000 if end == "time out" else 0)
    match end:
        case "complete" | "fail" | "continue":
            say(family, "order-1", "end", end)
        case "cancel":
            send(family, "order-1", CancelWorkflow())
        case "terminate":
            send(family, "order-1", TerminateWorkflow())
        case "time out":
            family.advance(60_000)
        case "replace":
            family.start(
                "double", 1, key="order-1", request_id="r-2", on_conflict="terminate_existing"
            )
    if parent_close == "cancel":
        family.complete("c-1", "back", namespace)  # its cleanup
    assert family.status("c-1", namespace) == expected
    reason = family.of("c-1", namespace).head("c-1").reason
    assert reason.startswith("its parent 'order-1' ") is (expected != "running")
    family.close()


@pytest.mark.requirement("R3-15")
def test_parent_waits_for_the_last_run_of_a_child_that_continues_as_new(family: Family) -> None:
    family.start("parent", ["counting", 2, {"id": "c-1"}], key="order-1")
    runs = [family.of("c-1").head("c-1").run_id]
    for _ in range(2):
        family.complete("c-1", None)
        runs.append(family.of("c-1").head("c-1").run_id)
    assert len(set(runs)) == 3
    assert result(family, "order-1") == runs[-1]
    assert family.story("order-1").count("ChildStarted") == 1


@pytest.mark.requirement("R3-16")
@pytest.mark.parametrize("hold", ["suspended", "blocked"])
def test_parent_that_is_held_times_out_and_takes_its_child_with_it(hold: str) -> None:
    family = Family(*FAMILY)
    family.start("leaving", ["patient", None, {"id": "c-1"}], key="order-1", timeout_ms=60_000)
    owner = family.of("order-1")
    if hold == "suspended":
        owner.turn(owner.signals(SuspendWorkflow(), "order-1"))
    else:
        owner.take_over(double)
        owner.turn(owner.signals(SignalWorkflow("end"), "order-1"))
    assert family.status("order-1") == hold
    family.advance(60_000)
    assert family.status("order-1") == "timed_out"
    assert family.status("c-1") == "terminated"
    family.close()


def test_end_of_a_child_is_kept_for_a_parent_that_is_suspended(family: Family) -> None:
    family.start("parent", ["packing", 1, {"id": "c-1"}], key="order-1")
    send(family, "order-1", SuspendWorkflow())
    family.complete("c-1", "sent")
    assert family.status("order-1") == "suspended"
    assert family.story("order-1")[-1] == "RecordDeferred"
    send(family, "order-1", ResumeWorkflow())
    assert result(family, "order-1") == "sent"


def test_parent_that_stops_waiting_asks_its_child_to_end(family: Family) -> None:
    family.start("holding", ["patient", None, {"id": "c-1"}], key="order-1")
    say(family, "order-1", "do", "patience")
    family.advance(60_000)
    assert result(family, "order-1")[-2] == "TimeoutError"
    assert family.status("c-1") == "running", "the child has the time to clean up"
    family.complete("c-1", "back")
    assert family.status("c-1") == "cancelled"


def test_handle_cancels_its_child_and_tells_how_it_ended(family: Family) -> None:
    family.start("holding", ["patient", None, {"id": "c-1"}], key="order-1")
    say(family, "order-1", "do", "cancel")
    say(family, "order-1", "do", "cancel")
    say(family, "order-1", "do", "wait")
    family.complete("c-1", "back")
    *told, kind, text = result(family, "order-1")
    assert (told, kind) == (["cancel", "cancel"], "ChildWorkflowError")
    assert "was cancelled: not wanted" in text
    assert family.story("order-1").count("ChildCancelRequested") == 1


def test_child_that_waits_to_be_run_again_is_cancelled_at_once(family: Family) -> None:
    family.start("holding", ["broken", "ink", {"id": "c-1", "attempts": 5}], key="order-1")
    say(family, "order-1", "do", "cancel")
    say(family, "order-1", "do", "wait")
    *_, kind, text = result(family, "order-1")
    assert kind == "ChildWorkflowError"
    assert "was cancelled" in text
    assert family.story("order-1").count("ChildRestarted") == 0


def test_handle_signals_its_child_once(family: Family) -> None:
    family.start("holding", ["patient", None, {"id": "c-1"}], key="order-1")
    say(family, "order-1", "do", "go")
    say(family, "order-1", "do", "wait")
    assert result(family, "order-1") == ["go", 7]


def test_handle_tells_when_its_child_has_ended_before_the_signal(family: Family) -> None:
    family.start("holding", ["double", 4, {"id": "c-1"}], key="order-1")
    family.start("patient", key="c-1", request_id="r-9")
    say(family, "order-1", "do", "go")
    *_, kind, text = result(family, "order-1")
    assert kind == "SignalNotDeliveredError"
    assert "child 'c-1' does not run any more" in text
    assert "SignalReceived" not in family.story("c-1"), "whoever has its ID now hears nothing"


@pytest.mark.parametrize("namespace", [NAMESPACE, BILLING])
def test_signal_to_another_workflow_is_taken_once(namespace: Namespace) -> None:
    family = Family(*FAMILY)
    target = family.of("c-1", namespace)
    target.start("patient", key="c-1")
    where = namespace.name if namespace is BILLING else ""
    family.of("order-1").start("telling", ["c-1", where], key="order-1")
    family.deliver(copies=3)
    assert result(family, "order-1") == "told"
    assert result(family, "c-1", namespace) == {"from": "order-1"}
    assert family.story("c-1", namespace).count("SignalReceived") == 1
    family.close()


@pytest.mark.parametrize(
    "ended,problem", [(False, "there is no workflow 'c-1'"), (True, "workflow 'c-1' has ended (completed)")]
)  # fmt: skip
def test_signal_that_nobody_takes_is_told(family: Family, ended: bool, problem: str) -> None:
    if ended:
        family.start("double", 1, key="c-1")
    family.start("telling", ["c-1", ""], key="order-1")
    assert result(family, "order-1") == f"signal 'go' to workflow 'c-1': {problem}"


def test_signal_to_a_namespace_that_is_not_there_is_told(family: Family) -> None:
    family.start("telling", ["c-1", "nowhere"], key="order-1")
    assert "namespace 'nowhere', which is not on this log" in result(family, "order-1")


def test_what_nobody_waits_for_leaves_with_the_last_step(family: Family) -> None:
    family.start("patient", key="c-1")
    family.start("forgetful", "c-1", key="order-1")
    assert result(family, "order-1") == "gone"
    assert result(family, "c-1") == "by the way"
    assert result(family, "c-1-left") == 8


def test_late_messages_for_a_replaced_parent_are_dropped_and_counted(family: Family) -> None:
    family.start("leaving", ["packing", 1, {"id": "c-1", "parent_close": "abandon"}], key="order-1")
    family.start("patient", key="order-1", request_id="r-2", on_conflict="terminate_existing")
    before = family.story("order-1")
    dropped = family.dropped("order-1").get("message for a run that is not there", 0)
    family.complete("c-1", "sent")
    assert family.story("order-1") == before
    if family.of("order-1").mode == "live":  # the others forget what they count
        assert family.dropped("order-1")["message for a run that is not there"] == dropped + 1


def test_stop_of_a_child_that_ended_spares_who_has_its_id_now(family: Family) -> None:
    family.start("leaving", ["packing", 1, {"id": "c-1"}], key="order-1")
    owner = family.of("order-1")
    owner.turn(owner.signals(TerminateWorkflow(), "order-1"))
    late = family.lose()
    assert len(late) == 1
    send_child = family.of("c-1")
    send_child.turn(send_child.signals(TerminateWorkflow(), "c-1"))
    send_child.turn(send_child.signals(StartWorkflow("patient", "r-9"), "c-1"))
    family.give(late)
    family.deliver()
    assert family.status("c-1") == "running"


def test_id_of_a_child_fits_whatever_the_parent_is_called(family: Family) -> None:
    key = "o" * 255
    family.start("parent", ["double", 4, {}], key=key)
    child_id = family.child_of(key)
    assert len(child_id) == 255
    scheduled = family.history(key)[1]
    assert isinstance(scheduled, ChildScheduled)
    assert scheduled.workflow_id == child_id
    assert result(family, key) == 8


def test_child_carries_the_version_of_its_parent(family: Family) -> None:
    assert leaving.version == ""
    family.start("parent", ["double", 4, {"version": "7"}], key="order-1")
    scheduled = family.history("order-1")[1]
    assert isinstance(scheduled, ChildScheduled)
    assert scheduled.version == "7"


def test_refused_child_leaves_no_message_behind(family: Family) -> None:
    family.start("parent", ["double", "x" * 950_000, {"id": "c-1"}], key="order-1")
    status, kind, _, _, _ = result(family, "order-1")
    assert (status, kind) == ("not_started", "PayloadTooLargeError")
    assert family.workflow_ids() == ["order-1"]
    assert [type(event) for event in family.history("order-1") if isinstance(event, ChildFailed)]


LARGE = "x" * 3000


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(tmp_path / "payloads")


def keys_of(family: Family, workflow_id: str, namespace: Namespace = NAMESPACE) -> set[str]:
    """The stored payloads that the history of a workflow refers to."""
    history = family.history(workflow_id, namespace)
    return {stored.key for event in history for stored in references_in(event)}


@pytest.mark.parametrize("namespace", [NAMESPACE, BILLING])
def test_large_payloads_go_from_workflow_to_workflow_as_their_own(
    store: PayloadStore, tmp_path: Path, namespace: Namespace
) -> None:
    """Each is removed with the workflow that it belongs to, so no two may share one."""
    family = Family(*FAMILY, store=store, payload_bytes_max=PAYLOAD_BYTES_MIN)
    where = {"namespace": namespace.name} if namespace is BILLING else {}
    family.start("parent", ["echo", LARGE, {"id": "c-1", **where}], key="order-1")
    family.start("patient", key="c-2")
    family.start("loud", "c-2", key="order-2")
    assert _fetched(family, "order-1") == LARGE
    assert _fetched(family, "c-2") == LARGE
    for workflow_id, place in (("order-1", NAMESPACE), ("c-1", namespace), ("c-2", NAMESPACE)):
        keys = keys_of(family, workflow_id, place)
        assert keys, workflow_id
        assert all(key.startswith(workflow_folder(place.name, workflow_id)) for key in keys)
        assert all((tmp_path / "payloads" / key).exists() for key in keys)
    family.close()


def _fetched(family: Family, workflow_id: str) -> Any:
    last = family.history(workflow_id)[-1]
    assert isinstance(last, WorkflowCompleted), last
    return decode_payload(family.of(workflow_id).payloads.fetch(last.result))
