"""The history in a store: what happened, for whoever reads it, and all that a replay needs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from weft.errors import WorkflowFailedError
from weft.executor import DefaultExecutor, RetryPolicy, Signal, WorkflowOptions, WorkflowState
from weft.executor._history import read_events
from weft.stores import InMemoryStore


async def double(number: int) -> int:
    return number * 2


async def failing(first: str, second: str) -> None:
    raise RuntimeError("bad")


async def eventful(ctx: Any, input: Any) -> str:
    await ctx.receive_signal("go")
    await ctx.sleep(0.02)
    await ctx.execute_activity(double, 4)
    with suppress(Exception):
        await ctx.execute_activity(failing, "a", "b", retry=RetryPolicy(2, 0.001))
    return "done"


def stored(function: Any, *signals: Signal, cancel: bool = False, **options: Any) -> WorkflowState:
    async def run() -> WorkflowState:
        store = InMemoryStore()
        async with DefaultExecutor(store) as executor:
            handle = await executor.execute(function, WorkflowOptions(id="wf-1", **options))
            for signal in signals:
                await executor.signal("wf-1", signal)
            if cancel:
                await executor.cancel("wf-1")
            with suppress(WorkflowFailedError):
                await handle.result()
        state = await store.load("wf-1")
        assert state is not None
        return state

    return asyncio.run(run())


@pytest.mark.requirement("R1-27", "R1-29")
def test_history_tells_all_that_happened_in_order() -> None:
    state = stored(eventful, Signal("go", {"by": "ada"}), input={"order": 7})
    assert [event.id for event in state.history] == list(range(1, len(state.history) + 1))
    told = [
        (
            str(e.type),
            e.activity_name or e.signal_name,
            e.input,
            e.result,
            e.signal_payload,
            e.error,
        )
        for e in state.history
    ]
    assert told == [
        ("workflow_started", "", {"order": 7}, None, None, ""),
        ("signal_received", "go", None, None, {"by": "ada"}, ""),
        ("timer_fired", "", None, None, None, ""),
        ("activity_started", "double", 4, None, None, ""),
        ("activity_completed", "double", None, 8, None, ""),
        ("activity_started", "failing", ["a", "b"], None, None, ""),
        ("activity_failed", "failing", None, None, None, "bad"),
        ("workflow_completed", "", None, "done", None, ""),
    ]
    times = [event.timestamp for event in state.history]
    assert times == sorted(times)
    assert 20_000_000 <= state.history[2].duration_ns < 10_000_000_000
    assert (state.status, state.input, state.result, state.error) == (
        "completed",
        {"order": 7},
        "done",
        "",
    )
    assert state.created_at == times[0]
    assert state.updated_at == times[-1]
    assert state.run_id.startswith("run-")


def test_bookkeeping_and_history_give_every_event_back() -> None:
    state = stored(eventful, Signal("go", ["one", "list"]), input=[1, [2]])
    events = read_events(WorkflowState.from_json(state.to_json()))
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    kept = {type(event).__name__: event for event in events}
    assert bytes(kept["WorkflowStarted"].input) == b"[1,[2]]"  # type: ignore[union-attr]
    assert bytes(kept["SignalReceived"].payload) == b'["one","list"]'  # type: ignore[union-attr]
    assert bytes(kept["ActivityScheduled"].input) == b'["a","b"]'  # type: ignore[union-attr]
    assert bytes(kept["ActivityCompleted"].result) == b"8"  # type: ignore[union-attr]
    assert bytes(kept["WorkflowCompleted"].result) == b'"done"'  # type: ignore[union-attr]
    # What users brought in stands in the state once.
    assert b'"by"' not in state.to_json().partition(b'"Engine"')[2]


async def sleepy(ctx: Any, input: Any) -> None:
    await ctx.sleep(30)


async def broken(ctx: Any, input: Any) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize(
    "function,options,last,status,error",
    [
        (broken, {}, "workflow_failed", "failed", "broken"),
        (sleepy, {"cancel": True}, "workflow_canceled", "canceled", "the workflow was cancelled"),
        (sleepy, {"timeout": 0.01}, "workflow_failed", "failed", "not done within 10 ms"),
    ],
)
def test_ending_is_told_in_the_state(
    function: Any, options: Any, last: str, status: str, error: str
) -> None:
    state = stored(function, **options)
    assert (state.history[-1].type, state.history[-1].error) == (last, error)
    assert (state.status, state.error, state.result) == (status, error, None)
