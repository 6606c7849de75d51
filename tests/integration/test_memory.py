"""A worker that may keep next to nothing in memory does all that any other does, on either log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.flows import collect, double, double_inline, long_history, nap, step, tally
from tests.support.serving import make_topics, serving, until
from weft.client import Client
from weft.errors import AlreadyStartedError, UnknownWorkflowError
from weft.log import Log
from weft.metrics import WorkerMetrics
from weft.worker import Worker

WORKFLOWS: list[Any] = [collect, long_history, nap, tally]
ACTIVITIES: list[Any] = [double, double_inline, step]
STEPS = 120
"""Enough for some pages of history."""
NOTHING: dict[str, Any] = {"memory_bytes_max": 0, "instance_id": "w1", "session_timeout_s": 6.0}


@pytest.fixture
def names(log: Log, namespace: str) -> str:
    make_topics(log, namespace, partitions=2)
    return namespace


def absent_count(worker: Worker) -> int:
    """Workflows of which nothing is in memory but where they lie."""
    assert worker._owner is not None, "ready before it is looked into"
    return sum(len(one.cells._absent) for one in worker._owner._serving.partitions.values())


def read_back_count(metrics: WorkerMetrics) -> float:
    return metrics.registry.get_sample_value("weft_read_back_total") or 0.0


async def start_some(client: Client, count: int) -> list[str]:
    """A bit of everything; all of them wait for signals in the end, but the naps."""
    ids = [f"collect-{number}" for number in range(count)]
    for workflow_id in ids:
        await client.start(collect, 2, id=workflow_id)
        await client.handle(workflow_id).signal("item", 1)
    for number in range(count):
        await client.start(nap, 1.0 + number / 10, id=f"nap-{number}")
        await client.start(tally, 3, id=f"tally-{number}")
    await client.start(long_history, STEPS, id="long")
    return ids


async def check_some(client: Client, count: int) -> None:
    """All goes on where it stood, ends right, and is told of afterwards."""
    for number in range(count):
        await client.handle(f"collect-{number}").signal("item", number)
        for word in ("a", "b"):
            await client.handle(f"tally-{number}").signal("word", word)
    for number in range(count):
        assert await client.handle(f"collect-{number}").result(timeout=60) == [1, number]
        assert await client.handle(f"nap-{number}").result(timeout=60) == "after done"
        assert await client.handle(f"tally-{number}").result(timeout=60) == [12, "a", "b"]
    await client.handle("long").signal("go")
    assert await client.handle("long").result(timeout=60) == STEPS


async def state_of(log: Log, names: str) -> dict[str, str]:
    """Each workflow's status, by a worker without a bound."""
    async with serving(log, names, WORKFLOWS, ACTIVITIES, instance_id="w1") as (worker, _):
        assert worker._owner is not None
        return {
            workflow_id: cell.status
            for partition in worker._owner._serving.partitions.values()
            for workflow_id, cell in partition.cells.items()
        }


def test_workflows_go_on_from_the_log_when_none_may_stay_in_memory(log: Log, names: str) -> None:
    async def run() -> None:
        metrics = WorkerMetrics()
        async with (
            Client(log, namespace=names) as client,
            serving(log, names, WORKFLOWS, ACTIVITIES, metrics=metrics, **NOTHING) as (worker, _),
        ):
            await start_some(client, 10)
            await until(lambda: absent_count(worker) >= 11, "what waits is left on the log")
            await check_some(client, 10)
            await until(lambda: absent_count(worker) == 31, "what has ended is left on the log")
            await until(lambda: read_back_count(metrics) > 30, "the metric tells of it")
        assert set((await state_of(log, names)).values()) == {"completed"}

    asyncio.run(run())


def test_next_owner_reads_back_what_it_left_on_the_log_when_it_took_over(
    log: Log, names: str
) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, WORKFLOWS, ACTIVITIES, instance_id="w1"):
                await start_some(client, 10)
                await asyncio.sleep(1.0)
            async with serving(log, names, WORKFLOWS, ACTIVITIES, **NOTHING) as (worker, _):
                await until(lambda: absent_count(worker) >= 11, "most of it stays on the log")
                assert await client.handle("long").status() == "running"
                with pytest.raises(AlreadyStartedError):
                    await client.start(collect, 2, id="collect-3")
                await check_some(client, 10)
        assert set((await state_of(log, names)).values()) == {"completed"}

    asyncio.run(run())


def test_workflow_that_is_not_in_memory_is_purged_and_started_again(log: Log, names: str) -> None:
    async def run() -> None:
        async with (
            Client(log, namespace=names) as client,
            serving(log, names, WORKFLOWS, ACTIVITIES, **NOTHING) as (worker, _),
        ):
            await start_some(client, 1)
            await check_some(client, 1)
            await until(lambda: absent_count(worker) == 4, "all have ended")
            await client.handle("long").purge()
            with pytest.raises(UnknownWorkflowError):
                await client.handle("long").status()
            await client.start(collect, 1, id="long")
            await client.start(collect, 1, id="nap-0")
            await until(lambda: absent_count(worker) == 4, "they wait")
            for workflow_id in ("long", "nap-0"):
                await client.handle(workflow_id).signal("item", workflow_id)
                assert await client.handle(workflow_id).result(timeout=60) == [workflow_id]
        assert set((await state_of(log, names)).values()) == {"completed"}

    asyncio.run(run())
