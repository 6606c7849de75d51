"""DBOS, a library, on a PostgreSQL of its own with default settings.

Client and worker are one process, which is the way DBOS is meant to be used: a workflow is started and awaited in the
process that runs it, and steps are calls, not tasks for some other worker. Only W6 needs a worker that can be killed:
there the client is a process apart, and workflows reach the worker through a DBOS queue.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from benchmarks.peers import install, servers, workloads
from benchmarks.peers.servers import HOST
from dbos import DBOS, DBOSClient

BACKEND = "postgresql"
IN_PROCESS, QUEUED = "steps", "steps, through a queue"
_HOME = Path(sys.prefix).parent
_USER = "bench"
_QUEUE = "bench"
_TOPIC = "go"
_VERSION = "1"
"""Of the workflows' code: a worker takes up only what was started under its own."""
_READY = "the queue is served"
_POLL_S = 0.05
_WAIT_S = 120.0


@DBOS.step()
async def echo(text: str) -> str:
    return text


@DBOS.step()
async def slow(text: str, number: int, step: int) -> str:
    return await workloads.sleep_and_mark(text, number, step)


@DBOS.workflow()
async def chain(text: str, steps: int) -> str:
    for _ in range(steps):
        text = await echo(text)
    return text


@DBOS.workflow()
async def timed_chain(text: str, steps: int) -> list[float]:
    times_s = [time.perf_counter()]  # for the measurement only: this workflow is never replayed
    for _ in range(steps):
        text = await echo(text)
        times_s.append(time.perf_counter())
    return times_s


@DBOS.workflow()
async def fan(text: str, activities: int) -> int:
    results = await asyncio.gather(*(echo(text) for _ in range(activities)))
    return sum(result == text for result in results)


@DBOS.workflow()
async def signalled() -> str:
    return str(await DBOS.recv_async(_TOPIC, timeout_seconds=_WAIT_S))


@DBOS.workflow()
async def slow_chain(text: str, number: int) -> str:
    for step in range(workloads.STEPS):
        text = await slow(text, number, step)
    return text


def variants(workload: str) -> Sequence[str]:
    return (QUEUED if workload == "W6" else IN_PROCESS,)


