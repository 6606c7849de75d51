"""Two owners whose clocks differ by ten minutes, and a partition that moves between them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.integration.faults_kit import Stage, check, seconds_since, serving
from tests.support.flows import nap
from tests.support.workers import wait_until
from weft.client import Client
from weft.host import Host
from weft.records import Event, TimerFired, TimerStarted

pytestmark = pytest.mark.kafka

JUMP_S = 600.0


class Ahead(Host):
    """A machine whose clock is ten minutes ahead of the others'."""

    def time(self) -> float:
        return super().time() + JUMP_S


@pytest.fixture
def stage(kafka_address: str, namespace: str) -> Stage:
    return Stage(kafka_address, namespace, partitions=1)


def timer_of(history: list[Event]) -> tuple[TimerStarted, TimerFired]:
    (started,) = [event for event in history if isinstance(event, TimerStarted)]
    (fired,) = [event for event in history if isinstance(event, TimerFired)]
    return started, fired


def test_timer_is_early_by_no_more_than_the_jump_when_it_moves_to_a_clock_ahead(
    stage: Stage,
) -> None:
    async def run() -> None:
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage, instance_id="right"):
                handle = await client.start(nap, JUMP_S + 8.0, id="nap", wait_s=60)
                await asyncio.to_thread(timers_started, stage, client)
                began_s = time.monotonic()
            with serving(stage, instance_id="ahead", host=Ahead()) as ahead:
                assert await handle.result(timeout=60) == "after done"
                assert seconds_since(began_s) >= 7.0, (
                    "608 s, less the 600 by which the clock is off"
                )
                history = await handle.history()
                started, fired = timer_of(history)
                assert fired.time_ms >= started.due_ms
                check(stage, ahead)

    asyncio.run(run())


def test_order_of_a_run_is_kept_when_its_clock_steps_back(stage: Stage) -> None:
    async def run() -> None:
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage, instance_id="ahead", host=Ahead()):
                sleeper = await client.start(nap, 1.0, id="sleeper", wait_s=60)
                await asyncio.to_thread(timers_started, stage, client)
                waiter = await client.start("tally", 1, id="waiter", wait_s=60)
                await waiter.signal("word", "first")
                while not any(isinstance(event, TimerFired) for event in await waiter.history()):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)  # or it would be due at ten minutes past, too
            with serving(stage, instance_id="right") as right:
                await waiter.signal("word", "second", timeout_s=60)
                assert await waiter.result(timeout=60) == [0, "first", "second"]
                times = [event.time_ms for event in await waiter.history()]
                assert times != sorted(times), "it shows that the clock was set back"
                assert await sleeper.status() == "running", "due at ten minutes past, by this clock"
                # New timers are right: they are set and looked at by the same clock.
                began_s = time.monotonic()
                fresh = await client.start(nap, 1.0, id="fresh", wait_s=60)
                await fresh.result(timeout=60)
                assert 1.0 <= seconds_since(began_s) < 30.0
                check(stage, right)
            with serving(stage, instance_id="ahead", host=Ahead()) as ahead:
                assert await sleeper.result(timeout=60) == "after done"
                started, fired = timer_of(await sleeper.history())
                assert fired.time_ms >= started.due_ms
                check(stage, ahead)

    asyncio.run(run())


def timers_started(stage: Stage, client: Client) -> None:
    """Wait until a timer is in the state of a workflow."""
    wait_until(
        lambda: any(
            b"TimerStarted" in (one.value or b"") for one in stage.read(stage.namespace.state)
        ),
        "a timer runs",
    )
