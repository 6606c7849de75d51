"""A thousand activities at once: in virtual time, with crashes, and on the embedded log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from examples.fan_out.workflow import Range, Result, count_part, count_primes

from tests.support.serving import make_topics, serving
from weft.client import Client
from weft.log import Log
from weft.records import ActivityCompleted, ActivityScheduled
from weft.testing import Environment, crash_everywhere

WANTED = Range(10_000, 1_000)
RESULT = Result(primes=1_229, largest_part=4)


@pytest.mark.requirement("R2-29")
def test_thousand_activities_are_asked_for_in_one_step_and_added_up(env: Environment) -> None:
    run = env.start(count_primes, WANTED)
    assert run.result() == RESULT
    scheduled = [event for event in run.history if isinstance(event, ActivityScheduled)]
    assert [event.event_id for event in scheduled] == list(range(2, 1_002))
    assert len(env.calls(count_part)) == 1_000
    assert run.custom_status == "1000 of 1000"


@pytest.mark.requirement("R1-28", "R2-29")
def test_fan_out_ends_the_same_when_its_worker_crashes_anywhere() -> None:
    """The same code with fifty: a crash at each of a thousand results would replay two million events."""
    assert crash_everywhere(count_primes, Range(500, 50)) == Result(95, 4)


@pytest.mark.requirement("R1-28", "R2-29")
def test_thousand_activities_are_run_once_each_when_their_owner_crashes(env: Environment) -> None:
    env.fake(count_part, counted_slowly)
    run = env.start(count_primes, WANTED)
    for _ in range(3):
        env.advance(1)
        env.crash()
    assert run.custom_status not in {None, "1000 of 1000"}
    assert run.result() == RESULT
    assert len(env.calls(count_part)) == 1_000


async def counted_slowly(start: int, stop: int) -> int:
    """The first part takes ten seconds, the last none: they end in another order than they were asked for."""
    await asyncio.sleep(10 - start / 1000)
    return count_part(start, stop)  # type: ignore[no-any-return]


@pytest.mark.requirement("R2-29")
def test_thousand_activities_are_run_once_each_on_either_log(log: Log, namespace: str) -> None:
    async def run() -> tuple[Result, list[Any]]:
        make_topics(log, namespace, partitions=4)
        async with (
            serving(log, namespace, [count_primes], [count_part]),
            Client(log, namespace=namespace) as client,
        ):
            handle = await client.start(count_primes, WANTED, wait_s=30)
            return await handle.result(timeout=60), await handle.history()

    result, history = asyncio.run(run())
    assert result == RESULT
    completed = [event.activity_id for event in history if isinstance(event, ActivityCompleted)]
    assert sorted(completed) == list(range(1, 1_001))
