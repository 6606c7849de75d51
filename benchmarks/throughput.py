"""W1 and W9: how much goes through. Sequential activities of many workflows at once; signals to one ID, and to many."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping

from benchmarks import processes
from benchmarks.counting import RecordCounter
from benchmarks.stage import INLINE, PAYLOAD, QUEUED, WAIT_S, Bench, Line, Served, Stage, line, say
from benchmarks.workloads import SIGNAL, STEPS, collect

from weft.client import Handle
from weft.codec import encode, encode_payload
from weft.records import SignalWorkflow

W1_IN_FLIGHT = (200, 2000)
W1_WORKFLOWS = 12_000
W1_WARMUP = 2_000
NARROW_SHARE = 0.4
"""Of the workflows, when few are in flight: those take longer."""
CHAINS = {QUEUED: "chain", INLINE: "chain_inline"}
COUNTED_ROUNDS = 2
"""For each in flight, so many workflows more are run to count records: not while it is measured."""

W9_SIGNALS = 100_000
W9_IDS = 10_000
_STARTS_AT_A_TIME = 500


def w1_count(stage: Stage, width: int) -> int:
    """How many workflows are measured."""
    return max(width, stage.count(int(W1_WORKFLOWS * (1 if width > 500 else NARROW_SHARE))))


async def warm_up(stage: Stage) -> None:
    """A broker that was started just now compiles itself in its first seconds."""
    async with stage.serving() as bench:
        for width in reversed(W1_IN_FLIGHT):
            await bench.in_flight("chain", stage.count(W1_WORKFLOWS, 200), width)


@Served
async def w1(bench: Bench) -> AsyncIterator[Line]:
    """Workflows of 5 sequential activities."""
    for width in W1_IN_FLIGHT:
        for variant in (QUEUED, INLINE):
            yield await _w1_variant(bench, variant, width)


async def _w1_variant(bench: Bench, variant: str, width: int) -> Line:
    stage, workflow = bench.stage, CHAINS[variant]
    count = w1_count(stage, width)
    say(f"W1 {variant}, {width} in flight, {count} workflows")
    await bench.in_flight(workflow, max(width, stage.count(W1_WARMUP)), width)
    with bench.measured() as span:
        await bench.in_flight(workflow, count, width)
    topics = await _count_records(bench, workflow, width)
    activities = count * STEPS
    return line(
        "W1",
        f"{variant}, {width} in flight",
        span,
        workflows=count,
        workflows_per_s=round(count / span.seconds),
        activities_per_s=round(activities / span.seconds),
        cpu_s_per_1000_activities=span.per_1000_activities(activities),
        **per_activity(topics, width * COUNTED_ROUNDS * STEPS),
    )


async def _count_records(bench: Bench, workflow: str, width: int) -> dict[str, tuple[int, int]]:
    """(records, bytes) by topic of the same load, once it is not measured."""
    counter = await asyncio.to_thread(RecordCounter, bench.stage.log, bench.namespace)
    try:
        await bench.in_flight(workflow, width * COUNTED_ROUNDS, width)
        return await asyncio.to_thread(counter.count)
    finally:
        counter.close()


def per_activity(counts: Mapping[str, tuple[int, int]], activities: int) -> Line:
    """The keys for what was written for so many activities, in all and by topic."""
    records = sum(records for records, _ in counts.values())
    return {
        "records_per_activity": round(records / activities, 2),
        "bytes_per_activity": round(sum(size for _, size in counts.values()) / activities),
        "topics": {
            topic: {"records": round(records / activities, 3), "bytes": round(size / activities, 1)}
            for topic, (records, size) in sorted(counts.items())
        },
    }


@Served
async def w9(bench: Bench) -> AsyncIterator[Line]:
    """Signals, written by a plain producer as fast as it can, until the workflows have taken them all."""
    signals = bench.stage.count(W9_SIGNALS, 100)
    for ids in (1, bench.stage.count(W9_IDS, 10)):
        variant = "to one ID" if ids == 1 else f"to {ids:,} IDs"
        say(f"W9 {variant}, {signals} signals")
        yield await _w9_variant(bench, variant, signals // ids, ids)


async def _w9_variant(bench: Bench, variant: str, each: int, ids: int) -> Line:
    run = secrets.token_hex(4)
    names = [f"{run}-{number}" for number in range(ids)]
    waiting = await _start_all(bench, names, each)
    written_s = 0.0
    with bench.measured() as span:
        await bench.bulk_signals(_signals(names, each))
        written_s = asyncio.get_running_loop().time()
        results = await asyncio.gather(*waiting)
        behind_s = asyncio.get_running_loop().time() - written_s
    if results != [each] * ids:
        raise processes.BenchmarkError(f"workflows of {variant} took other counts than {each}")
    count = each * ids
    return line(
        "W9",
        variant,
        span,
        signals=count,
        signals_per_s=round(count / span.seconds),
        written_after_s=round(span.seconds - behind_s, 2),
        cpu_s_per_1000_signals=span.per_1000_activities(count),
    )


async def _start_all(bench: Bench, names: list[str], each: int) -> list[asyncio.Task[int]]:
    """Start the workflows; the tasks wait for their results."""
    limit = asyncio.Semaphore(_STARTS_AT_A_TIME)

    async def start(name: str) -> Handle[int]:
        async with limit:
            return await bench.client.start(collect, each, id=name, wait_s=WAIT_S)

    handles = await asyncio.gather(*map(start, names))
    waiting = [asyncio.create_task(handle.result(timeout=10 * WAIT_S)) for handle in handles]
    await asyncio.sleep(0.5)  # until their questions are on the log
    return waiting


def _signals(names: list[str], each: int) -> Iterator[tuple[str, bytes]]:
    payload = encode_payload(PAYLOAD)
    for number in range(each):
        for name in names:
            yield name, encode(SignalWorkflow(SIGNAL, payload, f"{name}-{number}"))
