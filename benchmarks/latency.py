"""W2 to W5: how long one thing takes. One activity; 500 at once; a signal; one after the other, thousands of them."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Sequence

from benchmarks import processes
from benchmarks.stage import INLINE, PAYLOAD, QUEUED, WAIT_S, Bench, Line, Served, line, say
from benchmarks.workloads import ECHOES, SIGNAL, Many, Timing, fan, march

W2_RUNS, W2_WARMUP = 500, 50
SINGLES = {QUEUED: "single", INLINE: "single_inline"}
W3_ACTIVITIES, W3_WARMUP = 500, 20
W3_REPEATS = 5
W4_RUNS, W4_WARMUP = 200, 10
W4_PAUSE_S = 0.05
"""Until the workflow has reached its wait."""
W5_STEPS = (2_000, 50_000)
W5_WINDOW = 200
W5_WARMUP = 20
_W5_WAIT_S = 3600.0


def percentiles(times_s: Sequence[float]) -> Line:
    """The keys of latencies, in ms."""
    in_ms = [time_s * 1000 for time_s in times_s]
    return {
        "p50_ms": round(statistics.median(in_ms), 2),
        "p99_ms": round(statistics.quantiles(in_ms, n=100)[98], 2),
    }


@Served
async def w2(bench: Bench) -> AsyncIterator[Line]:
    """Workflows of one activity, one at a time, from start to result at the client."""
    for variant, workflow in SINGLES.items():
        runs = bench.stage.count(W2_RUNS, 20)
        say(f"W2 {variant}, {runs} runs")
        await bench.in_flight(workflow, bench.stage.count(W2_WARMUP, 5), 1)
        times_s = []
        with bench.measured() as span:
            for _ in range(runs):
                began_s = time.perf_counter()
                await bench.client.execute(workflow, PAYLOAD, wait_s=WAIT_S)
                times_s.append(time.perf_counter() - began_s)
        yield line("W2", variant, span, runs=runs, **percentiles(times_s))


@Served
async def w3(bench: Bench) -> AsyncIterator[Line]:
    """One workflow with 500 parallel activities; the median of a few."""
    for variant in (QUEUED, INLINE):
        count = bench.stage.count(W3_ACTIVITIES, 5)
        say(f"W3 {variant}, {count} activities, {W3_REPEATS} times")
        await _fan_out(bench, variant, W3_WARMUP)
        with bench.measured() as span:
            times_s = [await _fan_out(bench, variant, count) for _ in range(W3_REPEATS)]
        yield line(
            "W3",
            variant,
            span,
            activities=count,
            repeats=W3_REPEATS,
            seconds=round(statistics.median(times_s), 3),
            seconds_first=round(times_s[0], 3),
            seconds_max=round(max(times_s), 3),
            cpu_s_per_1000_activities=span.per_1000_activities(count * W3_REPEATS),
        )


async def _fan_out(bench: Bench, variant: str, count: int) -> float:
    began_s = time.perf_counter()
    many = Many(PAYLOAD, count, variant)
    right = await bench.client.execute(fan, many, wait_s=WAIT_S)
    if right != count:
        raise processes.BenchmarkError(f"{right} of {count} activities returned their input")
    return time.perf_counter() - began_s


@Served
async def w4(bench: Bench) -> AsyncIterator[Line]:
    """From the sending of a signal until the client has the result of the workflow that waited for it."""
    runs = bench.stage.count(W4_RUNS, 20)
    say(f"W4, {runs} runs")
    for _ in range(bench.stage.count(W4_WARMUP, 2)):
        await _signal_to_result(bench)
    with bench.measured() as span:
        times_s = [await _signal_to_result(bench) for _ in range(runs)]
    yield line("W4", "", span, runs=runs, **percentiles(times_s))


async def _signal_to_result(bench: Bench) -> float:
    name = secrets.token_hex(8)
    ending = asyncio.create_task(bench.client.execute("signalled", id=name, wait_s=WAIT_S))
    await asyncio.sleep(W4_PAUSE_S)
    began_s = time.perf_counter()
    sending = asyncio.create_task(bench.client.handle(name).signal(SIGNAL, PAYLOAD, confirm=False))
    result = await ending
    took_s = time.perf_counter() - began_s
    await sending
    if result != PAYLOAD:
        raise processes.BenchmarkError(f"workflow {name} returned {result!r}")
    return took_s


@Served
async def w5(bench: Bench) -> AsyncIterator[Line]:
    """One workflow with thousands of sequential activities: a step at the end should cost what the first ones do."""
    for full in W5_STEPS:
        for variant in ECHOES:
            steps = bench.stage.count(full, 20)
            say(f"W5 {variant}, {steps} steps")
            await _march(bench, variant, W5_WARMUP, 1)
            window = min(W5_WINDOW, steps // 4)
            with bench.measured() as span:
                timing = await _march(bench, variant, steps, window)
            yield line(
                "W5",
                f"{variant}, {full:,} steps",
                span,
                steps=steps,
                first_ms_per_step=round(timing.first_ms, 3),
                last_ms_per_step=round(timing.last_ms, 3),
                last_to_first=round(timing.last_ms / timing.first_ms, 3),
                longest_step_ms=round(timing.longest_ms, 1),
                cpu_s_per_1000_activities=span.per_1000_activities(steps),
            )


async def _march(bench: Bench, variant: str, steps: int, window: int) -> Timing:
    many = Many(PAYLOAD, steps, variant, window)
    return await bench.client.execute(march, many, wait_s=_W5_WAIT_S)
