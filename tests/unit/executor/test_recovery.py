"""What a crash leaves in the store goes on by replay, at whichever step it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.executor.kit import BrokenStore, MortalStore
from weft.errors import AlreadyStartedError, WorkflowFailedError
from weft.executor import (
    DefaultExecutor,
    ExecutorError,
    Hooks,
    RetryPolicy,
    Signal,
    WorkflowFunction,
    WorkflowOptions,
    WorkflowState,
    WorkflowStore,
)
from weft.stores import InMemoryStore

calls: list[Any] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


async def note(what: Any) -> Any:
    calls.append(what)
    return what


async def fails_at_first(what: Any) -> Any:
    calls.append(what)
    if calls.count(what) == 1:
        raise RuntimeError("once")
    return what


async def order(ctx: Any, input: Any) -> list[Any]:
    """A bit of everything: parallel steps, a retry, timers, a signal, a race that leaves something behind."""
    first = await ctx.execute_activity(note, ["list", "as", "one", "argument"])
    both = await asyncio.gather(
        ctx.execute_activity(note, "left"),
        ctx.execute_activity(fails_at_first, "right", retry=RetryPolicy(3, 0.001)),
    )
    await ctx.sleep(0.002)
    approval = await ctx.receive_signal("approval", timeout=60)
    drawn, now = ctx.random().random(), ctx.now().isoformat()
    last = await ctx.execute_activity(note, "last")
    return [first, both, approval, drawn, now, last, str(ctx.uuid4())]


async def saga(ctx: Any, input: Any) -> None:
    """Fails after its compensations."""
    try:
        await ctx.execute_activity(note, "book")
        await ctx.receive_signal("approval", timeout=0.002)
    finally:
        await ctx.execute_activity(note, "undo")


Outcome = tuple[str, Any]


async def outcome_of(
    executor: DefaultExecutor, function: WorkflowFunction, store: WorkflowStore
) -> Outcome:
    """Bring the workflow to its end, whether or not it was begun before."""
    await executor.recover()
    found = await store.load("wf-1")
    if found is None:
        await executor.execute(function, WorkflowOptions(id="wf-1", input=1))
        found = await store.load("wf-1")
    assert found is not None
    if function is order and not any(event.signal_name for event in found.history):
        await executor.signal("wf-1", Signal("approval", {"by": "ada"}))
    handle = await executor.handle("wf-1")
    try:
        result = await handle.result()
    except WorkflowFailedError as error:
        result = error.message
    return str(await handle.status()), result


async def lives(function: WorkflowFunction, dies_at: int, *, written: bool) -> tuple[bool, Outcome]:
    """Whether the first process died at that save, and how it ended."""
    kept = InMemoryStore()
    mortal = MortalStore(kept, dies_at, written=written)
    async with asyncio.timeout(60):
        first = DefaultExecutor(mortal)
        life = asyncio.ensure_future(outcome_of(first, function, mortal))
        death = asyncio.ensure_future(mortal.died.wait())
        await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            death.cancel()
            return False, life.result()
        life.cancel()
        await first.close()  # it saves nothing: what runs in it is dropped
        await asyncio.gather(life, return_exceptions=True)
        async with DefaultExecutor(kept, workflows=[function]) as second:
            return True, await outcome_of(second, function, kept)


@pytest.mark.requirement("R1-1", "R1-11", "R1-28")
@pytest.mark.parametrize("function", [order, saga])
@pytest.mark.parametrize("written", [True, False])
def test_workflow_ends_the_same_when_it_crashes_at_any_save(
    function: WorkflowFunction, written: bool
) -> None:
    _, unharmed = asyncio.run(lives(function, 1000, written=written))
    once = sorted(map(str, calls))
    for dies_at in range(1, 100):
        calls.clear()
        died, outcome = asyncio.run(lives(function, dies_at, written=written))
        assert _stable(outcome) == _stable(unharmed)
        assert set(map(str, calls)) == set(once)
        if not died:
            assert dies_at > 4, "it crashed at some saves"
            return
    raise AssertionError("it crashes on and on")


def _stable(outcome: Outcome) -> Outcome:
    """Without what differs from run to run: chance, time, and the ID that follows from chance."""
    status, result = outcome
    return (status, [*result[:3], result[5]]) if isinstance(result, list) else outcome


@pytest.mark.requirement("R1-28")
def test_replay_gives_the_code_the_same_values() -> None:
    """What it drew before the crash is what it has after it; activities with results are not run again."""
    seen: list[list[Any]] = []

    async def drawing(ctx: Any, input: Any) -> list[Any]:
        values = [ctx.random().random(), ctx.now().isoformat(), str(ctx.uuid4())]
        seen.append(values)
        values.append(await ctx.execute_activity(note, "once"))
        values.append(await ctx.receive_signal("go"))
        return values

    async def run() -> Any:
        store = InMemoryStore()
        told: list[str] = []
        hooks = Hooks(
            on_workflow_start=lambda *_: told.append("start"),
            on_activity_start=lambda *_: told.append("activity"),
        )
        async with DefaultExecutor(store, hooks=hooks) as first:
            await first.execute(drawing, WorkflowOptions(id="wf-1"))
            while len((await _state(store)).history) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        async with DefaultExecutor(store, hooks=hooks, workflows=[drawing]) as second:
            await second.signal("wf-1", Signal("go", "late"))
            result = await (await second.handle("wf-1")).result()
        assert told == ["start", "activity"], "hooks are not told in a replay"
        return result

    result = asyncio.run(run())
    assert len(seen) == 2
    assert seen[0][:3] == seen[1][:3] == result[:3]
    assert calls == ["once"]
    assert result[3:] == ["once", "late"]


async def _state(store: WorkflowStore) -> WorkflowState:
    state = await store.load("wf-1")
    assert state is not None
    return state


def in_two_lives(
    function: WorkflowFunction,
    then: Callable[[DefaultExecutor, InMemoryStore], Awaitable[None]],
    *,
    workflows: Sequence[WorkflowFunction],
    between: Callable[[WorkflowState], None] | None = None,
) -> None:
    async def run() -> None:
        store = InMemoryStore()
        async with DefaultExecutor(store) as first:
            handle = await first.execute(function, WorkflowOptions(id="wf-1"))
            while len((await _state(store)).history) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        with pytest.raises(ExecutorError, match="the executor was closed before it ended"):
            await handle.result()
        if between is not None:
            state = await _state(store)
            between(state)
            await store.save(state)
        async with DefaultExecutor(store, workflows=workflows) as second:
            await then(second, store)

    asyncio.run(run())


async def waiting(ctx: Any, input: Any) -> Any:
    await ctx.execute_activity(note, "a")
    return await ctx.receive_signal("go")


def test_run_waits_in_the_store_when_its_workflow_is_not_known() -> None:
    async def then(executor: DefaultExecutor, store: InMemoryStore) -> None:
        assert "this executor has no workflow 'waiting' (it has: order)" in executor.held["wf-1"]
        for call in (executor.signal("wf-1", Signal("go")), executor.cancel("wf-1")):
            with pytest.raises(ExecutorError, match="not found or not running"):
                await call
        with pytest.raises(AlreadyStartedError):
            await executor.execute(order, WorkflowOptions(id="wf-1"))
        assert await executor.query("wf-1", "status") == "running"
        with pytest.raises(ExecutorError, match="is running and not served here"):
            await (await executor.handle("wf-1")).result()
        executor.register(waiting)
        assert await executor.recover() == ["wf-1"]
        assert await executor.recover() == []
        assert executor.held == {}
        await executor.signal("wf-1", Signal("go", 7))
        assert await (await executor.handle("wf-1")).result() == 7

    in_two_lives(waiting, then, workflows=[order])


def test_run_waits_in_the_store_when_its_code_does_not_fit_its_history() -> None:
    async def changed(ctx: Any, input: Any) -> Any:
        await ctx.execute_activity(note, "a")
        await ctx.sleep(1)
        return await ctx.receive_signal("go")

    changed.__name__ = "waiting"

    async def then(executor: DefaultExecutor, store: InMemoryStore) -> None:
        assert "differs from its history" in executor.held["wf-1"]
        before = await _state(store)
        executor.register(waiting)
        assert await _state(store) == before
        assert await executor.recover() == ["wf-1"]

    in_two_lives(waiting, then, workflows=[changed])


@pytest.mark.parametrize(
    "damage,text",
    [
        (lambda state: setattr(state, "engine", None), "its state has no bookkeeping"),
        (lambda state: state.history.pop(), "its history does not fit its bookkeeping"),
        (lambda state: state.engine["events"].pop(1), "its history does not fit its bookkeeping"),
        (lambda state: state.engine["events"].insert(0, {"type": "?"}), "cannot be read"),
    ],
)
def test_run_waits_in_the_store_when_its_state_is_not_whole(
    damage: Callable[[WorkflowState], None], text: str
) -> None:
    async def then(executor: DefaultExecutor, store: InMemoryStore) -> None:
        assert text in executor.held["wf-1"]
        assert (await _state(store)).status == "running"

    in_two_lives(waiting, then, workflows=[waiting], between=damage)


def test_nothing_follows_from_what_is_not_saved() -> None:
    """Activities, answers and results wait until the store takes the state."""

    async def two_steps(ctx: Any, input: Any) -> str:
        await ctx.receive_signal("go")
        await ctx.execute_activity(note, "second")
        return "done"

    async def run() -> None:
        store = BrokenStore()
        async with DefaultExecutor(store) as executor:
            handle = await executor.execute(two_steps, WorkflowOptions(id="wf-1"))
            store.failures = 2
            sending = asyncio.ensure_future(executor.signal("wf-1", Signal("go")))
            await asyncio.sleep(0.05)
            assert not sending.done()
            assert calls == []
            await sending
            assert store.failures == 0
            assert await handle.result() == "done"
            assert calls == ["second"]
            assert (await _state(store)).status == "completed"

    asyncio.run(run())


def test_start_is_refused_when_the_store_does_not_take_it() -> None:
    async def run() -> None:
        store = BrokenStore()
        async with DefaultExecutor(store) as executor:
            store.failures = 1
            with pytest.raises(ExecutorError, match=r"^workflow/execute: no disk$") as caught:
                await executor.execute(waiting)
            assert caught.value.code == "provider_unavailable"
            assert calls == []
            store.failures = 1
            for call, text in (
                (executor.query("wf-1", "status"), r"^workflow/query: no disk$"),
                (executor.recover(), r"^workflow/recover: no disk$"),
            ):
                with pytest.raises(ExecutorError, match=text):
                    await call

    asyncio.run(run())


def test_every_running_workflow_is_recovered_when_there_are_many() -> None:
    async def run() -> None:
        store = InMemoryStore()
        async with DefaultExecutor(store) as first:
            for number in range(450):
                await first.execute(waiting, WorkflowOptions(id=f"wf-{number}"))
        async with DefaultExecutor(store) as second:
            assert len(second.held) == 450
            second.register(waiting)
            assert len(await second.recover()) == 450

    asyncio.run(run())


_CHILD = """
import asyncio, sys
from weft.executor import DefaultExecutor, RetryPolicy, WorkflowOptions
from weft.stores import SqliteStore

def step(number):
    with open(sys.argv[2], "a") as file:
        file.write(f"{number} ")
    return number

async def steps(ctx, count):
    total = 0
    for number in range(count):
        total += await ctx.execute_activity(step, number)
        await ctx.sleep(0.002)
    return total

async def main():
    async with SqliteStore(sys.argv[1]) as store, DefaultExecutor(store, workflows=[steps]) as executor:
        if await store.load("wf-1") is None:
            await executor.execute(steps, WorkflowOptions(id="wf-1", input=60))
        print(await (await executor.handle("wf-1")).result(), flush=True)

asyncio.run(main())
"""


@pytest.mark.requirement("R1-1", "R1-28")
def test_workflow_ends_when_its_process_is_killed_again_and_again(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    noted.touch()
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "states.db"), str(noted)]
    killed = 0
    for reached in (15, 30, 45):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while f" {reached} " not in noted.read_text() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 3
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == f"{sum(range(60))}\n", ended.stderr
    numbers = [int(word) for word in noted.read_text().split()]
    assert sorted(set(numbers)) == list(range(60))
    # One whose result was not saved is run again, and no other is.
    assert len(numbers) <= 60 + killed
