"""W12: 1, 2 and 4 worker processes, each with workflows and activities, on the same partitions."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

from benchmarks import processes
from benchmarks.stage import PARTITIONS, WAIT_S, Bench, Line, Stage, line, say
from benchmarks.throughput import W1_WARMUP, w1_count
from benchmarks.workloads import STEPS

PROCESSES = (1, 2, 4)
IN_FLIGHT = 2000


async def w12(stage: Stage) -> AsyncIterator[Line]:
    """W1, queued, 2,000 in flight. With more processes than cores the last ones can only share."""
    for processes_count in PROCESSES:
        name = secrets.token_hex(3)
        workers = {
            f"worker_{number}": ("--concurrency", "2000", "--instance-id", f"{name}-{number}")
            for number in range(processes_count)
        }
        async with stage.serving(workers) as bench:
            await _wait_until_shared(bench, PARTITIONS // processes_count)
            count = w1_count(stage, IN_FLIGHT)
            say(f"W12, {processes_count} processes, {count} workflows")
            await bench.in_flight("chain", max(IN_FLIGHT, stage.count(W1_WARMUP)), IN_FLIGHT)
            with bench.measured() as span:
                await bench.in_flight("chain", count, IN_FLIGHT)
            used_s = sum(span.cpu_s.values())
            yield line(
                "W12",
                f"{processes_count} processes" if processes_count > 1 else "1 process",
                span,
                workflows=count,
                activities_per_s=round(count * STEPS / span.seconds),
                cpu_s_per_1000_activities=span.per_1000_activities(count * STEPS),
                cores_used=round(used_s / span.seconds, 2),
                **_broker_share(span.cpu_s),
            )


def _broker_share(cpu_s: dict[str, float]) -> Line:
    """Of all CPU that was used; nothing where there is no broker, or it is not known which process it is."""
    if "broker" not in cpu_s:
        return {}
    return {"broker_share": round(cpu_s["broker"] / sum(cpu_s.values()), 2)}


async def _wait_until_shared(bench: Bench, each: int) -> None:
    """Wait until every worker serves so many partitions. Raises BenchmarkError."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        served = [
            int((await asyncio.to_thread(processes.scrape, port)).get("weft_partitions", 0))
            for port in bench.ports.values()
        ]
        if served == [each] * len(served):
            return
        if time.monotonic() > deadline_s:
            raise processes.BenchmarkError(
                f"the workers serve {served} partitions, not {each} each"
            )
        await asyncio.sleep(0.2)
