"""The workloads that Weft and its peers are compared by, as one piece of code for every peer.

A peer says how a workflow is started and awaited there (`Peer`); what is run, how often, what is checked and what is
timed stands here. Standard library only: every peer's own environment imports it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from benchmarks.peers import meters

PAYLOAD = '{"order":"A-000001","note":"' + "x" * 70 + '"}'
"""100 bytes; what activities take and return."""
STEPS = 5
SLOW_S = 0.1
IN_FLIGHT = (200, 2000)
W5_WINDOW = 200
"""So many steps at the beginning and at the end are timed."""
KILL_AT = 0.4
"""Share of the activities that have ended when the worker is killed."""
_RUN_S_MAX = 600.0
_POLL_S = 0.01
_STARTS_AT_A_TIME = 50
_UNTIL_IT_WAITS_S = 0.05

Figures = dict[str, object]


@dataclass(frozen=True)
class Sizes:
    """How much of each workload is run. Scaled by one factor for a quick try."""

    w1_s: float = 30.0
    """W1 runs as many workflows as take about so long, but at least as many as are in flight at once."""
    w1_warmup: int = 300
    w2_runs: int = 500
    w2_warmup: int = 50
    w3_activities: int = 500
    w3_repeats: int = 5
    w4_runs: int = 200
    w4_warmup: int = 10
    w5_steps: int = 2000
    w6_workflows: int = 500

    def scaled(self, factor: float) -> Sizes:
        def times(count: int, least: int) -> int:
            return max(least, round(count * factor))

        return replace(
            self,
            w1_s=self.w1_s * factor,
            w1_warmup=times(self.w1_warmup, 20),
            w2_runs=times(self.w2_runs, 20),
            w2_warmup=times(self.w2_warmup, 5),
            w3_activities=times(self.w3_activities, 5),
            w4_runs=times(self.w4_runs, 20),
            w4_warmup=times(self.w4_warmup, 2),
            w5_steps=times(self.w5_steps, 20),
            w6_workflows=times(self.w6_workflows, 10),
        )


class Peer(Protocol):
    """One system, freshly started with no data: its server if it has one, a worker, and this process as the client."""

    def pids(self) -> Mapping[str, int]:
        """Its processes by their part; this one is the client, or client and worker in one."""

    async def chain(self, steps: int) -> str:
        """Run a workflow of so many sequential activities on `PAYLOAD`; its result."""

    async def remarks(self) -> Figures:
        """What a reader of the figures must know besides them, such as settings that decide them."""


class Runner(Peer, Protocol):
    """One for W1 to W5."""

    async def chain_times(self, steps: int) -> list[float]:
        """The same; when it began and when the workflow had each result, in seconds of any one clock."""

    async def fan_out(self, activities: int) -> int:
        """Run a workflow of so many activities at once; how many gave `PAYLOAD` back."""

    async def wait_for_signal(self) -> Callable[[], Awaitable[str]]:
        """Start a workflow that returns the first signal it gets. What it gives sends one and takes the result."""


class Mortal(Peer, Protocol):
    """One for W6, with a worker that can be killed."""

    async def start_slow(self, number: int) -> None:
        """Start a workflow of `STEPS` activities that mark, sleep `SLOW_S` and mark: `<number>-<step>`."""

    async def slow_results(self, count: int) -> list[str]:
        """The results of these workflows, once all have one."""

    def kill_worker(self) -> None:
        """Kill -9, and wait until it is gone."""

    def start_worker(self) -> None:
        """Start the worker again, without waiting until it is ready."""


async def w1(peer: Peer, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """Throughput: workflows of 5 sequential activities, so many in flight."""
    for width in IN_FLIGHT:
        warmup_s = await _in_flight(peer, sizes.w1_warmup, min(width, IN_FLIGHT[0]))
        count = max(width, int(sizes.w1_warmup / warmup_s * sizes.w1_s))
        with meters.Meter(peer.pids) as meter:
            await _in_flight(peer, count, width)
        activities = count * STEPS
        yield (
            f"{width} in flight",
            {
                "seconds": round(meter.seconds, 2),
                "workflows": count,
                "workflows_per_s": round(count / meter.seconds, 1),
                "activities_per_s": round(activities / meter.seconds),
                "cpu_s_per_1000_activities": round(
                    sum(meter.cpu_s.values()) / activities * 1000, 3
                ),
                "cpu_s": meter.cpu_s,
                "others_cores": meter.others_cores,
            },
        )


async def _in_flight(peer: Peer, count: int, width: int) -> float:
    """Run `count` workflows, `width` of them at a time, each checked to return its input; seconds."""
    remaining = iter(range(count))

    async def lane() -> None:
        for _ in remaining:
            _check(await peer.chain(STEPS))

    began_s = time.perf_counter()
    async with asyncio.timeout(_RUN_S_MAX):
        await asyncio.gather(*(lane() for _ in range(width)))
    return time.perf_counter() - began_s


async def w2(peer: Peer, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """Latency: workflows of one activity, one at a time, from start to result at the client."""
    for _ in range(sizes.w2_warmup):
        _check(await peer.chain(1))
    seconds = []
    with meters.Meter(peer.pids) as meter:
        for _ in range(sizes.w2_runs):
            began_s = time.perf_counter()
            result = await peer.chain(1)
            seconds.append(time.perf_counter() - began_s)
            _check(result)
    yield (
        "",
        {
            "seconds": round(meter.seconds, 2),
            **meters.latencies(seconds),
            "others_cores": meter.others_cores,
        },
    )


async def w3(peer: Runner, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """Fan-out: one workflow of many activities at once, from start to result at the client; the median of a few."""
    await _fan_out(peer, 20)
    with meters.Meter(peer.pids) as meter:
        times_s = [await _fan_out(peer, sizes.w3_activities) for _ in range(sizes.w3_repeats)]
    yield (
        "",
        {
            "activities": sizes.w3_activities,
            "repeats": sizes.w3_repeats,
            "seconds": round(statistics.median(times_s), 3),
            "seconds_first": round(times_s[0], 3),
            "seconds_max": round(max(times_s), 3),
            "others_cores": meter.others_cores,
        },
    )


async def _fan_out(peer: Runner, activities: int) -> float:
    began_s = time.perf_counter()
    count = await peer.fan_out(activities)
    took_s = time.perf_counter() - began_s
    if count != activities:
        raise AssertionError(f"{count} of {activities} activities returned their input")
    return took_s


async def w4(peer: Runner, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """Signals: a workflow waits for one; from its sending to the workflow's result at the client."""
    seconds = []
    with meters.Meter(peer.pids) as meter:
        for _ in range(sizes.w4_warmup + sizes.w4_runs):
            signal_it = await peer.wait_for_signal()
            await asyncio.sleep(_UNTIL_IT_WAITS_S)
            began_s = time.perf_counter()
            result = await signal_it()
            seconds.append(time.perf_counter() - began_s)
            _check(result)
    figures = meters.latencies(seconds[sizes.w4_warmup :])
    yield "", {**figures, "others_cores": meter.others_cores}


