"""W6: a worker is killed with -9 in the middle of its work. How long it takes, what is lost, what is done twice.

Its workers are its own: one process for workflows and activities, restarted under the same instance ID; and two of
them for the time until a partition is served again by the restarted one, or by the other.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes, workloads
from benchmarks.processes import Process
from benchmarks.stage import Line, Stage, line, say

from weft.client import Client
from weft.topics import partition_of

WORKFLOWS = 500
KILL_AT = 0.4
"""Share of the activities that are done when the worker is killed."""
REPEATS = 3
CONCURRENCY = 2000
SESSION_TIMEOUT_S = 6.0
"""Of a worker, as it is by default: so long it takes until a dead one is missed."""
_WAIT_S = 120.0
_POLL_S = 0.002
_STARTS_AT_A_TIME = 50
_PAYLOAD = "x" * 100


@dataclass
class Marks:
    """The file in which every activity notes its begin and its end."""

    file: Path

    def counts(self, kind: str) -> Counter[str]:
        """How often each activity has begun (`b`) or ended (`e`)."""
        text = self.file.read_text() if self.file.exists() else ""
        lines = (line.split(" ", 1) for line in text.splitlines())
        return Counter(activity for found, activity in lines if found == kind)


async def w6(stage: Stage) -> AsyncIterator[Line]:
    """One line for the work that was interrupted, one for each way to be served again."""
    namespace = stage.new_namespace()
    options = stage.options(namespace)
    async with Client(stage.log, namespace=namespace) as client:
        yield await _interrupted(stage, client, options)
        yield await _served_again(stage, client, options, "restart under the same instance ID")
        yield await _served_again(stage, client, options, "takeover by another worker")


async def _interrupted(stage: Stage, client: Client, options: Sequence[str]) -> Line:
    count = stage.count(WORKFLOWS, 10)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        marks = Marks(Path(folder) / "marks")
        env = {workloads.MARKS: str(marks.file)}
        own = [*options, "--instance-id", "w6", "--concurrency", str(CONCURRENCY)]
        worker = processes.start_worker(own, env=env)
        try:
            await _warm_up(client)
            say(f"W6, {count} workflows")
            name = secrets.token_hex(4)
            total = count * workloads.STEPS
            with stage.measured({}) as span:
                # In a thread of its own: this one is busy with starting.
                killing = asyncio.create_task(
                    asyncio.to_thread(_kill_at, worker, marks, int(KILL_AT * total), own, env)
                )
                runs = await _start(client, name, count)
                killed = await killing
                worker = killed.successor
                results = await asyncio.gather(*runs, return_exceptions=True)
                heard_s = time.time() - killed.time_s
            done = marks.counts("e")
            return line(
                "W6",
                f"kill -9 at {KILL_AT:.0%}, restart at once",
                span,
                workflows=count,
                seconds=round(heard_s, 2),
                last_activity_s=round(marks.file.stat().st_mtime - killed.time_s, 2),
                lost=sum(result != _PAYLOAD for result in results),
                activities=total,
                ended_at_kill=killed.ended.total(),
                running_at_kill=len(killed.begun - killed.ended),
                finished_twice=sum(times > 1 for times in done.values()),
            )
        finally:
            processes.stop([worker])


@dataclass
class Killed:
    """How a worker was killed, and which process follows it."""

    time_s: float
    begun: Counter[str]
    ended: Counter[str]
    successor: Process


def _kill_at(
    worker: Process,
    marks: Marks,
    ended_count: int,
    options: Sequence[str],
    env: dict[str, str],
) -> Killed:
    """Kill the worker when so many activities have ended, and start it again at once."""
    while marks.counts("e").total() < ended_count:
        time.sleep(_POLL_S)
    worker.kill()
    time_s = time.time()
    worker.wait()
    successor = processes.start_worker(options, env=env)
    return Killed(time_s, marks.counts("b"), marks.counts("e"), successor)


async def _start(client: Client, name: str, count: int) -> list[asyncio.Task[Any]]:
    """Start so many workflows, some at a time; the tasks wait for their results."""
    remaining = iter(range(count))
    runs: list[asyncio.Task[Any]] = []

    async def lane() -> None:
        for number in remaining:
            handle = await client.start("timed", _PAYLOAD, id=f"{name}-{number}", wait_s=_WAIT_S)
            runs.append(asyncio.create_task(handle.result(timeout=_WAIT_S)))

    await asyncio.gather(*(lane() for _ in range(_STARTS_AT_A_TIME)))
    return runs


async def _served_again(stage: Stage, client: Client, options: Sequence[str], variant: str) -> Line:
    """Two workers; one is killed. The slowest partition counts, from the kill and from the new process' start."""
    is_restart = variant.startswith("restart")
    seconds: list[float] = []
    with stage.measured({}) as span:
        for repeat in range(REPEATS):
            say(f"W6, {variant}, {repeat + 1} of {REPEATS}")
            seconds.append(await _served_again_once(client, options, is_restart=is_restart))
    return line(
        "W6",
        variant,
        span,
        session_timeout_s=SESSION_TIMEOUT_S,
        served_again_s=round(statistics.median(seconds), 2),
        served_again_s_max=round(max(seconds), 2),
    )


async def _served_again_once(client: Client, options: Sequence[str], *, is_restart: bool) -> float:
    names = [f"{secrets.token_hex(3)}-{number}" for number in range(2)]
    workers = [processes.start_worker([*options, "--instance-id", name]) for name in names]
    try:
        await _warm_up(client)
        await asyncio.sleep(3.0)  # until both have their share
        await _warm_up(client)
        workers[0].kill()
        workers[0].wait()
        killed_s = time.perf_counter()
        if is_restart:
            workers[0] = processes.start_worker([*options, "--instance-id", names[0]])
        await _warm_up(client)
        return time.perf_counter() - killed_s
    finally:
        processes.stop(workers)


async def _warm_up(client: Client) -> None:
    """One workflow on each partition, from start to result."""
    partitions = client._session.partition_count
    names = (f"probe-{secrets.token_hex(6)}" for _ in range(10_000))
    chosen: dict[int, str] = {}
    for name in names:
        chosen.setdefault(partition_of(name.encode(), partitions), name)
        if len(chosen) == partitions:
            break
    await asyncio.gather(
        *(
            client.execute("single_inline", _PAYLOAD, id=name, wait_s=_WAIT_S)
            for name in chosen.values()
        )
    )
