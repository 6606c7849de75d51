"""W7: a worker starts on a million open workflows. How long until it serves them, and what it needs for each.

Their state is written straight to the state topic, in transactions, as their owners would have left it; what is
measured is a worker like any other. The first variant has one record for each workflow, as after perfect compaction.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.heads import UPDATES, Heads, workflow_id_of
from benchmarks.processes import BenchmarkError, Process
from benchmarks.stage import WAIT_S, Line, Span, Stage, line, say
from benchmarks.workloads import SIGNAL
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from weft.client import Client
from weft.codec import decode_state
from weft.log import FROM_START, LogRecord
from weft.records import Head
from weft.topics import Namespace, partition_of

WORKFLOWS = 1_000_000
PARTITIONS = 8
_BATCH_RECORDS = 2000
_READY_TIMEOUT_S = 600.0
_SETTLE_S = 2.0
_COMMIT_TIMEOUT_S = 30.0
_NOT_COMPACTED_YET = {"min.compaction.lag.ms": str(50 * 60_000)}
"""Longer than all of it takes, and less than the topic's `max.compaction.lag.ms`."""
_COMPACTED_NOW = {"min.compaction.lag.ms": "0", "segment.ms": "1000"}
_WRITTEN_AGAIN = range(1, 100)
"""Workflows enough to have one on each partition; the first one has ended by then."""
_COMPACTION_TIMEOUT_S = 1200.0
_COMPACTION_POLL_S = 2.0


@functools.cache
def _heads() -> Heads:
    return Heads()


@dataclass
class Loaded:
    """What a start of the worker took, and what it was like once it was ready."""

    span: Span
    memory_bytes: int
    memory_bytes_max: int
    records: int
    """State records that were read."""
    assigned_to_served_s: float
    """The mean of the partitions; they are read together."""


async def w7(stage: Stage) -> AsyncIterator[Line]:
    """Written once; with 10 updates each, not compacted; the same, compacted."""
    count = stage.count(WORKFLOWS, 100)
    empty = await _load(stage, stage.new_namespace(PARTITIONS), 0)
    once = stage.new_namespace(PARTITIONS)
    await _write(stage, once, range(count), [UPDATES])
    yield await _variant(stage, once, "written once", count, empty)
    updated = stage.new_namespace(PARTITIONS, _NOT_COMPACTED_YET)
    await _write(stage, updated, range(count), range(UPDATES + 1))
    yield await _variant(stage, updated, f"{UPDATES} updates each, not compacted", count, empty)
    await _compact(stage, updated)
    variant = f"{UPDATES} updates each, compacted"
    yield await _variant(stage, updated, variant, count, empty, ended=1)


async def _variant(
    stage: Stage, namespace: str, variant: str, count: int, empty: Loaded, *, ended: int = 0
) -> Line:
    """`ended`: so many of the workflows have ended since they were written."""
    say(f"W7, {variant}")
    loaded = await _load(stage, namespace, count, ended)
    on_log = len(_heads().head(0)) + len(workflow_id_of(0))
    loading_s = max(loaded.span.seconds - empty.span.seconds, loaded.assigned_to_served_s)
    per_workflow = (loaded.memory_bytes - empty.memory_bytes) / count
    return line(
        "W7",
        variant,
        loaded.span,
        workflows=count,
        empty_seconds=round(empty.span.seconds, 2),
        rebuild_seconds=round(loaded.assigned_to_served_s, 2),
        records=loaded.records,
        records_per_s=round(loaded.records / loading_s),
        bytes_on_log_per_workflow=on_log,
        memory_bytes_per_workflow=round(per_workflow),
        memory_bytes_beyond_log=round(per_workflow - on_log),
        memory_bytes_per_workflow_max=round((loaded.memory_bytes_max - empty.memory_bytes) / count),
    )


async def _load(stage: Stage, namespace: str, count: int, ended: int = 0) -> Loaded:
    """Start a worker, wait until it is ready, look at it, have one of the workflows finished by it, stop it."""
    port = processes.free_port()
    worker = processes.start_worker(
        stage.options(namespace), "--workflows-only", "--metrics-port", str(port)
    )
    try:
        with stage.measured({"workflow_worker": worker}) as span:
            await processes.wait_until_ready(worker, port, _READY_TIMEOUT_S)
        await processes.wait_for_runs(port, count - ended, WAIT_S)
        await asyncio.sleep(_SETTLE_S)
        metrics = await asyncio.to_thread(processes.scrape, port)
        loaded = _looked_at(worker, metrics, span)
        if count:
            await _finish_one(stage, namespace, ended)
        return loaded
    finally:
        processes.stop([worker])


