"""Code that keeps the thread to itself is interrupted; nothing else ever is."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, Served
from tests.unit.worker.workflows import at_once
from weft import workflow
from weft.errors import TurnTimeoutError
from weft.records import WorkflowStarted
from weft.worker import _watchdog
from weft.worker._room import Room
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import Context, Machine, TurnInterrupted, leave_loop

LIMIT_S = 0.1
STARTED = WorkflowStarted(1, 1_700_000_000_000, "run-1", "looping")


@pytest.fixture
def watchdog() -> Iterator[TurnWatchdog]:
    """Watches over this thread, which is left as an owner leaves it."""
    made = TurnWatchdog(LIMIT_S)
    made.start()
    yield made
    made.stop()
    leave_loop()


def spin() -> None:
    while True:
        pass


def spin_stubbornly() -> None:
    """Goes on after every exception, as long as it can."""
    while True:
        try:  # noqa: SIM105  # it would be another loop
            len("work")
        except BaseException:  # noqa: BLE001  # on purpose
            pass


def test_call_is_interrupted_when_it_does_not_come_back(watchdog: TurnWatchdog) -> None:
    for number in (1, 2):
        began = time.monotonic()
        with pytest.raises(TurnTimeoutError) as raised:
            watchdog.call(spin)
        assert time.monotonic() - began >= LIMIT_S * 0.8
        assert watchdog.interrupted_count == number
        first = spin.__code__.co_firstlineno
        lines = [f"({Path(__file__)}, line {first + offset})" for offset in (1, 2)]
        assert any(line in str(raised.value) for line in lines)
        assert "did not come to an `await` for 0.1 s" in str(raised.value)


def test_call_is_interrupted_when_it_swallows_every_exception(watchdog: TurnWatchdog) -> None:
    with pytest.raises(TurnTimeoutError):
        watchdog.call(spin_stubbornly)


def test_call_counts_as_interrupted_when_its_exception_was_swallowed(
    watchdog: TurnWatchdog,
) -> None:
    def swallow() -> None:
        try:
            spin()
        except TurnInterrupted:
            return

    with pytest.raises(TurnTimeoutError):
        watchdog.call(swallow)


def test_call_that_comes_back_is_left_alone(watchdog: TurnWatchdog) -> None:
    seen: list[int] = []
    for number in range(3):
        watchdog.call(seen.append, number)
        time.sleep(LIMIT_S * 1.5)  # outside of a call, as long as it likes
    with pytest.raises(KeyError):
        watchdog.call({}.__getitem__, "missing")
    assert (seen, watchdog.interrupted_count) == ([0, 1, 2], 0)


def test_many_calls_are_left_alone_when_only_their_sum_is_long(watchdog: TurnWatchdog) -> None:
    end = time.monotonic() + LIMIT_S * 5
    while time.monotonic() < end:
        watchdog.call(sum, range(1000))
    assert watchdog.interrupted_count == 0


def test_interrupt_hits_nothing_but_the_call_when_both_end_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of calls, each ending at about the moment of its interrupt: the code around them is never hit."""
    monkeypatch.setattr(_watchdog, "_LOOKS_A_LIMIT", 1)
    made = TurnWatchdog(0.0005)
    made.start()
    chance = random.Random(5)
    outcomes = {"interrupted": 0, "ended": 0}
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)

    def work(end: float) -> None:
        while time.perf_counter() < end:
            pass

    try:
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < 3 or (
            min(outcomes.values()) <= 50 and passed_s < 60
        ):
            try:
                made.call(work, time.perf_counter() + chance.uniform(0.0005, 0.002))
            except TurnTimeoutError:
                outcomes["interrupted"] += 1
            else:
                outcomes["ended"] += 1
            assert not made._is_open
            assert made._line is None
            for _ in range(chance.randrange(200)):  # what an interrupt that came late would hit
                pass
    finally:
        sys.setswitchinterval(switch_s)
        made.stop()
    assert min(outcomes.values()) > 50, outcomes
    assert made.interrupted_count == outcomes["interrupted"]


