"""What transactions cost a broker's CPU: each, its offsets, each partition that it writes, each record.

    .venv/bin/python -m benchmarks.scale.transactions > benchmarks/scale/transactions.jsonl

One JSON line a shape of transaction, some minutes with a broker that is started for it. It is the CPU of the broker's
process that counts: what else the machine does spoils that less than it spoils times.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter

from benchmarks.machine import today
from benchmarks.processes import BenchmarkError, cpu_s
from benchmarks.stage import Line, Stage, open_stage, say

from weft.topics import Namespace, catalogue, create

PARTITIONS = 32


@dataclass(frozen=True)
class Shape:
    partitions: int
    """That it writes."""
    records: int
    """On each of them."""
    has_offsets: bool = True
    is_plain: bool = False
    """No transaction: written, and waited for."""


SHAPES = (
    Shape(1, 1, has_offsets=False, is_plain=True),
    Shape(1, 1, has_offsets=False),
    Shape(1, 1),
    Shape(4, 1),
    Shape(16, 1),
    Shape(1, 400),
    Shape(16, 25),
)
COUNT = 400
ROUNDS = 8
VALUE = b"".join(secrets.token_hex(32).encode() + b"x" * 64 for _ in range(4))
"""512 bytes, half of which compress well."""
_TIMEOUT_S = 60.0


class Writer:
    """Two producers in turn, as an owner has them, and a member of a group, without which no offsets can be sent."""

    def __init__(self, stage: Stage) -> None:
        self._names = Namespace(f"transactions-{secrets.token_hex(4)}")
        admin = stage.log.admin()
        create(admin, catalogue(self._names, partitions=PARTITIONS, queues=["default"]))
        admin.close()
        self._plain = stage.log.producer()
        self._producers = [
            stage.log.transactional_producer(f"{self._names.name}~{number}") for number in range(2)
        ]
        for producer in self._producers:
            producer.fence(_TIMEOUT_S)
        self._assigned: list[int] = []
        self._consumer = stage.log.group_consumer(
            self._names.workflow_group,
            [self._names.signals],
            self,
            instance_id="one",
            session_timeout_s=_TIMEOUT_S / 2,
        )
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not self._assigned:
            if time.monotonic() > deadline_s:
                raise BenchmarkError("no partitions were assigned")
            self._consumer.poll(1, 0.1)

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self._assigned.extend(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self._assigned.clear()

    on_lost = on_stalled = on_revoked

    def write(self, shape: Shape) -> None:
        """Until it is durable."""
        places = [
            (self._names.state, partition, b"%d" % number, VALUE)
            for partition in range(shape.partitions)
            for number in range(shape.records)
        ]
        if shape.is_plain:
            for place in places:
                self._plain.produce(*place)
            self._plain.flush(_TIMEOUT_S)
            return
        self._producers.reverse()
        producer = self._producers[0]
        producer.begin()
        for place in places:
            producer.append(*place)
        if shape.has_offsets:
            producer.send_offsets({(self._names.signals, 0): 1}, self._consumer.member())
        producer.commit(_TIMEOUT_S)

    def stay(self) -> None:
        """In the group."""
        self._consumer.poll(1, 0.0)

    def close(self) -> None:
        self._plain.close()
        for producer in self._producers:
            producer.close()
        self._consumer.close()


def measure(stage: Stage, rounds: int) -> Iterator[Line]:
    """A line a shape: the cheapest of its rounds. The first of them warm the broker up."""
    writer = Writer(stage)
    found: dict[Shape, list[Line]] = {shape: [] for shape in SHAPES}
    try:
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for shape in SHAPES:
                found[shape].append(_line(stage, writer, shape))
    finally:
        writer.close()
    for lines in found.values():
        yield min(lines, key=itemgetter("broker_us"))


def _line(stage: Stage, writer: Writer, shape: Shape) -> Line:
    before_s, times_s = cpu_s(stage.broker_pid), []
    for _ in range(COUNT):
        began_s = time.perf_counter()
        writer.write(shape)
        times_s.append(time.perf_counter() - began_s)
        writer.stay()
    used_s = cpu_s(stage.broker_pid) - before_s
    return {
        **asdict(shape),
        "date": today(),
        "broker_us": round(used_s / COUNT * 1e6),
        "p50_ms": round(statistics.median(times_s) * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with open_stage("kafka", 1.0) as stage:
        for found in measure(stage, rounds):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
