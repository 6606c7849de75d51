"""Runs that continue as new ones: what goes on, what goes away, and who is told, in one transaction."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, ORDER, Served, accepted_reply, ended_reply
from weft import activity, workflow
from weft.codec import decode_payload, encode_payload
from weft.payloads import PAYLOAD_BYTES_MIN, Payloads, PayloadStore
from weft.records import (
    QueryWorkflow,
    SignalReceived,
    SignalWorkflow,
    UpdateWorkflow,
    WorkflowCompleted,
    WorkflowStarted,
    chain_of,
)
from weft.worker import _next_run
from weft.worker._next_run import CONTINUES_MAX
from weft.workflow import Context


@activity.define
async def charge(amount: int) -> int:
    return amount


@workflow.define
async def rounds(ctx: Context, state: dict[str, Any]) -> Any:
    """One word a round, until it is `end`."""
    ctx.set_status({"round": state["round"]})
    if state.get("late"):
        await ctx.execute_activity(charge, 1)
    word = await ctx.receive_signal("word", str)
    words = [*state["words"], word]
    if word == "slow":
        ctx.continue_as_new({**state, "round": state["round"] + 1, "words": words, "late": True})
    if word != "end":
        ctx.continue_as_new({**state, "round": state["round"] + 1, "words": words})
    return words


FIRST = {"round": 1, "words": []}


def started(served: Served) -> WorkflowStarted:
    event = served.history()[0]
    assert isinstance(event, WorkflowStarted)
    return event


def result_of(served: Served) -> Any:
    event = served.history()[-1]
    assert isinstance(event, WorkflowCompleted), served.head()
    return decode_payload(event.result)


def test_next_run_begins_in_the_transaction_that_ends_the_former(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST)
    first_id = served.head().run_id
    batch = served.signal("word", "one")
    assert [write[0] for write in batch.writes].count(NAMESPACE.state) == 1
    assert (served.head().run_id, started(served).continued_from) == (f"{first_id}.2", first_id)
    assert decode_payload(started(served).input)["words"] == ["one"]
    assert served.story() == ["WorkflowStarted"]
    assert served.lifecycle == ["started", "continued", "started"]
    served.signal("word", "two")
    served.signal("word", "end")
    assert served.head().run_id == f"{first_id}.3"
    assert result_of(served) == ["one", "two", "end"]


def test_clients_that_wait_for_any_run_of_the_chain_get_the_last_ones_result(
    serve_live: Serve,
) -> None:
    served = serve_live(rounds)
    served.start("rounds", FIRST, reply_to=ended_reply("from-the-start"))
    first_id = served.head().run_id
    served.signal("word", "one")
    served.ask(ended_reply("first-run"), first_id)
    served.ask(ended_reply("this-run"), served.head().run_id)
    served.signal("word", "end")
    ended = {reply.request: reply for reply in served.replies if reply.outcome == "ended"}
    assert set(ended) == {"from-the-start", "first-run", "this-run"}
    assert {reply.run_id for reply in ended.values()} == {f"{first_id}.2"}
    served.ask(ended_reply("late"), first_id)
    served.ask(ended_reply("stranger"), "0123456789abcdef")
    assert [reply.outcome for reply in served.replies[-2:]] == ["ended", "unknown"]


def test_request_is_one_run_for_the_whole_chain(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST, request_id="r-1")
    served.signal("word", "one")
    run_id = served.head().run_id
    served.start("rounds", FIRST, request_id="r-1", reply_to=accepted_reply())
    assert (served.replies[-1].outcome, served.replies[-1].run_id) == ("accepted", run_id)
    assert served.head().run_id == run_id


def test_status_goes_on_until_the_code_says_another(serve: Serve) -> None:
    @workflow.define
    async def quiet(ctx: Context, number: int) -> None:
        if number == 1:
            ctx.set_status("said once")
        await ctx.receive_signal("go")
        ctx.continue_as_new(number + 1)

    served = serve(quiet)
    served.start("quiet", 1)
    for _ in range(3):
        assert decode_payload(served.head().custom_status) == "said once"
        served.signal("go")


def test_time_limit_counts_from_the_first_start(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST, timeout_ms=10_000)
    served.advance(6_000)
    served.signal("word", "one")
    served.advance(3_999)
    assert served.head().status == "running"
    served.advance(1)
    assert served.head().status == "timed_out"


def test_signals_that_were_not_taken_go_on_in_their_order(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", {**FIRST, "late": True})
    for word in ("one", "two", "three", "end"):
        served.signal("word", word, id=word)
    while served.head().status == "running":
        served.complete(served.task, 1)
    assert result_of(served) == ["one", "two", "three", "end"]
    assert served.head().run_id.endswith(".4")


def test_signal_id_counts_once_for_the_chain(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST)
    for _ in range(3):
        served.signal("word", "one", id="s-1")
        served.signal("word", "two", id="s-2")
    assert started(served).signal_ids == ("s-1", "s-2")
    served.signal("word", "end")
    assert result_of(served) == ["one", "two", "end"]


def test_chain_remembers_its_newest_signal_ids_up_to_a_bound(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_next_run, "SIGNAL_IDS_MAX", 3)
    served = serve(rounds)
    served.start("rounds", FIRST)
    for number in range(6):
        served.signal("word", "again", id=f"s-{number}")
    assert started(served).signal_ids == ("s-3", "s-4", "s-5")
    monkeypatch.setattr(_next_run, "SIGNAL_IDS_BYTES_MAX", 12)
    served.signal("word", "again", id="s-6")
    assert started(served).signal_ids == ("s-5", "s-6")


def test_signals_that_came_while_it_was_held_are_taken_by_the_runs_that_follow(
    serve: Serve,
) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST)
    served.suspend()
    for word in ("one", "two", "end"):
        served.signal("word", word)
    served.resume()
    assert result_of(served) == ["one", "two", "end"]
    assert served.head().run_id.endswith(".3")


def test_late_result_of_a_former_run_is_dropped(serve: Serve) -> None:
    @workflow.define
    async def hasty(ctx: Context, number: int) -> int:
        charging = ctx.execute_activity(charge, number)
        if number == 2:
            return await charging
        await ctx.receive_signal("go")
        return ctx.continue_as_new(number + 1)

    served = serve(hasty)
    served.start("hasty", 1)
    late = served.task
    served.signal("go")
    assert chain_of(served.task.run_id) == late.run_id
    served.complete(late, 1)
    assert served.head().status == "running"
    served.complete(served.task, 2)
    assert result_of(served) == 2


def test_pages_of_the_former_run_are_deleted(serve: Serve) -> None:
    @workflow.define
    async def long(ctx: Context, number: int) -> None:
        for _ in range(60):
            await ctx.receive_signal("line")
        ctx.continue_as_new(number + 1)

    served = serve(long, checked=False)
    served.start("long", 1)
    for _ in range(59):
        served.signal("line", "x" * 400)
    assert served.head().page_count > 0
    served.signal("line", "x" * 400)
    assert started(served).continued_from
    assert list(served.compacted) == [ORDER.encode()]
    served.check_reload()


def test_payloads_of_the_former_run_go_unless_the_next_refers_to_them(
    serve: Serve, tmp_path: Path
) -> None:
    @workflow.define
    async def carrying(ctx: Context, text: str) -> list[int]:
        await ctx.receive_signal("go", str)
        if len(text) == 1:
            ctx.continue_as_new(text * 2 * PAYLOAD_BYTES_MIN)
        return [len(text), len(await ctx.receive_signal("kept", str))]

    large = "x" * PAYLOAD_BYTES_MIN
    payloads = Payloads(NAMESPACE.name, PayloadStore(str(tmp_path)), bytes_max=PAYLOAD_BYTES_MIN)
    served = serve(carrying, payloads=payloads)

    def aside(text: str) -> Any:
        data = encode_payload(text)
        return payloads.store_aside(data, workflow_id=ORDER, scope="client", what="it")

    served.start("carrying", "x")
    served.turn(served.signals(SignalWorkflow("kept", aside("kept" + large))))
    batch = served.turn(served.signals(SignalWorkflow("go", aside("taken" + large))))
    ((workflow_id, removed),) = batch.removals
    assert (workflow_id, len(removed)) == (ORDER, 1)
    kept = started(served).input
    assert len(kept) < 1000
    served.signal("go", "now")
    assert result_of(served) == [2 * PAYLOAD_BYTES_MIN, len("kept" + large)]


def test_cancellation_that_the_code_has_not_heard_of_goes_on(serve: Serve) -> None:
    @workflow.define
    async def shielding(ctx: Context, number: int) -> str:
        try:
            async with ctx.cancel_scope(shield=True):
                await ctx.receive_signal("go")
                ctx.continue_as_new(number + 1)
        except asyncio.CancelledError:
            return f"cancelled in run {number}"
        return "never"

    served = serve(shielding)
    served.start("shielding", 1)
    served.cancel("enough")
    served.signal("go")
    assert served.story() == ["WorkflowStarted", "CancelRequested"]
    assert served.head().reason == "enough"


def test_cancellation_that_the_code_has_caught_does_not_go_on(serve: Serve) -> None:
    @workflow.define
    async def stubborn(ctx: Context, number: int) -> str:
        try:
            return str(await ctx.receive_signal("go"))
        except asyncio.CancelledError:
            return ctx.continue_as_new(number + 1)

    served = serve(stubborn)
    served.start("stubborn", 1)
    served.cancel("enough")
    assert (served.story(), served.head().reason) == (["WorkflowStarted"], "")
    served.signal("go", "on")
    assert result_of(served) == "on"


def test_run_is_blocked_when_it_continues_again_and_again_without_waiting(
    serve_live: Serve,
) -> None:
    @workflow.define
    async def endless(ctx: Context, number: int) -> None:
        ctx.continue_as_new(number + 1)

    @workflow.define(name="endless")
    async def mended(_ctx: Context, number: int) -> int:
        return number

    served = serve_live(endless)
    batch = served.start("endless", 1)
    assert served.head().status == "blocked"
    assert f"{CONTINUES_MAX} times without waiting" in served.head().reason
    assert len([write for write in batch.writes if write[0] == NAMESPACE.state]) == 1
    served.take_over(mended)
    assert result_of(served) == CONTINUES_MAX + 2


def test_carried_signals_are_events_of_the_next_run_before_its_code_begins(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", {**FIRST, "late": True})
    served.signal("word", "slow")
    served.signal("word", "end", id="e")
    served.complete(served.task, 1)
    assert [type(event) for event in served.history()[:2]] == [WorkflowStarted, SignalReceived]
    served.complete(served.task, 1)
    assert result_of(served) == ["slow", "end"]


def test_updates_of_a_former_run_are_not_taken_up_again(serve: Serve) -> None:
    @workflow.define
    async def updated(ctx: Context, number: int) -> None:
        @ctx.on_update("add")
        async def add(value: int) -> int:
            if value == 0:
                await ctx.sleep(1000)
            return number + value

        await ctx.receive_signal("go")
        ctx.continue_as_new(number + 1)

    def update(value: int, id: str) -> str:
        record = UpdateWorkflow("add", id, encode_payload(value), ended_reply(id))
        served.turn(served.signals(record))
        return served.replies[-1].outcome

    served = serve(updated)
    served.start("updated", 1)
    update(5, "u-1")
    update(0, "u-0")
    served.signal("go")
    for known in ("u-0", "u-1"):
        assert update(5, known) == "refused"
        assert "taken up by a run that this one continues" in served.replies[-1].reason
    assert served.story()[:1] == ["WorkflowStarted"]


def test_query_of_a_former_run_asks_the_present_one(serve: Serve) -> None:
    @workflow.define
    async def telling(ctx: Context, number: int) -> None:
        @ctx.on_query("number")
        def tell() -> int:
            return number

        await ctx.receive_signal("go")
        ctx.continue_as_new(number + 1)

    served = serve(telling)
    served.start("telling", 1)
    first_id = served.head().run_id
    served.signal("go")
    served.turn(served.queries(QueryWorkflow("number", ended_reply(), run_id=first_id)))
    assert (served.replies[-1].outcome, bytes(served.replies[-1].result)) == ("answered", b"2")


def test_purge_that_names_the_first_run_deletes_the_chain(serve: Serve) -> None:
    served = serve(rounds)
    served.start("rounds", FIRST)
    first_id = served.head().run_id
    served.signal("word", "one")
    served.signal("word", "end")
    served.purge(first_id)
    assert served.compacted == {}


def test_memory_and_log_stay_flat_over_thousands_of_runs(serve_live: Serve) -> None:
    served = serve_live(rounds, checked=False)
    served.start("rounds", {"round": 1, "words": []})

    @workflow.define(name="rounds")
    async def flat(ctx: Context, state: dict[str, Any]) -> None:
        word = await ctx.receive_signal("word", str)
        ctx.continue_as_new({"round": state["round"] + 1, "words": [word]})

    served.take_over(flat)
    sizes = []
    for number in range(2000):
        served.signal("word", "again", id=f"s-{number:08}")
        sizes.append(sum(map(len, served.compacted.values())) if number % 500 == 499 else 0)
        served.written[NAMESPACE.state] = served.written[NAMESPACE.state][-3:]
    assert served.head().run_id.endswith(".2001")
    assert served.head().event_count == 1
    bounded = [size for size in sizes if size]
    assert bounded[-1] < 2000 * 20 + 1000, (
        "all that grows, up to a bound, are the IDs of the signals"
    )
