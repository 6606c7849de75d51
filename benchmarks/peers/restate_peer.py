"""Restate: its server with default durability, and a worker process that serves the Python SDK over HTTP/2.

In two ways: an activity is a `ctx.run` step of the workflow's handler, recorded there and run in the same process, as
Weft's inline activities are; or it is a call of another service, an invocation of its own, as Weft's queued ones are.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import hypercorn.asyncio
import restate
from benchmarks.peers import install, servers, workloads
from benchmarks.peers.servers import HOST
from hypercorn.config import Config

BACKEND = "restate-server"
RUN, CALLS = "ctx.run", "calls"
_NO_LIMIT = 2**31 - 1
_HOME = Path(sys.prefix).parent

activities = restate.Service("Activities")


@activities.handler("echo")
async def echo(_: restate.Context, text: str) -> str:
    return text


@activities.handler("slow")
async def slow(_: restate.Context, call: dict[str, Any]) -> str:
    return await workloads.sleep_and_mark(**call)


async def echo_step(text: str) -> str:
    return text


async def run_echo(context: restate.Context, text: str) -> str:
    return str(await context.run_typed("echo", echo_step, text=text))


async def call_echo(context: restate.Context, text: str) -> str:
    return str(await context.service_call(echo, text))


async def run_slow(context: restate.Context, call: dict[str, Any]) -> str:
    return str(await context.run_typed("slow", workloads.sleep_and_mark, **call))


async def call_slow(context: restate.Context, call: dict[str, Any]) -> str:
    return str(await context.service_call(slow, call))


chain = restate.Workflow("Chain")
timed_chain = restate.Workflow("TimedChain")
fan = restate.Workflow("Fan")
slow_chain = restate.Workflow("SlowChain")
signalled = restate.Workflow("Signalled")


@chain.main("run")
async def chain_run(context: restate.WorkflowContext, asked: dict[str, Any]) -> str:
    step = run_echo if asked["variant"] == RUN else call_echo
    text = str(asked["text"])
    for _ in range(asked["count"]):
        text = await step(context, text)
    return text


@timed_chain.main("run")
async def timed_chain_run(context: restate.WorkflowContext, asked: dict[str, Any]) -> list[float]:
    step = run_echo if asked["variant"] == RUN else call_echo
    times_s = [
        time.perf_counter()
    ]  # for the measurement only; a replay would show as too few of them
    for _ in range(asked["count"]):
        await step(context, asked["text"])
        times_s.append(time.perf_counter())
    return times_s


@fan.main("run")
async def fan_run(context: restate.WorkflowContext, asked: dict[str, Any]) -> int:
    text = asked["text"]
    if asked["variant"] == RUN:
        begun = [context.run_typed("echo", echo_step, text=text) for _ in range(asked["count"])]
    else:
        begun = [context.service_call(echo, text) for _ in range(asked["count"])]
    done = await restate.gather(*begun)
    return sum([await result == text for result in done])


@slow_chain.main("run")
async def slow_chain_run(context: restate.WorkflowContext, asked: dict[str, Any]) -> str:
    activity = run_slow if asked["variant"] == RUN else call_slow
    text = str(asked["text"])
    for step in range(asked["count"]):
        text = await activity(context, {"text": text, "number": asked["number"], "step": step})
    return text


@signalled.main("run")
async def signalled_run(context: restate.WorkflowContext, _: dict[str, Any]) -> str:
    return str(await context.promise("go", type_hint=str).value())


@signalled.handler("go")
async def signalled_go(context: restate.WorkflowSharedContext, text: str) -> None:
    await context.promise("go", type_hint=str).resolve(text)


def variants(workload: str) -> Sequence[str]:
    return (RUN,) if workload == "W4" else (RUN, CALLS)  # W4 has no activities


def versions() -> Mapping[str, str]:
    server = subprocess.run([_server(), "--version"], capture_output=True, text=True, check=True)
    packages = ("restate-sdk", "hypercorn", "aiohttp")
    return {
        "restate-server": server.stdout.split()[1],
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _server() -> Path:
    (found,) = _HOME.glob(install.RESTATE_SERVER)
    return found


@asynccontextmanager
async def started(variant: str, folder: Path) -> AsyncIterator[workloads.Peer]:
    node, admin, ingress, service = (servers.free_port() for _ in range(4))
    environment = {
        "RESTATE_BASE_DIR": str(folder / "data"),
        "RESTATE_BIND_ADDRESS": f"{HOST}:{node}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"{HOST}:{admin}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"{HOST}:{ingress}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "error",
    }
    log = folder / "server.log"
    with servers.stopped_at_the_end(servers.start([_server()], log, env=environment)) as server:
        connections = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(
            f"http://{HOST}:{ingress}", connector=connections, timeout=timeout
        ) as http:
            peer = Restate(variant, server, http, service, folder / "worker.log")
            try:
                await peer.register(f"http://{HOST}:{admin}", f"http://{HOST}:{ingress}", log)
                yield peer
            finally:
                peer.kill_worker()


class Restate:
    def __init__(
        self,
        variant: str,
        server: servers.Process,
        http: aiohttp.ClientSession,
        port: int,
        worker_log: Path,
    ) -> None:
        self._variant, self._server, self._http = variant, server, http
        self._port, self._worker_log = port, worker_log
        self._names = itertools.count()
        self.start_worker()

    async def register(self, admin: str, ingress: str, log: Path) -> None:
        """Tell the server where the worker is; it then asks the worker what it serves."""
        address = {"uri": f"http://{HOST}:{self._port}", "use_http_11": False}
        body = json.dumps(address).encode()
        for url, sent in (
            (f"{admin}/health", None),
            (f"{admin}/deployments", body),
            (f"{ingress}/restate/health", None),
        ):
            ask = functools.partial(servers.http, url, sent)
            await servers.until_it_answers(ask, self._server, log)

    def pids(self) -> Mapping[str, int]:
        return {"server": self._server.pid, "worker": self._worker.pid, "client": os.getpid()}

    def kill_worker(self) -> None:
        servers.kill(self._worker)

    def start_worker(self) -> None:
        self._worker = servers.start_worker("restate", self._worker_log, str(self._port))

    async def remarks(self) -> workloads.Figures:
        return {}

    async def chain(self, steps: int) -> str:
        return str(await self._run("Chain", count=steps))

    async def chain_times(self, steps: int) -> list[float]:
        return list(await self._run("TimedChain", count=steps))

    async def fan_out(self, activities: int) -> int:
        return int(await self._run("Fan", count=activities))

    async def wait_for_signal(self) -> Callable[[], Awaitable[str]]:
        name = next(self._names)
        result = asyncio.create_task(self._post(f"/Signalled/{name}/run", self._asked()))

        async def signal_it() -> str:
            sending = asyncio.create_task(self._post(f"/Signalled/{name}/go", workloads.PAYLOAD))
            text = str(await result)  # it may be there before the signal's sender has its answer
            await sending
            return text

        return signal_it

    async def start_slow(self, number: int) -> None:
        asked = self._asked(count=workloads.STEPS, number=number)
        await self._post(f"/SlowChain/slow-{number}/run/send", asked)

    async def slow_results(self, count: int) -> list[str]:
        async def result(number: int) -> str:
            path = f"/restate/workflow/SlowChain/slow-{number}/attach"
            async with self._http.get(path) as answer:
                answer.raise_for_status()
                return str(await answer.json())

        return await asyncio.gather(*(result(number) for number in range(count)))

    async def _run(self, workflow: str, **asked: object) -> Any:
        return await self._post(f"/{workflow}/{next(self._names)}/run", self._asked(**asked))

    def _asked(self, **more: object) -> dict[str, object]:
        return {"variant": self._variant, "text": workloads.PAYLOAD, **more}

    async def _post(self, path: str, body: object) -> Any:
        async with self._http.post(path, json=body) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {text[:200]}")
            return json.loads(text) if text else None


def serve(arguments: Sequence[str]) -> None:
    (port,) = arguments
    config = Config()
    config.bind = [f"{HOST}:{port}"]
    config.accesslog = None
    # As Restate's documentation has it.
    config.h2_max_concurrent_streams = _NO_LIMIT
    config.keep_alive_max_requests = _NO_LIMIT
    config.keep_alive_timeout = _NO_LIMIT
    served = [activities, chain, timed_chain, fan, slow_chain, signalled]
    asyncio.run(hypercorn.asyncio.serve(restate.app(served), config))
