"""Updates in the turns of a partition: checked, taken up once, answered after the commit; and by whom they wait."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import (
    NAMESPACE,
    ORDER,
    Served,
    accepted_reply,
    ended_reply,
    replies_of,
)
from tests.unit.worker.workflows import charge, fulfil
from weft import workflow
from weft.codec import decode_payload, encode_payload
from weft.errors import Failure, TurnTimeoutError
from weft.payloads import PAYLOAD_BYTES_MIN, Payloads, PayloadStore
from weft.records import (
    AwaitUpdate,
    QueryWorkflow,
    Reply,
    ReplyTo,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
)
from weft.worker import _updates
from weft.workflow import Context, Guard

pytestmark = pytest.mark.requirement("R1-5", "R3-8")


@dataclass
class Line:
    name: str
    cents: int


@workflow.define
async def basket(ctx: Context) -> Any:
    lines: list[str] = []
    ctx.on_query("lines")(lambda: lines)

    def not_twice(line: Line) -> None:
        if line.name in lines:
            raise Failure(f"{line.name} is there already", type="Twice")

    def calling() -> None:
        ctx.execute_activity(charge, 1)

    @ctx.on_update("add", validator=not_twice)
    def add(line: Line) -> int:
        lines.append(line.name)
        return len(lines)

    @ctx.on_update("charge")
    async def charge_it(cents: int) -> Any:
        return await ctx.execute_activity(charge, cents)

    @ctx.on_update("drop")
    def drop(name: str) -> None:
        lines.remove(name)

    @ctx.on_update("calling", validator=calling)
    def never() -> None:
        lines.append("never")

    @ctx.on_update("open", validator=lambda: None)
    def large(length: int) -> str:
        return "x" * length

    return await ctx.receive_signal("close")


def update(
    served: Served,
    name: str,
    value: object = None,
    *,
    id: str = "u-1",
    to: ReplyTo | None = None,
) -> list[Reply]:
    """Send an update; its answers so far."""
    to = to or ended_reply()
    record = UpdateWorkflow(name, id, encode_payload(value), to)
    return replies_of(served.turn(served.signals(record)))


def told(reply: Reply) -> Any:
    assert reply.outcome == "answered", reply
    return decode_payload(reply.result)


PEN, INK = {"name": "pen", "cents": 100}, {"name": "ink", "cents": 300}


def test_update_is_taken_up_and_answered_in_one_turn(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    (reply,) = update(served, "add", PEN)
    assert told(reply) == 1
    assert served.story()[1:] == ["UpdateAccepted", "UpdateCompleted"]
    served.take_over()
    (reply,) = update(served, "add", INK, id="u-2")
    assert told(reply) == 2


def test_update_of_one_id_is_one_however_often_it_comes(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    for _ in range(3):
        (reply,) = update(served, "add", PEN)
        assert told(reply) == 1
    assert served.story()[1:] == ["UpdateAccepted", "UpdateCompleted"]
    for number in range(300):  # the outcome comes to lie in a page
        update(served, "add", {"name": f"pen {number}", "cents": 1}, id=f"more-{number}")
    assert served.head().page_count > 0
    (reply,) = update(served, "add", PEN)
    assert told(reply) == 1


@pytest.mark.parametrize(
    ("name", "value", "kind", "reason"),
    [
        ("add", PEN, "Twice", "pen is there already"),
        ("add", {"name": "pen"}, "UsageError", "the value of update 'add' does not fit: "),
        ("drop", 5, "UsageError", "the value of update 'drop' does not fit: "),
        (
            "calling",
            None,
            "UsageError",
            "the validator of an update may only look at what there is",
        ),
        ("unheard of", None, "", "its code takes no update 'unheard of' (it takes: add, calling, "),
    ],
)
def test_rejected_update_leaves_nothing_behind(
    serve: Serve, name: str, value: object, kind: str, reason: str
) -> None:
    served = serve(basket)
    served.start("basket")
    update(served, "add", PEN)
    before = served.history()
    (reply,) = update(served, name, value, id="u-2")
    assert reply.outcome == "rejected"
    assert reply.failure is not None
    assert reply.failure.type == kind
    assert reason in reply.failure.message
    assert served.history() == before
    assert served.deadletters == [], "its sender was told"
    (reply,) = update(served, "add", INK, id="u-2")
    assert told(reply) == 2, "an ID that was rejected is free"


def test_rejected_update_that_nobody_waits_for_is_put_aside(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    served.turn(served.signals(b'{"kind": "update", "update": "sell", "id": "u-1"}'))
    served.turn(served.signals(b'{"kind": "update", "update": "sell", "id": ""}'))
    reasons = [dict(write[4])["weft-reason"].decode() for write in served.deadletters]
    assert "update 'sell' was rejected: its code takes no update 'sell'" in reasons[0]
    assert "$.id" in reasons[1]


def test_failure_of_the_handler_is_the_updates_and_the_run_goes_on(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    (reply,) = update(served, "drop", "pen")
    assert reply.outcome == "failed"
    assert reply.failure is not None
    assert reply.failure.type == "ValueError"
    assert served.head().status == "running"
    assert isinstance(served.history()[-1], UpdateFailed)


def test_update_that_takes_time_is_answered_when_it_is_done(serve_live: Serve) -> None:
    served = serve_live(basket)
    served.start("basket")
    (reply,) = update(served, "charge", 700)
    assert reply.outcome == "accepted"
    (reply,) = update(served, "charge", 700, to=accepted_reply("q-2"))
    assert (reply.request, reply.outcome) == ("q-2", "accepted")
    (reply,) = replies_of(served.complete(served.task, 700))
    assert (reply.request, told(reply)) == ("q-1", 700)
    assert replies_of(served.signal("close")) == [], "nobody waits any more"


def test_client_that_lost_its_answer_asks_again(serve: Serve) -> None:
    """The memory of who waits goes with the worker; what came of the update does not."""
    served = serve(basket)
    served.start("basket")
    update(served, "charge", 700)
    assert ask(served, "u-1").outcome == "accepted"
    served.complete(served.task, 700)
    assert told(ask(served, "u-1")) == 700
    assert told(*update(served, "charge", 700)) == 700
    lost = ask(served, "u-2")
    assert (lost.outcome, lost.failure) == ("rejected", None)


def ask(served: Served, id: str) -> Reply:
    query = AwaitUpdate(id, ended_reply(f"again-{id}"))
    (reply,) = replies_of(served.turn(served.queries(query)))
    return reply


def test_update_of_a_run_that_ends_before_it_is_done_is_told_so(serve_live: Serve) -> None:
    served = serve_live(basket)
    served.start("basket")
    update(served, "charge", 700)
    (reply,) = replies_of(served.signal("close"))
    assert (reply.outcome, reply.status) == ("failed", "completed")
    assert reply.failure is not None
    assert reply.failure.type == "WorkflowEnded"
    (reply,) = update(served, "charge", 700)
    assert (reply.outcome, reply.status) == ("refused", "completed")
    assert ask(served, "u-1").outcome == "refused"


@pytest.mark.parametrize("how", ["terminated", "replaced"])
def test_update_under_way_is_told_of_any_end(serve_live: Serve, how: str) -> None:
    served = serve_live(basket)
    served.start("basket")
    update(served, "charge", 700)
    if how == "terminated":
        batch = served.terminate()
    else:
        batch = served.start("basket", on_conflict="terminate_existing", request_id="another")
    failed = [reply for reply in replies_of(batch) if reply.request == "q-1"]
    assert [(reply.outcome, reply.status) for reply in failed] == [("failed", "terminated")]


def test_update_of_no_workflow_is_told_so(serve: Serve) -> None:
    served = serve(basket)
    assert [reply.outcome for reply in update(served, "add", PEN)] == ["unknown"]
    assert ask(served, "u-1").outcome == "unknown"


def test_update_of_a_suspended_run_is_kept_and_asked_for_when_it_goes_on(serve_live: Serve) -> None:
    served = serve_live(basket)
    served.start("basket")
    update(served, "add", PEN)
    served.suspend()
    held = [
        *update(served, "add", INK, id="u-2", to=ended_reply("q-2")),
        *update(served, "add", PEN, id="u-3", to=ended_reply("q-3")),
        *update(served, "add", PEN, id="u-1", to=ended_reply("q-1")),
    ]
    assert [(reply.outcome, reply.status) for reply in held] == [
        ("running", "suspended"),
        ("running", "suspended"),
        ("answered", "suspended"),
    ]
    assert ask(served, "u-2").outcome == "running"
    replies = {reply.request: reply for reply in replies_of(served.resume())}
    assert told(replies["q-2"]) == told(replies["again-u-2"]) == 2
    assert replies["q-3"].outcome == "rejected"


def test_update_of_a_run_that_is_terminated_while_it_is_held_is_refused(serve_live: Serve) -> None:
    served = serve_live(basket)
    served.start("basket")
    served.suspend()
    update(served, "add", PEN)
    (reply,) = replies_of(served.terminate())
    assert (reply.request, reply.outcome) == ("q-1", "refused")


def test_update_of_code_that_does_not_fit_blocks_the_run_and_is_kept(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    served.take_over(fulfil)
    (reply,) = update(served, "add", PEN)
    assert (reply.outcome, reply.status) == ("running", "blocked")
    served.take_over(basket)
    assert served.head().status == "running"
    assert told(ask(served, "u-1")) == 1


@workflow.define
async def chapters(ctx: Context, number: int) -> Any:
    """Each update but the last begins another run."""
    turned: list[bool] = []

    @ctx.on_update("turn")
    def turn() -> int:
        turned.append(True)
        return number

    @ctx.on_update("read")
    async def read() -> Any:
        return await ctx.execute_activity(charge, number)

    await ctx.wait_condition(lambda: turned)
    ctx.continue_as_new(number + 1)


def test_update_that_ends_its_run_is_answered_and_not_taken_up_by_the_next(serve: Serve) -> None:
    served = serve(chapters)
    served.start("chapters", 1)
    (reply,) = update(served, "turn")
    assert told(reply) == 1
    (reply,) = update(served, "turn")
    assert (reply.outcome, reply.status) == ("refused", "running")
    assert "was taken up by a run that this one continues" in reply.reason
    assert ask(served, "u-1").outcome == "refused"
    (reply,) = update(served, "turn", id="u-2")
    assert told(reply) == 2


def test_update_under_way_is_told_when_its_run_is_continued(serve_live: Serve) -> None:
    served = serve_live(chapters)
    served.start("chapters", 1)
    update(served, "read", to=ended_reply("q-1"))
    replies = update(served, "turn", id="u-2", to=ended_reply("q-2"))
    outcomes = {reply.request: (reply.outcome, reply.status) for reply in replies}
    assert outcomes == {"q-1": ("failed", "continued"), "q-2": ("answered", "continued")}


class Impatient(Guard):
    """Interrupts the next call when it is told to."""

    interrupted_count = 0
    has_thread = False
    is_over = False

    def call(self, function: Any, *arguments: object) -> None:
        if self.is_over:
            self.is_over = False
            raise TurnTimeoutError("its code took too long")
        function(*arguments)


def test_validator_that_does_not_end_rejects_and_leaves_the_run_as_it_was(
    serve_live: Serve,
) -> None:
    guard = Impatient()
    served = serve_live(basket, guard=guard)
    served.start("basket")
    guard.is_over = True
    (reply,) = update(served, "add", PEN)
    assert reply.outcome == "rejected"
    assert reply.failure is not None
    assert "the validator of update 'add' raised TurnTimeoutError" in reply.failure.message
    (reply,) = update(served, "add", PEN)
    assert told(reply) == 1


@pytest.mark.parametrize("has_store", [True, False])
def test_large_answer_is_stored_aside_or_fails_the_update(
    serve: Serve, tmp_path: Path, has_store: bool
) -> None:
    store = PayloadStore(tmp_path) if has_store else None
    payloads = Payloads(NAMESPACE.name, store, bytes_max=PAYLOAD_BYTES_MIN)
    served = serve(basket, payloads=payloads)
    served.start("basket")
    (reply,) = update(served, "open", PAYLOAD_BYTES_MIN)
    event = served.history()[-1]
    if has_store:
        assert isinstance(event, UpdateCompleted)
        assert decode_payload(payloads.fetch(reply.result)) == "x" * PAYLOAD_BYTES_MIN
    else:
        assert isinstance(event, UpdateFailed)
        assert event.failure.type == "PayloadTooLargeError"


def test_value_that_cannot_be_fetched_blocks_the_run_and_is_kept(
    serve: Serve, tmp_path: Path
) -> None:
    payloads = Payloads(NAMESPACE.name, PayloadStore(tmp_path), bytes_max=PAYLOAD_BYTES_MIN)
    value = encode_payload({"name": "x" * PAYLOAD_BYTES_MIN, "cents": 1})
    reference = payloads.set_aside(value, workflow_id=ORDER, scope="c-1", what="It")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    content = path.read_bytes()
    path.unlink()
    served = serve(
        basket,
        payloads=Payloads(NAMESPACE.name, PayloadStore(tmp_path), bytes_max=PAYLOAD_BYTES_MIN),
    )
    served.start("basket")
    record = UpdateWorkflow("add", "u-1", reference, ended_reply())
    (reply,) = replies_of(served.turn(served.signals(record)))
    assert (reply.outcome, reply.status) == ("running", "blocked")
    path.write_bytes(content)
    served.take_over()
    assert told(ask(served, "u-1")) == 1


def test_waiting_clients_are_bounded(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_updates, "WAITERS_MAX", 2)
    served = serve_live(basket)
    served.start("basket")
    for number in range(3):
        update(served, "charge", 700, to=ended_reply(f"q-{number}"))
    replies = replies_of(served.complete(served.task, 700))
    assert [reply.request for reply in replies] == ["q-1", "q-2"]


def test_query_sees_what_an_update_of_the_same_batch_has_done(serve: Serve) -> None:
    served = serve(basket)
    served.start("basket")
    record = UpdateWorkflow("add", "u-1", encode_payload(PEN), ended_reply())
    query = QueryWorkflow("lines", accepted_reply("q-2"))
    batch = served.turn(served.signals(record), served.queries(query))
    assert [told(reply) for reply in replies_of(batch)] == [1, ["pen"]]