def _looked_at(worker: Process, metrics: Mapping[str, float], span: Span) -> Loaded:
    now, most = processes.memory_bytes(worker.pid)
    return Loaded(
        span,
        now,
        most,
        int(metrics["weft_rebuild_records_total"]),
        metrics["weft_rebuild_seconds_sum"] / max(metrics["weft_rebuild_seconds_count"], 1),
    )


async def _finish_one(stage: Stage, namespace: str, number: int) -> None:
    """What was loaded is no dead weight: a workflow goes on from where its head says that it stands."""
    async with Client(stage.log, namespace=namespace) as client:
        handle = client.handle(workflow_id_of(number))
        await handle.signal(SIGNAL, timeout_s=WAIT_S)
        result = await handle.result(timeout=WAIT_S)
        if "A-" not in str(result):
            raise BenchmarkError(f"workflow {handle.id} returned {result!r}")


# Writing the state.


async def _write(
    stage: Stage, namespace: str, numbers: Sequence[int], updates: Sequence[int]
) -> None:
    say(f"W7, writing {len(numbers) * len(updates):,} records")
    began_s = time.perf_counter()
    await asyncio.to_thread(_write_state, stage, namespace, numbers, updates)
    say(f"W7, written after {time.perf_counter() - began_s:.0f} s")


def _write_state(
    stage: Stage, namespace: str, numbers: Sequence[int], updates: Sequence[int]
) -> None:
    """One record for each workflow, then the next for each: as updates come that are spread over time."""
    topic, heads = Namespace(namespace).state, _heads()
    keys = [workflow_id_of(number).encode() for number in numbers]
    places = [
        (number, partition_of(key, PARTITIONS), key)
        for number, key in zip(numbers, keys, strict=True)
    ]
    producer = stage.log.transactional_producer(f"bench-{namespace}")
    try:
        producer.fence(_COMMIT_TIMEOUT_S)
        for update in updates:
            for first in range(0, len(places), _BATCH_RECORDS):
                producer.begin()
                for number, partition, key in places[first : first + _BATCH_RECORDS]:
                    producer.append(topic, partition, key, heads.head(number, update))
                producer.commit(_COMMIT_TIMEOUT_S)
    finally:
        producer.close()


# Compaction.


async def _compact(stage: Stage, namespace: str) -> None:
    """Have the log cleaned now, and wait until it is. Raises BenchmarkError when that takes too long."""
    began_s = time.perf_counter()
    if "kafka" not in stage.where:
        await asyncio.to_thread(stage.log.compact)
    else:
        await asyncio.to_thread(_allow_compaction, stage.where["kafka"], namespace)
        # The segment that is written to is never cleaned: with these a new one begins, on every partition.
        await _write(stage, namespace, _WRITTEN_AGAIN, [UPDATES])
    while not await asyncio.to_thread(_is_compacted, stage, namespace):
        if time.perf_counter() - began_s > _COMPACTION_TIMEOUT_S:
            raise BenchmarkError(
                f"the state was not compacted within {_COMPACTION_TIMEOUT_S:.0f} s"
            )
        await asyncio.sleep(_COMPACTION_POLL_S)
    say(f"W7, compacted after {time.perf_counter() - began_s:.0f} s")


def _allow_compaction(address: str, namespace: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    resource = ConfigResource(ResourceType.TOPIC, Namespace(namespace).state)
    for name, value in _COMPACTED_NOW.items():
        resource.add_incremental_config(
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        )
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def _is_compacted(stage: Stage, namespace: str) -> bool:
    """Whether the oldest head on every partition is a last one: all others of its time are gone."""
    last = decode_state(_heads().head(0))
    assert isinstance(last, Head), "that is what was written"
    return all(
        _first_head(stage, namespace, number).event_count >= last.event_count
        for number in range(PARTITIONS)
    )


def _first_head(stage: Stage, namespace: str, number: int) -> Head:
    reader = stage.log.reader()
    try:
        reader.assign({(Namespace(namespace).state, number): FROM_START})
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            for record in reader.poll(100, 1.0):
                state = _state(record)
                if isinstance(state, Head):
                    return state
        raise BenchmarkError(f"no head was found on partition {number} of {namespace}")
    finally:
        reader.close()


def _state(record: LogRecord) -> object:
    return None if record.value is None else decode_state(record.value)
