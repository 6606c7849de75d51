"""What a run's code tells about itself, without anything of it on the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import ORDER, Served, accepted_reply, replies_of
from tests.unit.worker.workflows import charge, fulfil, quick
from weft import workflow
from weft.codec import decode_payload, encode_payload
from weft.records import PAYLOAD_BYTES_MAX, QueryWorkflow, Reply
from weft.workflow import Context

pytestmark = pytest.mark.requirement("R1-5", "R3-8")


@dataclass
class Page:
    first: int
    count: int


def answer_of_itself(ctx: Context) -> None:
    @ctx.on_query("telling")
    def telling() -> None:
        ctx.set_status("from a query")

    @ctx.on_query("patching")
    def patching() -> bool:
        return ctx.patched("from a query")

    @ctx.on_query("history")
    def history() -> list[Any]:
        return [len(ctx.history), ctx.history.results(quick)]


@workflow.define
async def counting(ctx: Context) -> Any:
    """Tells how far it is, in many ways."""
    lines: list[Any] = []
    answer_of_itself(ctx)

    @ctx.on_query("count")
    def count() -> int:
        return len(lines)

    @ctx.on_query("page")
    def page(wanted: Page) -> list[Any]:
        return lines[wanted.first : wanted.first + wanted.count]

    @ctx.on_query("breaking")
    def breaking() -> None:
        raise LookupError("no such line")

    @ctx.on_query("asking")
    def asking() -> None:
        ctx.execute_activity(charge, 1)

    @ctx.on_query("receiving")
    def receiving() -> None:
        ctx.receive_signal("line")

    @ctx.on_query("sleeping")
    def sleeping() -> None:
        ctx.sleep(1)

    @ctx.on_query("waiting")
    def waiting() -> None:
        ctx.wait_condition(lambda: False)

    @ctx.on_query("huge")
    def huge() -> str:
        return "x" * PAYLOAD_BYTES_MAX

    @ctx.on_query("odd")
    def odd() -> object:
        return object()

    while len(lines) < 3:
        lines.append(await ctx.receive_signal("line"))
        await ctx.execute_activity(quick, len(lines))
    return lines


@workflow.define
async def answering_later(ctx: Context) -> Any:
    @ctx.on_query("later")
    async def later() -> None:
        """No answer is one that comes later."""


@workflow.define
async def asking_for_much(ctx: Context) -> Any:
    @ctx.on_query("much")
    def much(_one: int, _two: int) -> None:
        """A query has one value."""


def ask(served: Served, name: str, value: object = None, key: str = ORDER) -> Reply:
    before = {topic: len(writes) for topic, writes in served.written.items() if writes}
    query = QueryWorkflow(name, accepted_reply(), encode_payload(value))
    batch = served.turn(served.queries(query, key))
    after = {topic: len(writes) for topic, writes in served.written.items() if writes}
    assert after == before, "nothing of it is on the log"
    assert batch.needs_proof, "a zombie's answer may be long past"
    (reply,) = replies_of(batch)
    return reply


def answer(served: Served, name: str, value: object = None) -> Any:
    reply = ask(served, name, value)
    assert reply.outcome == "answered", reply.reason
    return decode_payload(reply.result)


def test_query_is_answered_by_the_code_as_it_stands(serve: Serve) -> None:
    served = serve(counting)
    served.start("counting")
    assert answer(served, "count") == 0
    served.signal("line", "a")
    served.turn_inline(ORDER, served.completed(served.inline[-1]))
    served.signal("line", "b")
    assert answer(served, "count") == 2
    assert answer(served, "page", {"first": 1, "count": 5}) == ["b"]
    assert answer(served, "history") == [5, [None]]
    served.take_over()
    assert answer(served, "count") == 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (
            "unheard of",
            None,
            "its code answers no query 'unheard of' (it answers: asking, breaking,",
        ),
        ("count", 5, "query 'count' takes no value"),
        ("page", {"first": "a"}, "the value of query 'page' does not fit: "),
        ("breaking", None, "the handler of query 'breaking' raised LookupError: no such line ("),
        ("asking", None, "may only look at what there is, not call an activity"),
        ("receiving", None, "may only look at what there is, not receive a signal"),
        ("sleeping", None, "may only look at what there is, not wait"),
        ("waiting", None, "may only look at what there is, not wait"),
        ("telling", None, "may only look at what there is, not set the status"),
        ("patching", None, "may only look at what there is, not be the first to ask for a patch"),
        ("huge", None, "the answer to query 'huge' has 900,002 bytes; 900,000 is the most"),
        ("odd", None, "the answer to query 'odd' cannot be sent: "),
    ],
)
def test_query_that_cannot_be_answered_is_refused_and_the_run_goes_on(
    serve: Serve, name: str, value: object, reason: str
) -> None:
    served = serve(counting)
    served.start("counting")
    served.signal("line", "a")
    reply = ask(served, name, value)
    assert (reply.outcome, reply.status) == ("refused", "running")
    assert reason in reply.reason
    for line in ("b", "c"):
        served.turn_inline(ORDER, served.completed(served.inline[-1]))
        served.signal("line", line)
    served.turn_inline(ORDER, served.completed(served.inline[-1]))
    assert decode_payload(served.history(ORDER)[-1].result) == ["a", "b", "c"]  # type: ignore[attr-defined]


def test_query_of_a_suspended_run_is_answered_and_changes_nothing(serve: Serve) -> None:
    served = serve(counting)
    served.start("counting")
    served.signal("line", "a")
    served.suspend()
    assert answer(served, "count") == 1
    served.turn_inline(ORDER, served.completed(served.inline[-1]))
    assert answer(served, "count") == 1
    served.resume()
    served.signal("line", "b")
    assert answer(served, "count") == 2


def test_query_sees_what_came_in_the_same_batch() -> None:
    served = Served(counting)
    served.start("counting")
    batch = served.turn(
        served.signals(b'{"signal": "line", "payload": "a"}'),
        served.queries(QueryWorkflow("count", accepted_reply())),
    )
    (reply,) = replies_of(batch)
    assert decode_payload(reply.result) == 1
    served.close()


def test_query_is_refused_by_a_run_that_has_ended_or_is_blocked(serve: Serve) -> None:
    served = serve(counting)
    served.start("counting")
    served.take_over(fulfil)
    served.signal("line", "a")
    reply = ask(served, "count")
    assert (reply.outcome, reply.status) == ("refused", "blocked")
    served.terminate()
    assert "has ended (terminated): there is nothing to ask" in ask(served, "count").reason


def test_query_of_code_that_no_longer_fits_is_refused_and_blocks_nothing(serve: Serve) -> None:
    served = serve(counting)
    served.start("counting")
    served.take_over(fulfil)
    reply = ask(served, "count")
    assert (reply.outcome, reply.status) == ("refused", "running")
    assert "This worker has no workflow 'counting'" in reply.reason


def test_query_of_no_workflow_is_told_so(serve: Serve) -> None:
    served = serve(counting)
    assert ask(served, "count", key="nobody").outcome == "unknown"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("answering_later", "is a coroutine function; a query is answered at once"),
        ("asking_for_much", "takes 2 values; a query has one at most"),
    ],
)
def test_handler_that_cannot_answer_fails_its_run(serve: Serve, name: str, reason: str) -> None:
    served = serve(answering_later, asking_for_much)
    served.start(name)
    assert served.head().status == "failed"
    assert reason in served.head().reason