async def w5(peer: Runner, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """A long history: one workflow of many sequential activities; milliseconds a step at its ends."""
    await peer.chain(20)
    with meters.Meter(peer.pids) as meter:
        times_s = await peer.chain_times(sizes.w5_steps)
    if len(times_s) != sizes.w5_steps + 1:
        raise AssertionError(f"{len(times_s)} times of {sizes.w5_steps} steps and their beginning")
    yield (
        f"{Sizes.w5_steps:,} steps",
        {
            "seconds": round(meter.seconds, 2),
            "steps": sizes.w5_steps,
            **ends_ms(times_s, min(W5_WINDOW, sizes.w5_steps // 4)),
            "others_cores": meter.others_cores,
        },
    )


def ends_ms(times_s: list[float], window: int) -> Figures:
    """Milliseconds a step over the first and the last `window` steps."""
    return {
        "first_ms_per_step": round((times_s[window] - times_s[0]) / window * 1000, 3),
        "last_ms_per_step": round((times_s[-1] - times_s[-1 - window]) / window * 1000, 3),
    }


async def w6(peer: Mortal, sizes: Sizes) -> AsyncIterator[tuple[str, Figures]]:
    """Recovery: the worker is killed with -9 in the middle of its work and started again at once."""
    count, marks = sizes.w6_workflows, meters.marks_file()
    _check(await peer.chain(1))
    with meters.Meter(peer.pids) as meter:
        async with asyncio.timeout(_RUN_S_MAX):
            starting = asyncio.create_task(_start_slow(peer, count))
            while meters.ended_count(marks) < KILL_AT * count * STEPS:
                if starting.done():
                    starting.result()  # it may have failed; then nothing is to be waited for
                await asyncio.sleep(_POLL_S)
            peer.kill_worker()
            killed_s = time.time()
            begun, ended = meters.read_marks(marks, "b"), meters.read_marks(marks, "e")
            peer.start_worker()
            await starting
            results = await peer.slow_results(count)
            heard_s = time.time() - killed_s
    yield (
        "kill -9 at 40 %",
        {
            "workflows": count,
            "seconds": round(heard_s, 2),
            "last_activity_s": round(marks.stat().st_mtime - killed_s, 2),
            "lost": count - sum(result == PAYLOAD for result in results),
            "activities": count * STEPS,
            "ended_at_kill": ended.total(),
            "running_at_kill": len(begun - ended),
            "finished_twice": sum(n > 1 for n in meters.read_marks(marks, "e").values()),
            "others_cores": meter.others_cores,
        },
    )


async def _start_slow(peer: Mortal, count: int) -> None:
    remaining = iter(range(count))

    async def lane() -> None:
        for number in remaining:
            await peer.start_slow(number)

    await asyncio.gather(*(lane() for _ in range(_STARTS_AT_A_TIME)))


async def sleep_and_mark(text: str, number: int, step: int) -> str:
    """The body of W6's activity, the same for every peer."""
    meters.mark("b", f"{number}-{step}")
    await asyncio.sleep(SLOW_S)
    meters.mark("e", f"{number}-{step}")
    return text


def _check(result: object) -> None:
    if result != PAYLOAD:
        raise AssertionError(f"a workflow returned {result!r} instead of its input")


WORKLOADS: dict[str, Callable[[Any, Sizes], AsyncIterator[tuple[str, Figures]]]] = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
}
"""What each gives: the variant's part of the line that is its own (such as how many in flight), and the figures."""
