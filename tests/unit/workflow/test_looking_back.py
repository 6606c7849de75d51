"""A run that looks at what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.runs import START_MS, DrivenRun
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.codec import encode_payload, encode_reference
from weft.errors import UsageError
from weft.records import (
    ActivityScheduled,
    HistoryEvent,
    SignalReceived,
    StoredPayload,
    WorkflowStarted,
)
from weft.workflow import Context, History


class Receipt(BaseModel):
    cents: int


@activity.define
async def charge(cents: int) -> Receipt:
    return Receipt(cents=cents)


@activity.define
async def ship(parcel: str) -> str:
    return parcel


@activity.define
async def audit(line: Any) -> None: ...


def names(events: Sequence[HistoryEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@workflow.define
async def looking(ctx: Context, cents: int) -> Any:
    seen = [names(ctx.history)]
    receipt = await ctx.execute_activity(charge, cents)
    seen.append(names(ctx.history))
    await ctx.receive_signal("go")
    seen.append(names(ctx.history))
    return [receipt, *seen]


@pytest.mark.requirement("R3-26")
@pytest.mark.parametrize("crashed", [False, True])
def test_history_is_what_was_before_this_point_in_every_replay(drive: Drive, crashed: bool) -> None:
    """Also what no code was told of: an attempt that failed."""
    run = drive(looking, 700, crashed=crashed)
    run.fail("charge")
    run.advance_to_next()
    run.complete("charge", {"cents": 700})
    run.signal("go")
    until_charged = [
        "WorkflowStarted", "ActivityScheduled", "ActivityRetryScheduled", "ActivityDispatched", "ActivityCompleted",
    ]  # fmt: skip
    assert run.result == [
        {"cents": 700},
        ["WorkflowStarted"],
        until_charged,
        [*until_charged, "SignalReceived"],
    ]
    run.replay(looking).close()


@workflow.define
async def gate(ctx: Context, path: str) -> Any:
    """Ships nothing that was not paid for, whichever way it came here."""
    if path == "honest":
        await ctx.execute_activity(charge, 700)
    elif path == "hasty":
        ctx.execute_activity(charge, 700)
    elif path == "withdrawn":
        ctx.execute_activity(charge, 700).cancel()
    await ctx.execute_activity(audit, [ctx.history.called(charge), ctx.history.called("charge")])
    if not ctx.history.results(charge):
        return "not paid"
    paid: list[Receipt] = ctx.history.results(charge)
    return await ctx.execute_activity(ship, f"for {paid[0].cents}")


@pytest.mark.requirement("R3-29")
@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize(
    ("path", "called"),
    [("honest", True), ("hasty", True), ("withdrawn", False), ("dishonest", False)],
)
def test_gate_sees_whether_an_activity_was_called(
    drive: Drive, path: str, called: bool, crashed: bool
) -> None:
    run = drive(gate, path, crashed=crashed)
    if path == "honest":
        run.complete("charge", {"cents": 700})
    assert run.inputs[-1] == [[called, called]]
    run.complete("audit")
    if path == "honest":
        assert run.inputs == [["for 700"]]
        run.complete("ship", "gone")
        assert run.result == "gone"
    else:
        assert run.result == "not paid"


def test_results_by_name_are_plain_values_in_the_order_of_their_coming(drive: Drive) -> None:
    @workflow.define
    async def several(ctx: Context) -> Any:
        first, second = ctx.execute_activity(charge, 1), ctx.execute_activity(charge, 2)
        await second
        await first
        return ctx.history.results("charge")

    run = drive(several)
    run.complete(2, {"cents": 2})
    run.complete(1, {"cents": 1})
    assert run.result == [{"cents": 2}, {"cents": 1}]


EVENTS: list[HistoryEvent] = [
    WorkflowStarted(1, START_MS, "run-1", "looking", input=encode_payload({"cents": 1})),
    SignalReceived(2, START_MS, "go", encode_payload(7)),
    ActivityScheduled(3, START_MS, 1, "ship", encode_payload(["a"])),
]


def test_history_is_a_sequence_that_ends_where_the_code_is() -> None:
    history = History(EVENTS, 2, frozenset())
    assert len(history) == 2
    assert list(history) == list(history[:]) == EVENTS[:2]
    assert history[-1] == EVENTS[1]
    assert list(history[::-1]) == EVENTS[1::-1]
    assert EVENTS[2] not in history
    assert not history.called(ship)
    assert History(EVENTS, 3, frozenset()).called(ship)
    with pytest.raises(IndexError):
        history[2]
    with pytest.raises(TypeError):
        history[0] = EVENTS[2]  # type: ignore[index]


def test_payload_is_decoded_when_it_is_asked_for() -> None:
    history = History(EVENTS, 3, frozenset())
    started, signal, _ = EVENTS
    assert isinstance(started, WorkflowStarted)
    assert isinstance(signal, SignalReceived)
    assert history.value(started.input, Receipt) == Receipt(cents=1)
    assert history.value(signal.payload) == 7
    with pytest.raises(UsageError, match="is not Receipt"):
        history.value(signal.payload, Receipt)


def test_payload_in_the_store_is_refused() -> None:
    stored = encode_reference(StoredPayload("k" * 80, "0" * 64, 1_000_000))
    with pytest.raises(UsageError, match="lies in the payload store"):
        History(EVENTS, 3, frozenset()).value(stored)


def test_history_is_read_in_pieces(drive: Drive) -> None:
    """Each look takes what is new since the last one: a loop that looks at every step costs no square of them."""

    @workflow.define
    async def counting(ctx: Context) -> Any:
        counts = []
        for _ in range(5):
            await ctx.receive_signal("go")
            counts.append((len(ctx.history), len(ctx.history)))
        return counts

    run: DrivenRun = drive(counting, replayed=False)
    asked: list[int] = []
    read = run.machine._read_history

    def noting(event_id: int) -> Sequence[HistoryEvent]:
        asked.append(event_id)
        return read(event_id)

    run.machine._read_history = noting
    for _ in range(5):
        run.signal("go")
    assert run.result == [[count, count] for count in range(2, 7)]
    assert asked == [0, 2, 3, 4, 5]