def test_interrupts_that_hit_while_the_call_is_closed_are_absorbed(
    watchdog: TurnWatchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as can come: one that was pending, and one that was just being raised."""
    settle = TurnWatchdog._settle
    tries: list[int] = []

    def hit(self: TurnWatchdog) -> None:
        tries.append(1)
        if len(tries) < 3:
            _watchdog._set_exception(threading.get_ident(), id(TurnInterrupted))
            for _ in range(1000):
                pass
        settle(self)

    monkeypatch.setattr(TurnWatchdog, "_settle", hit)
    watchdog.call(int)
    assert len(tries) == 3


def test_interrupt_waits_for_a_moment_outside_of_libraries(watchdog: TurnWatchdog) -> None:
    """One in the middle of logging would leave its lock taken, for every thread."""
    handler = logging.NullHandler()
    log = logging.getLogger("weft.tests.busy")
    log.addHandler(handler)
    log.propagate = False

    def chatter() -> None:
        while True:
            log.warning("again")

    with pytest.raises(TurnTimeoutError):
        watchdog.call(chatter)
    taken = threading.Thread(target=log.warning, args=("after",))
    taken.start()
    taken.join(5)
    assert not taken.is_alive(), "the handler's lock is free"


def test_exception_is_given_back_when_it_was_never_raised() -> None:
    """What the watchdog sets, it can clear: the two halves of the C call agree on the platform's types."""
    thread_id = threading.get_ident()

    def both() -> None:
        _watchdog._set_exception(thread_id, id(TurnInterrupted))
        _watchdog._set_exception(thread_id, None)

    caught = 0
    for _ in range(100):
        try:
            both()
        except TurnInterrupted:
            caught += 1
    assert caught in range(101)
    assert ctypes.sizeof(ctypes.c_ulong) >= 4


# In a workflow.


@workflow.define(name="looping")
async def looping(ctx: Context) -> Any:
    await ctx.receive_signal("go")
    while True:
        pass


@workflow.define(name="looping")
async def careful(ctx: Context) -> Any:
    return await ctx.receive_signal("go")


@workflow.define
async def looping_tasks(ctx: Context) -> Any:
    """One that loops, one beside it that would, too, and one that swallows errors."""

    async def loop() -> None:
        while True:
            pass

    async def swallow() -> None:
        while True:
            with contextlib.suppress(Exception):
                await loop()

    await asyncio.gather(loop(), swallow(), loop(), return_exceptions=True)


@workflow.define
async def looping_at_the_end(ctx: Context) -> Any:
    try:
        await ctx.receive_signal("go")
    finally:
        while True:
            pass


@pytest.fixture
def guarded(serve_live: Serve, watchdog: TurnWatchdog) -> Serve:
    def begin(*workflows: Any) -> Served:
        return serve_live(*workflows, guard=watchdog)

    return begin


def test_run_is_blocked_with_the_line_when_its_code_loops_without_awaiting(guarded: Serve) -> None:
    served = guarded(looping, at_once)
    served.start("looping")
    served.signal("go", "first")
    head = served.head()
    first = looping.function.__code__.co_firstlineno
    assert head.status == "blocked"
    assert head.reason.startswith(
        "TurnTimeoutError: The workflow's code did not come to an `await` for 0.1 s "
    )
    assert any(f"({Path(__file__)}, line {first + offset})" in head.reason for offset in (3, 4))
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked", "RecordDeferred"]
    served.start("at_once", 7, key="another")
    assert served.head("another").status == "completed"
    served.take_over(careful)
    assert served.head().status == "completed"


def test_run_is_blocked_when_several_of_its_tasks_loop(guarded: Serve) -> None:
    served = guarded(looping_tasks)
    served.start("looping_tasks")
    assert served.head().status == "blocked"
    assert served.head().reason.startswith("TurnTimeoutError: ")


def test_code_that_loops_while_it_is_dropped_is_interrupted(watchdog: TurnWatchdog) -> None:
    machine = Machine(looping_at_the_end, "order-42", watchdog)
    machine.activate(STARTED)
    machine.close()
    assert watchdog.interrupted_count == 1
    assert not machine.loop.forget_done()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_blocked_runs_that_still_loop_are_tried_one_a_batch(
    guarded: Serve, watchdog: TurnWatchdog
) -> None:
    """A worker with bad code serves the others in between."""
    served = guarded(looping, at_once)
    for key in ("a", "b", "c"):
        served.start("looping", key=key)
        served.turn(served.signals(b'{"signal": "go"}', key))
    before = watchdog.interrupted_count
    served.rebuild()
    rounds = 1
    served.turn()

    def tried_all() -> bool:
        room = Room(served.batch, watchdog)
        return served.partition.resume_blocked(served.batch, served.now_ms, room)

    while not tried_all():
        served.start("at_once", rounds, key=f"between-{rounds}")
        assert served.head(f"between-{rounds}").status == "completed"
        rounds += 1
    assert watchdog.interrupted_count - before == 3
    assert rounds == 3
    assert NAMESPACE.state in served.written
