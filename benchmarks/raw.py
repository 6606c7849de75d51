"""W8: what the broker and the client library alone would do with the records of W1. Kafka only."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import processes
from benchmarks.counting import RecordCounter
from benchmarks.processes import BenchmarkError, Process
from benchmarks.raw_loops import REPLIES_PARTITION, Shape, take, value
from benchmarks.stage import PARTITIONS, QUEUED, WAIT_S, Line, Stage, line, say
from benchmarks.throughput import COUNTED_ROUNDS, W1_WARMUP, per_activity, w1, w1_count
from benchmarks.workloads import STEPS
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from weft.topics import partition_of

LOOPS = Path(__file__).with_name("raw_loops.py")
ROUNDS = 2
"""So many times the workflows of W1: they take a part of its time."""
KEY_LENGTH = 12
"""Of a workflow ID in W1, more or less."""
_POLL_S = 0.1


async def w8(stage: Stage) -> AsyncIterator[Line]:
    """For each line that W1 gave in this run (W1 is run first if it was not): the limit, and W1's share of it."""
    if "kafka" not in stage.where:
        say("W8 is about the broker and its client library: not on the embedded log")
        return
    found = [done for done in stage.lines if done["workload"] == "W1"]
    if not found:
        async for done in w1(stage):
            found.append(done)
            yield done
    for done in found:
        yield await asyncio.to_thread(_variant, stage, done)


def _variant(stage: Stage, done: Line) -> Line:
    variant = str(done["variant"])
    width = int(variant.split()[1].replace(",", ""))
    shape = _shape(stage, done)
    queued = variant.startswith(QUEUED)
    loops = {"raw_owner": _start("queued" if queued else "inline", shape)}
    if queued:
        loops["raw_activity"] = _start("activity", shape)
    driver = Driver(Shape(**shape))
    try:
        driver.drive(max(width, stage.count(W1_WARMUP)), width)
        count = w1_count(stage, width) * ROUNDS
        say(f"W8 {variant}, {count} rounds of {STEPS}")
        with stage.measured(loops) as span:
            driver.drive(count, width)
        counts = _count_records(stage, shape["namespace"], driver, width)
    finally:
        driver.close()
        processes.stop(loops.values())
    per_s = count * STEPS / span.seconds
    return line(
        "W8",
        variant,
        span,
        workflows=count,
        activities_per_s=round(per_s),
        cpu_s_per_1000_activities=span.per_1000_activities(count * STEPS),
        w1_activities_per_s=done["activities_per_s"],
        w1_share=round(done["activities_per_s"] / per_s, 2),
        **per_activity(counts, width * COUNTED_ROUNDS * STEPS),
    )


def _shape(stage: Stage, done: Line) -> Line:
    """What makes a `Shape`: the mean size of a value on each topic, as it was in W1."""
    sizes = {
        topic: max(1, round(each["bytes"] / each["records"]) - KEY_LENGTH)
        for topic, each in done["topics"].items()
        if each["records"]
    }
    return {"address": stage.where["kafka"], "namespace": stage.new_namespace(), "sizes": sizes}


def _count_records(
    stage: Stage, namespace: str, driver: Driver, width: int
) -> dict[str, tuple[int, int]]:
    """As W1's are counted: the loop must write the same."""
    counter = RecordCounter(stage.log, namespace)
    try:
        driver.drive(width * COUNTED_ROUNDS, width)
        return counter.count()
    finally:
        counter.close()


def _start(what: str, shape: Line) -> Process:
    return processes.start([sys.executable, str(LOOPS), what, json.dumps(shape)])


class Driver:
    """Starts tokens, so many in flight, and waits for their replies: what the client does in W1."""

    def __init__(self, shape: Shape) -> None:
        self._names = shape.names
        self._start = value(0, shape.sizes["signals"])
        self._started = 0
        self._producer = shape.plain()
        self._consumer = Consumer(shape.settings.reader(f"{shape.names.name}.raw", committed=True))
        self._consumer.assign(
            [TopicPartition(shape.names.replies, REPLIES_PARTITION, OFFSET_BEGINNING)]
        )

    def drive(self, count: int, width: int) -> None:
        """Raises BenchmarkError when no reply comes for long."""
        for _ in range(width):
            self._start_one()
        replied, heard_s = 0, time.monotonic()
        while replied < count:
            messages = take(self._consumer, _POLL_S)
            for _ in messages[: max(0, count - width - replied)]:
                self._start_one()
            replied += len(messages)
            self._producer.poll(0)
            if messages:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > WAIT_S:
                raise BenchmarkError(f"{replied} of {count} raw rounds came to their end")

    def _start_one(self) -> None:
        key = f"{self._started:0{KEY_LENGTH}d}".encode()
        self._started += 1
        self._producer.produce(self._names.signals, self._start, key, partition_of(key, PARTITIONS))

    def close(self) -> None:
        self._consumer.close()
