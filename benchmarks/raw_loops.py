"""The processes of W8: bare consume-produce-commit loops that write what a worker would, and decide nothing.

A record is a number of steps done (its first byte) and filler up to the size that such a record has in W1. The clients
have the settings that Weft's own have.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.workloads import STEPS  # the checkout's root comes first
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from weft.log.kafka._settings import ClientSettings
from weft.topics import Namespace
from weft.worker._activity_results import GATHER_S

RECORDS_MAX = 1000
PRODUCERS = 2
"""They take turns, as a worker's do: the next transaction does not wait for the markers of the last one."""
REPLIES_PARTITION = 0
_POLL_S = 0.1
_COMMIT_S = 0.1
"""How often the activity loop commits its offsets, as an activity worker does."""
_TIMEOUT_S = 30.0
_SESSION_S = 6.0


def take(consumer: Consumer, wait_s: float) -> list[Message]:
    """Wait for the first record, then take what is there."""
    first = consumer.poll(wait_s)
    if first is None:
        return []
    messages = [first, *consumer.consume(RECORDS_MAX - 1, 0)]
    return [message for message in messages if message.error() is None]


def value(steps: int, size_bytes: int) -> bytes:
    return bytes([steps]) + b"x" * max(0, size_bytes - 1)


def offsets_after(messages: Sequence[Message]) -> list[TopicPartition]:
    """The next ones to read."""
    last = {(message.topic(), message.partition()): message.offset() for message in messages}
    return [
        TopicPartition(str(topic), int(partition or 0), int(offset or 0) + 1)
        for (topic, partition), offset in last.items()
    ]


class Shape:
    """`sizes`: bytes of a value on each topic, by the topic's name without its namespace."""

    def __init__(self, address: str, namespace: str, sizes: Mapping[str, int]) -> None:
        self.settings = ClientSettings(address, {})
        self.names = Namespace(namespace)
        self.tasks = self.names.tasks("default")
        self.sizes = sizes
        self.by_steps = {
            topic: [value(steps, size) for steps in range(STEPS + 1)]
            for topic, size in sizes.items()
        }

    def consumer(self, *topics: str) -> Consumer:
        consumer = Consumer(self.settings.group(f"{topics[0]}.raw", None, _SESSION_S))
        consumer.subscribe(list(topics))
        return consumer

    def plain(self, gather_s: float = 0.0) -> Producer:
        return Producer(self.settings.producer(gather_s))


class OwnerLoop:
    """Reads starts and results; for each writes a state, the next task, events, in a transaction; then replies."""

    def __init__(self, shape: Shape, *, inline: bool) -> None:
        self._shape = shape
        self._inline = inline
        self._consumer = shape.consumer(shape.names.signals, shape.names.results)
        self._replies = shape.plain()
        self._producers = [
            Producer(shape.settings.transactional(f"{shape.names.name}-raw-{number}", 10.0))
            for number in range(PRODUCERS)
        ]
        for producer in self._producers:
            producer.init_transactions(_TIMEOUT_S)
        self._offsets: dict[tuple[str, int], TopicPartition] = {}
        self._tokens: list[tuple[int, bytes, int]] = []
        """(partition, key, steps done) of what an inline activity has answered."""

    def step(self) -> None:
        messages = take(self._consumer, 0 if self._tokens else _POLL_S)
        turns = self._tokens + [
            (int(message.partition() or 0), message.key() or b"", (message.value() or b"\0")[0])
            for message in messages
        ]
        self._tokens = []
        if not turns:
            return
        for offset in offsets_after(messages):
            self._offsets[offset.topic, offset.partition] = offset
        self._producers.reverse()
        producer = self._producers[0]
        producer.begin_transaction()
        ended = [key for turn in turns if (key := self._turn(producer, *turn))]
        producer.send_offsets_to_transaction(
            offsets_after(messages) or list(self._offsets.values()),
            self._consumer.consumer_group_metadata(),
        )
        producer.commit_transaction(_TIMEOUT_S)
        for key in ended:
            reply = self._shape.by_steps["replies"][STEPS]
            self._replies.produce(self._shape.names.replies, reply, key, REPLIES_PARTITION)
        self._replies.poll(0)

    def _turn(self, producer: Producer, partition: int, key: bytes, steps: int) -> bytes:
        """The key when it was the last one, or nothing."""
        shape, produce = self._shape, producer.produce
        produce(shape.names.state, shape.by_steps["state"][steps], key, partition)
        is_last = steps == STEPS
        if steps == 0 or is_last:
            produce(shape.names.events, shape.by_steps["events"][steps], key, partition)
        if not is_last and self._inline:
            self._tokens.append((partition, key, steps + 1))
        elif not is_last:
            produce(shape.tasks, shape.by_steps["tasks.default"][steps], key, partition)
        return key if is_last else b""


class ActivityLoop:
    """Reads tasks, writes a result for each, and commits its offsets now and then."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._consumer = shape.consumer(shape.tasks)
        self._producer = shape.plain(GATHER_S)
        self._offsets: dict[tuple[str, int], TopicPartition] = {}
        self._committed_s = 0.0

    def step(self) -> None:
        messages = take(self._consumer, _POLL_S)
        results = self._shape.by_steps["results"]
        for message in messages:
            steps = (message.value() or b"\0")[0] + 1
            self._producer.produce(
                self._shape.names.results, results[steps], message.key(), message.partition() or 0
            )
        self._producer.poll(0)
        for offset in offsets_after(messages):
            self._offsets[offset.topic, offset.partition] = offset
        if self._offsets and time.monotonic() - self._committed_s > _COMMIT_S:
            self._consumer.commit(offsets=list(self._offsets.values()), asynchronous=True)
            self._offsets.clear()
            self._committed_s = time.monotonic()


def run(step: Callable[[], None]) -> None:
    """Until SIGTERM comes."""
    stopping = False

    def stop(*_unused: Any) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        step()


def main() -> None:
    what, text = sys.argv[1:]
    shape = Shape(**json.loads(text))
    loop = ActivityLoop(shape) if what == "activity" else OwnerLoop(shape, inline=what == "inline")
    run(loop.step)


if __name__ == "__main__":
    main()