def versions() -> Mapping[str, str]:
    postgres = subprocess.run(
        [_postgres_bin() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return {"dbos": importlib.metadata.version("dbos"), "postgresql": postgres.stdout.split()[2]}


@asynccontextmanager
async def started(variant: str, folder: Path) -> AsyncIterator[workloads.Peer]:
    port, log = servers.free_port(), folder / "postgres.log"
    address = f"postgresql://{_USER}@{HOST}:{port}/postgres"
    with servers.stopped_at_the_end(_start_postgres(folder, port, log), signal.SIGINT) as postgres:
        await servers.until_it_answers(lambda: _ask(address), postgres, log)
        if variant == QUEUED:
            queued = Queued(postgres.pid, address, folder / "worker.log")
            try:
                await servers.until_it_answers(queued.ask, queued.worker, queued.log)
                yield queued
            finally:
                queued.end()
            return
        DBOS(config=_config(address))
        DBOS.launch()
        try:
            yield InProcess(postgres.pid)
        finally:
            DBOS.destroy()


class InProcess:
    """This process is the client and runs the workflows."""

    def __init__(self, postgres_pid: int) -> None:
        self._postgres_pid = postgres_pid

    def pids(self) -> Mapping[str, int]:
        return {"server": self._postgres_pid, "worker and client": os.getpid()}

    async def chain(self, steps: int) -> str:
        handle = await DBOS.start_workflow_async(chain, workloads.PAYLOAD, steps)
        return str(await handle.get_result())

    async def chain_times(self, steps: int) -> list[float]:
        handle = await DBOS.start_workflow_async(timed_chain, workloads.PAYLOAD, steps)
        return list(await handle.get_result())

    async def fan_out(self, activities: int) -> int:
        handle = await DBOS.start_workflow_async(fan, workloads.PAYLOAD, activities)
        return int(await handle.get_result())

    async def wait_for_signal(self) -> Callable[[], Awaitable[str]]:
        handle = await DBOS.start_workflow_async(signalled)

        async def signal_it() -> str:
            await DBOS.send_async(handle.workflow_id, workloads.PAYLOAD, topic=_TOPIC)
            return str(await handle.get_result())

        return signal_it

    async def remarks(self) -> workloads.Figures:
        return {}


class Queued:
    """A worker process that takes workflows from a queue, all that are there; this process is the client."""

    def __init__(self, postgres_pid: int, address: str, log: Path) -> None:
        self._postgres_pid, self._address, self.log = postgres_pid, address, log
        self.worker = servers.start_worker("dbos", log, address)
        self._client = DBOSClient(system_database_url=address)

    async def ask(self) -> None:
        """Fails until the worker has made its tables and serves the queue: it says so in its log."""
        if _READY not in self.log.read_text():
            raise RuntimeError("the worker serves no queue")

    def end(self) -> None:
        self._client.destroy()
        servers.kill(self.worker)

    def pids(self) -> Mapping[str, int]:
        return {
            "server": self._postgres_pid,
            "worker": self.worker.pid,
            "client": os.getpid(),
        }

    async def chain(self, steps: int) -> str:
        return await self._result(await self._enqueue(chain, None, workloads.PAYLOAD, steps))

    async def start_slow(self, number: int) -> None:
        await self._enqueue(slow_chain, f"slow-{number}", workloads.PAYLOAD, number)

    async def slow_results(self, count: int) -> list[str]:
        """Asks the database how many are done: cheaper than as many handles, which poll too."""
        while True:
            done = await self._client.list_workflows_async(
                name=slow_chain.__qualname__, status="SUCCESS", load_input=False
            )
            if len(done) >= count:
                return [str(status.output) for status in done]
            await asyncio.sleep(_POLL_S)

    def kill_worker(self) -> None:
        servers.kill(self.worker)

    def start_worker(self) -> None:
        self.worker = servers.start_worker("dbos", self.log, self._address)

    async def remarks(self) -> workloads.Figures:
        return {}

    async def _enqueue(
        self, workflow: Callable[..., object], name: str | None, *values: object
    ) -> str:
        options = {
            "workflow_name": workflow.__qualname__,
            "queue_name": _QUEUE,
            "workflow_id": name or uuid.uuid4().hex,
            "app_version": _VERSION,
        }
        handle = await self._client.enqueue_async(options, *values)
        return str(handle.workflow_id)

    async def _result(self, name: str) -> str:
        handle = await self._client.retrieve_workflow_async(name)
        return str(await handle.get_result())


def serve(arguments: Sequence[str]) -> None:
    (address,) = arguments
    DBOS(config=_config(address))
    DBOS.launch()
    DBOS.register_queue(_QUEUE)
    print(_READY, flush=True)
    signal.pause()


def _config(address: str) -> dict[str, str]:
    return {
        "name": "bench",
        "system_database_url": address,
        "application_version": _VERSION,
        "log_level": "ERROR",
    }


async def _ask(address: str) -> None:
    async with await psycopg.AsyncConnection.connect(address) as connection:
        await connection.execute("SELECT 1")


def _postgres_bin() -> Path:
    found = install.postgres_bin(_HOME)
    assert found, "installed with the peer"
    return found


def _start_postgres(folder: Path, port: int, log: Path) -> servers.Process:
    """A cluster of its own in this folder, with default settings; listens on the loopback interface only."""
    user = servers.someone_else()
    if user:
        for place in (folder.parent, folder):
            os.chown(place, user.pw_uid, user.pw_gid)
    programs, environment = _postgres_bin(), install.library_path(_HOME)
    data = str(folder / "cluster")
    initdb: list[str | Path] = [programs / "initdb", "-D", data, "-A", "trust", "-U", _USER]
    servers.run_to_end(initdb, log, env=environment, user=user)
    postgres: list[str | Path] = [
        programs / "postgres",
        "-D",
        data,
        "-h",
        HOST,
        "-p",
        str(port),
        "-k",
        str(folder),
    ]
    return servers.start(postgres, log, env=environment, user=user)
