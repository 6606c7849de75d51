"""Temporal's development server (its command line program) and a worker process of the Python SDK.

Both as they are by default, but for two limits that are lifted in Temporal's favour.

In two ways: the server keeps everything in memory, as it does by default, which loses all when it ends; or in an
SQLite file. Neither is what a production cluster does: these figures say nothing about one.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow

with (
    workflow.unsafe.imports_passed_through()
):  # it passes what is named, and not what is below that
    from benchmarks.peers.meters import GRID_STRENGTH_MAX, grid_strength
    from benchmarks.peers.servers import (
        HOST,
        free_port,
        kill,
        start,
        start_worker,
        stopped_at_the_end,
        until_it_answers,
    )
    from benchmarks.peers.workloads import PAYLOAD, STEPS, Figures, Peer, sleep_and_mark
    from temporalio.client import Client, WorkflowHandle
    from temporalio.worker import Worker

BACKEND = "temporal-dev-server"
MEMORY, FILE = "memory", "file"
_SERVER = Path(sys.prefix) / "bin" / "temporal"
_LIFTED = ("history.transferProcessorMaxPollRPS=1000", "frontend.namespaceCount=10000")
"""By default a shard looks for tasks 20 times a second at most, and this server has but one: tasks come every 50 ms.
And no more than 1,200 may wait for results at once, which W1 with 2,000 in flight needs."""
_QUEUE = "bench"
_SAMPLES = 100
"""So many of the last runs are asked for the times of their tasks."""
ACTIVITY_TIMEOUT_S = 10.0
"""The server learns by it that a worker is gone, so W6's figure is more than this; Temporal has no default for it."""


@activity.defn
async def echo(text: str) -> str:
    return text


@activity.defn
async def slow(text: str, number: int, step: int) -> str:
    return await sleep_and_mark(text, number, step)


_TIMEOUT = timedelta(seconds=ACTIVITY_TIMEOUT_S)


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, text: str, steps: int) -> str:
        for _ in range(steps):
            text = await workflow.execute_activity(echo, text, start_to_close_timeout=_TIMEOUT)
        return text


@workflow.defn
class Fan:
    @workflow.run
    async def run(self, text: str, activities: int) -> int:
        begun = (
            workflow.execute_activity(echo, text, start_to_close_timeout=_TIMEOUT)
            for _ in range(activities)
        )
        return sum(result == text for result in await asyncio.gather(*begun))


@workflow.defn
class Signalled:
    def __init__(self) -> None:
        self._texts: list[str] = []

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: bool(self._texts))
        return self._texts[0]

    @workflow.signal
    def go(self, text: str) -> None:
        self._texts.append(text)


@workflow.defn
class SlowChain:
    @workflow.run
    async def run(self, text: str, number: int) -> str:
        for step in range(STEPS):
            text = await workflow.execute_activity(
                slow, args=[text, number, step], start_to_close_timeout=_TIMEOUT
            )
        return text


def variants(_workload: str) -> Sequence[str]:
    return (MEMORY, FILE)


def versions() -> Mapping[str, str]:
    told = subprocess.run([_SERVER, "--version"], capture_output=True, text=True, check=True)
    sdk = importlib.metadata.version("temporalio")
    return {"temporal": told.stdout.strip().removeprefix("temporal version "), "temporalio": sdk}


@asynccontextmanager
async def started(variant: str, folder: Path) -> AsyncIterator[Peer]:
    port, log = free_port(), folder / "server.log"
    command: list[str | Path] = [
        _SERVER,
        "server",
        "start-dev",
        "--headless",
        "--ip",
        HOST,
        "--port",
        str(port),
    ]
    command += ["--log-level", "error"]
    for setting in _LIFTED:
        command += ["--dynamic-config-value", setting]
    if variant == FILE:
        command += ["--db-filename", folder / "temporal.db"]
    address = f"{HOST}:{port}"
    with stopped_at_the_end(start(command, log)) as server:
        client = await until_it_answers(lambda: _connect(address), server, log)
        peer = Temporal(server.pid, client, address, folder / "worker.log")
        try:
            yield peer
        finally:
            peer.kill_worker()


async def _connect(address: str) -> Client:
    client = await Client.connect(address)
    await client.count_workflows()
    return client


class Temporal:
    def __init__(self, server_pid: int, client: Client, address: str, worker_log: Path) -> None:
        self._server_pid, self._client = server_pid, client
        self._address, self._worker_log = address, worker_log
        self._names = itertools.count()
        self._last: deque[WorkflowHandle[Any, Any]] = deque(maxlen=_SAMPLES)
        self._slow: dict[int, WorkflowHandle[Any, Any]] = {}
        self.start_worker()

    def pids(self) -> Mapping[str, int]:
        return {"server": self._server_pid, "worker": self._worker.pid, "client": os.getpid()}

    def kill_worker(self) -> None:
        kill(self._worker)

    def start_worker(self) -> None:
        self._worker = start_worker("temporal", self._worker_log, self._address)

    async def chain(self, steps: int) -> str:
        return str(await (await self._start(Chain.run, PAYLOAD, steps)).result())

    async def chain_times(self, steps: int) -> list[float]:
        """From the server's history: the workflow's own code may be replayed."""
        handle = await self._start(Chain.run, PAYLOAD, steps)
        await handle.result()
        kinds = ("workflow_execution_started", "activity_task_completed")
        return await _event_times_s(handle, *kinds)

    async def fan_out(self, activities: int) -> int:
        return int(await (await self._start(Fan.run, PAYLOAD, activities)).result())

    async def wait_for_signal(self) -> Callable[[], Awaitable[str]]:
        handle = await self._start(Signalled.run)

        async def signal_it() -> str:
            await handle.signal(Signalled.go, PAYLOAD)
            return str(await handle.result())

        return signal_it

    async def start_slow(self, number: int) -> None:
        self._slow[number] = await self._start(SlowChain.run, PAYLOAD, number)

    async def slow_results(self, count: int) -> list[str]:
        results = (self._slow[number].result() for number in range(count))
        return [str(result) for result in await asyncio.gather(*results)]

    async def remarks(self) -> Figures:
        """Whether workflow tasks came to the worker on a grid: such figures tell of the grid, not of the system."""
        times_s = [
            time_s
            for handle in self._last
            for time_s in await _event_times_s(handle, "workflow_task_started")
        ]
        strength = grid_strength(times_s)
        return {
            "activity_timeout_s": ACTIVITY_TIMEOUT_S,
            "settings": list(_LIFTED),
            "grid_strength": round(strength, 2),
            "comparable": strength <= GRID_STRENGTH_MAX,
        }

    async def _start(self, run: Any, *values: object) -> WorkflowHandle[Any, Any]:
        name = f"run-{next(self._names)}"
        handle = await self._client.start_workflow(
            run, args=list(values), id=name, task_queue=_QUEUE
        )
        self._last.append(handle)
        return handle


async def _event_times_s(handle: WorkflowHandle[Any, Any], *kinds: str) -> list[float]:
    """When the server noted the events of these kinds in a run's history."""
    return [
        event.event_time.ToNanoseconds() / 1e9
        async for event in handle.fetch_history_events()
        if any(event.HasField(f"{kind}_event_attributes") for kind in kinds)
    ]


def serve(arguments: Sequence[str]) -> None:
    (address,) = arguments
    asyncio.run(_serve(address))


async def _serve(address: str) -> None:
    client = await _connect(address)
    workflows = [Chain, Fan, Signalled, SlowChain]
    async with Worker(client, task_queue=_QUEUE, workflows=workflows, activities=[echo, slow]):
        await asyncio.Event().wait()
