"""Measure Weft: `.venv/bin/python benchmarks/run.py --backend kafka|embedded --only W1,W2,W6 --scale F`.

One JSON line a workload and variant on standard output; progress on standard error. The broker is the one that
WEFT_KAFKA names, or one started for the run. Definitions and results: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import processes, recovery, workloads  # noqa: E402  # the checkout's root comes first
from deploy.kafka.broker import start_broker  # noqa: E402

from weft.client import Client  # noqa: E402
from weft.log import Log, open_log  # noqa: E402
from weft.topics import Namespace, catalogue, create  # noqa: E402

PAYLOAD = '{"order":"A-000001","note":"' + "x" * 70 + '"}'
PARTITIONS = 4
QUEUED, INLINE = "queued", "inline"
W1_IN_FLIGHT = (200, 2000)
W1_WORKFLOWS = {"kafka": 12_000, "embedded": 12_000}
W1_WARMUP = 2_000
W2_RUNS, W2_WARMUP = 500, 50
WAIT_S = 120.0


class Where(TypedDict, total=False):
    """How to open the log: the keyword arguments of `open_log`."""

    kafka: str
    embedded: str


@dataclass
class Bench:
    """One log with its workers, ready to be measured."""

    backend: str
    options: list[str]
    client: Client
    pids: dict[str, int] = field(default_factory=dict)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def log_options(backend: str, folder: str) -> Iterator[tuple[Where, int]]:
    """How to open the log (as keyword arguments of `open_log`), and the broker's process ID if it is known."""
    if backend == "embedded":
        yield {"embedded": str(Path(folder) / "bench.weft")}, 0
    elif address := os.environ.get("WEFT_KAFKA"):
        yield {"kafka": address}, int(os.environ.get("WEFT_KAFKA_PID", "0"))
    else:
        say("starting a broker")
        with start_broker() as broker:
            yield {"kafka": broker.address}, broker.pids[0] if broker.pids else 0


async def in_flight(bench: Bench, workflow: str, count: int, width: int) -> None:
    """Run `count` workflows, `width` of them at a time, each checked to return its input."""
    remaining = iter(range(count))
    run = secrets.token_hex(4)

    async def lane() -> None:
        for number in remaining:
            result = await bench.client.execute(
                workflow, PAYLOAD, id=f"{run}-{number}", wait_s=WAIT_S
            )
            if result != PAYLOAD:
                raise AssertionError(f"workflow {run}-{number} returned {result!r}")

    await asyncio.gather(*(lane() for _ in range(width)))


async def w1(bench: Bench, scale: float) -> Iterator[dict[str, object]]:
    """Throughput: workflows of 5 sequential activities."""
    lines = []
    for width in W1_IN_FLIGHT:
        for variant, workflow in ((QUEUED, "chain"), (INLINE, "chain_inline")):
            count = max(
                width, int(W1_WORKFLOWS[bench.backend] * scale * (1 if width > 500 else 0.4))
            )
            say(f"W1 {variant}, {width} in flight, {count} workflows")
            await in_flight(bench, workflow, max(width, int(W1_WARMUP * scale)), width)
            meter = processes.CpuMeter({**bench.pids, "client": os.getpid()})
            meter.start()
            began = time.perf_counter()
            await in_flight(bench, workflow, count, width)
            seconds = time.perf_counter() - began
            cpu = meter.stop()
            activities = count * workloads.STEPS
            lines.append(
                {
                    "workload": "W1",
                    "variant": f"{variant}, {width} in flight",
                    "backend": bench.backend,
                    "seconds": round(seconds, 2),
                    "workflows": count,
                    "workflows_per_s": round(count / seconds),
                    "activities_per_s": round(activities / seconds),
                    "cpu_s_per_1000_activities": round(sum(cpu.values()) / activities * 1000, 3),
                    "cpu_s": cpu,
                    "others_cores": round(meter.others_s / seconds, 2),
                }
            )
    return iter(lines)


async def w2(bench: Bench, scale: float) -> Iterator[dict[str, object]]:
    """Latency: workflows of one activity, one at a time, from start to result at the client."""
    lines = []
    runs = max(20, int(W2_RUNS * scale))
    for variant, workflow in ((QUEUED, "single"), (INLINE, "single_inline")):
        say(f"W2 {variant}, {runs} runs")
        await in_flight(bench, workflow, W2_WARMUP, 1)
        times = []
        began = time.perf_counter()
        for _ in range(runs):
            start = time.perf_counter()
            await bench.client.execute(workflow, PAYLOAD, wait_s=WAIT_S)
            times.append((time.perf_counter() - start) * 1000)
        lines.append(
            {
                "workload": "W2",
                "variant": variant,
                "backend": bench.backend,
                "seconds": round(time.perf_counter() - began, 2),
                "runs": runs,
                "p50_ms": round(statistics.median(times), 2),
                "p99_ms": round(statistics.quantiles(times, n=100)[98], 2),
            }
        )
    return iter(lines)


WORKLOADS = {"W1": w1, "W2": w2}
ALONE = {"W6": recovery.w6}
"""With workers of their own."""


async def measure(backend: str, only: list[str], scale: float) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="weft-bench-") as folder,
        log_options(backend, folder) as (where, broker_pid),
    ):
        log = open_log(**where)
        try:
            shared = [name for name in only if name in WORKLOADS]
            if shared:
                await measure_shared(log, backend, where, broker_pid, shared, scale)
            for name in only:
                if name in ALONE:
                    options = new_namespace(log, where)
                    async with Client(log, namespace=options[1]) as client:
                        for line in await ALONE[name](client, backend, options, scale):
                            print(json.dumps(line), flush=True)
        finally:
            log.close()


def new_namespace(log: Log, where: Where) -> list[str]:
    """Topics of its own for the next workload; the options that point a worker at them, the namespace second."""
    namespace = f"bench-{secrets.token_hex(4)}"
    admin = log.admin()
    create(admin, catalogue(Namespace(namespace), partitions=PARTITIONS, queues=["default"]))
    admin.close()
    options = ["--namespace", namespace]
    if "kafka" in where:
        return [*options, "--kafka", where["kafka"]]
    return [*options, "--file", where["embedded"]]


async def measure_shared(
    log: Log, backend: str, where: Where, broker_pid: int, only: list[str], scale: float
) -> None:
    """Workloads that one workflow worker and one activity worker serve."""
    options = new_namespace(log, where)
    workers = {
        "workflow_worker": processes.start_worker(options, "--workflows-only"),
        "activity_worker": processes.start_worker(
            options, "--activities-only", "--concurrency", "2000"
        ),
    }
    try:
        async with Client(log, namespace=options[1]) as client:
            bench = Bench(backend, options, client)
            bench.pids = {name: worker.pid for name, worker in workers.items()}
            if broker_pid:
                bench.pids["broker"] = broker_pid
            for name in only:
                for line in await WORKLOADS[name](bench, scale):
                    print(json.dumps(line), flush=True)
    finally:
        processes.stop(workers.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--only", default="W1,W2,W6", help="workloads, by comma")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every workload's size")
    arguments = parser.parse_args()
    only = [name.strip().upper() for name in arguments.only.split(",") if name.strip()]
    known = {**WORKLOADS, **ALONE}
    unknown = sorted(set(only) - set(known))
    if unknown:
        parser.error(f"unknown workloads {unknown}; there are {sorted(known)}")
    asyncio.run(measure(arguments.backend, only, arguments.scale))


if __name__ == "__main__":
    main()
