"""W10: 100,000 timers that are due within 10 s. How late they are."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator

from benchmarks import processes
from benchmarks.latency import percentiles
from benchmarks.stage import PARTITIONS, Bench, Line, Stage, line, say
from benchmarks.workloads import alarm

from weft.codec import encode, encode_payload
from weft.log import FROM_START
from weft.records import StartWorkflow
from weft.topics import Namespace

TIMERS = 100_000
SPREAD_MS = 10_000
STARTS_PER_S = 1_500
"""So slowly at the worst: what is due must be set before, also on a busy machine."""
_LEAD_S = 5.0
_LATE_S_MAX = 300.0
_READ_TIMEOUT_S = 60.0
WORKERS = {"workflow_worker": ("--workflows-only",)}


async def w10(stage: Stage) -> AsyncIterator[Line]:
    """From the time at which each timer is due until the end that it brings is on the log, by the log's clock."""
    count = stage.count(TIMERS, 100)
    async with stage.serving(WORKERS) as bench:
        port = bench.ports["workflow_worker"]
        say(f"W10, {count} timers")
        run = secrets.token_hex(4)
        first_due_ms = int((time.time() + _LEAD_S + count / STARTS_PER_S) * 1000)
        due_ms = {
            f"{run}-{number}": first_due_ms + number * SPREAD_MS // count for number in range(count)
        }
        await start_alarms(bench, due_ms)
        await processes.wait_for_runs(port, count, first_due_ms / 1000 - time.time())
        await asyncio.sleep(max(0.0, first_due_ms / 1000 - time.time() - 0.5))
        with bench.measured() as span:
            await asyncio.sleep(SPREAD_MS / 1000)
            await processes.wait_for_runs(port, 0, _LATE_S_MAX)
        lateness_s = await asyncio.to_thread(_lateness, stage, bench.namespace, due_ms)
        yield line(
            "W10",
            "",
            span,
            timers=count,
            timers_per_s_due=round(count * 1000 / SPREAD_MS),
            **percentiles(lateness_s),
            min_ms=round(min(lateness_s) * 1000, 2),
            max_ms=round(max(lateness_s) * 1000, 2),
        )


async def start_alarms(bench: Bench, due_ms: dict[str, int]) -> None:
    """Start one sleeping workflow for each, without waiting for anybody's confirmation."""

    def starts() -> Iterator[tuple[str, bytes]]:
        for name, due in due_ms.items():
            yield name, encode(StartWorkflow(alarm.name, name, encode_payload(due)))

    await bench.bulk_signals(starts())


def _lateness(stage: Stage, namespace: str, due_ms: dict[str, int]) -> list[float]:
    """In s, of each timer. Raises BenchmarkError when one did not bring exactly one end."""
    topic = Namespace(namespace).events
    ended_ms: dict[str, int] = {}
    reader = stage.log.reader()
    try:
        everywhere = {(topic, number): FROM_START for number in range(PARTITIONS)}
        for record in reader.read_to_end(everywhere, _READ_TIMEOUT_S, undecided_s=10.0):
            event = json.loads(record.value or b"{}")
            if event["type"] == "weft.workflow.completed":
                if event["subject"] in ended_ms:
                    raise processes.BenchmarkError(f"workflow {event['subject']} ended twice")
                ended_ms[event["subject"]] = record.timestamp_ms
    finally:
        reader.close()
    if ended_ms.keys() != due_ms.keys():
        raise processes.BenchmarkError(f"{len(ended_ms)} of {len(due_ms)} timers fired")
    return [(ended_ms[name] - due) / 1000 for name, due in due_ms.items()]
