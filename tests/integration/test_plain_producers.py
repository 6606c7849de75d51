"""Anybody who can write to a topic can signal a workflow: other libraries, other partitioners, broken records."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from tests.support.flows import collect
from tests.support.workers import wait_until, worker
from weft.client import Client, WorkflowSummary
from weft.log import FROM_START, Log
from weft.topics import Namespace, partition_of

pytestmark = pytest.mark.kafka

REPLY_TO = {"client": "tester", "request": "1", "partition": 0, "until": "ended"}
"""Where a client of another kind wants its answer."""


def signal(item: object, signal_id: str = "") -> bytes:
    value = {"signal": "item", "payload": item}
    return json.dumps({**value, "id": signal_id} if signal_id else value).encode()


@pytest.mark.requirement("R1-25", "R2-21", "R3-10")
def test_workflow_is_signalled_when_another_client_library_writes_the_record(
    kafka_address: str, kafka_log: Log, topics: Namespace, options: list[str]
) -> None:
    async def run() -> list[object]:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(collect, 3, id="café-1", wait_s=30)
            producer = KafkaProducer(bootstrap_servers=kafka_address)
            for item in (1, "zwei", {"drei": 3}):
                producer.send(topics.signals, key="café-1".encode(), value=signal(item)).get(10)
            producer.close()
            return await handle.result(timeout=30)

    with worker(*options):
        assert asyncio.run(run()) == [1, "zwei", {"drei": 3}]


def test_signals_arrive_once_and_in_order_when_they_are_written_to_the_wrong_partition(
    kafka_address: str, kafka_log: Log, topics: Namespace, options: list[str]
) -> None:
    key = "wrong-1"
    wrong = (partition_of(key.encode(), 4) + 1) % 4

    async def run() -> list[object]:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(collect, 20, id=key, wait_s=30)
            producer = Producer({"bootstrap.servers": kafka_address})
            for number in range(20):
                producer.produce(topics.signals, key=key, value=signal(number), partition=wrong)
            assert producer.flush(10) == 0
            return await handle.result(timeout=30)

    with worker(*options):
        assert asyncio.run(run()) == list(range(20))


@pytest.mark.parametrize("partitioner", ["consistent_random", "random"])
def test_misrouted_records_count_once_when_workers_are_killed_in_between(
    kafka_address: str,
    kafka_log: Log,
    topics: Namespace,
    options: list[str],
    tmp_path: Path,
    partitioner: str,
) -> None:
    """Without IDs, so that nothing but the transactions makes each of them count once.

    librdkafka hashes keys by CRC32 (`consistent_random`), so that about three of four keys are on a wrong partition.
    """
    keys = [f"order-{number}" for number in range(12)]
    rounds, each = 5, 8
    env = {"FLOWS_LOG": str(tmp_path / "notes")}

    def produce(producer: Producer, at: int) -> None:
        for number in range(each):
            for key in keys:
                value = signal(at * each + number)
                producer.produce(topics.signals, key=key, value=value)
        assert producer.flush(10) == 0

    async def results() -> list[object]:
        async with Client(kafka_log, namespace=topics.name) as client:
            return [await client.handle(key).result(timeout=60) for key in keys]

    async def events() -> list[list[str]]:
        async with Client(kafka_log, namespace=topics.name) as client:
            return [
                [type(event).__name__ for event in await client.handle(key).history()]
                for key in keys
            ]

    settings = {"bootstrap.servers": kafka_address, "enable.idempotence": True}
    producer = Producer({**settings, "partitioner": partitioner})
    with worker(*options, "--instance-id", "w1", env=env) as running:
        for key in keys:  # a start may come on any partition as well
            value = {"kind": "start", "workflow": "collect", "input": rounds * each}
            data = json.dumps({**value, "request_id": f"start-{key}"})
            producer.produce(topics.signals, key=key, value=data)
        assert producer.flush(10) == 0
        wait_until(lambda: len(asyncio.run(listed(kafka_log, topics))) == 12, "all are started")
        for at in range(rounds):
            produce(producer, at)
            time.sleep(0.05 * at)
            running.kill()
            running.restart()
        found = asyncio.run(results())
    expected = list(range(rounds * each))
    for items in found:
        assert sorted(items) == expected  # type: ignore[call-overload]
        assert partitioner == "random" or items == expected, "one partition keeps the order"
    for story in asyncio.run(events()):
        assert story.count("SignalReceived") == rounds * each
    assert misrouted_count(kafka_log, topics) > len(keys), "records did come on wrong partitions"


def misrouted_count(log: Log, topics: Namespace) -> int:
    """How many signals stand on a partition that is not their workflow's; each was forwarded exactly once."""
    reader = log.reader()
    wrong: set[tuple[int, int]] = set()
    forwarded: list[tuple[int, int]] = []
    offsets = {
        (topic, number): FROM_START
        for topic in (topics.signals, topics.messages)
        for number in range(4)
    }
    for record in reader.read_to_end(offsets, 10, undecided_s=10):
        assert record.key is not None
        assert record.value is not None
        if record.topic == topics.messages:
            message = json.loads(record.value)
            forwarded.append((message["partition"], message["offset"]))
        elif partition_of(record.key, 4) != record.partition:
            wrong.add((record.partition, record.offset))
    reader.close()
    assert sorted(forwarded) == sorted(wrong)
    return len(wrong)


async def listed(log: Log, topics: Namespace) -> list[WorkflowSummary]:
    async with Client(log, namespace=topics.name) as client:
        return await client.list()


def test_results_and_queries_find_their_workflow_when_they_come_on_a_wrong_partition(
    kafka_address: str, kafka_log: Log, topics: Namespace, options: list[str]
) -> None:
    """Activity workers in other languages write results; who waits writes queries."""
    key = "wrong-2"
    wrong = (partition_of(key.encode(), 4) + 1) % 4

    async def run() -> object:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start("elsewhere", id=key, wait_s=30)
            task = None
            while task is None:
                (task, *_) = [*tasks_of(kafka_log, topics, "default"), None]
                await asyncio.sleep(0.05)
            producer = Producer({"bootstrap.servers": kafka_address})
            query = {"kind": "await", "reply_to": REPLY_TO}
            producer.produce(topics.queries, key=key, value=json.dumps(query), partition=wrong)
            result = {"kind": "completed", **task, "result": "from afar"}
            producer.produce(topics.results, key=key, value=json.dumps(result), partition=wrong)
            assert producer.flush(10) == 0
            return await handle.result(timeout=30)

    with worker(*options, "--workflows-only"):
        assert asyncio.run(run()) == "from afar"
        wait_until(
            lambda: sources_of(kafka_log, topics) == ["queries", "results"],
            "both are forwarded",
        )
        wait_until(lambda: "ended" in replies_to(kafka_log, topics, "tester"), "the answer")


def tasks_of(log: Log, topics: Namespace, queue: str) -> list[dict[str, object]]:
    return [
        {name: value[name] for name in ("run_id", "activity_id", "attempt")}
        for _, value in read_json(log, topics.tasks(queue))
    ]


def sources_of(log: Log, topics: Namespace) -> list[str]:
    return sorted(value["source"] for _, value in read_json(log, topics.messages))


def replies_to(log: Log, topics: Namespace, client: str) -> list[str]:
    return [
        value["outcome"] for key, value in read_json(log, topics.replies) if key == client.encode()
    ]


def read_json(log: Log, topic: str) -> list[tuple[bytes, dict[str, Any]]]:
    reader = log.reader()
    records = list(reader.read_to_end({(topic, number): FROM_START for number in range(4)}, 10))
    reader.close()
    return [(record.key or b"", json.loads(record.value or b"{}")) for record in records]


def test_malformed_and_homeless_signals_are_put_aside_with_the_reason_when_they_arrive(
    kafka_address: str, kafka_log: Log, topics: Namespace, options: list[str], tmp_path: Path
) -> None:
    bad = {
        b"broken json": b'{"signal": "item"',
        b"no name": b'{"signal": ""}',
        b"not text": b'{"signal": "item", "payload": "\xff"}',
        b"future": b'{"kind": "signal", "signal": "item", "v": 99}',
        b"nobody": signal(1),
    }

    async def run() -> list[object]:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(collect, 1, id="good-1", wait_s=30)
            producer = Producer(
                {"bootstrap.servers": kafka_address, "partitioner": "murmur2_random"}
            )
            for key, value in bad.items():
                producer.produce(topics.signals, key=key, value=value)
            producer.produce(topics.signals, key="good-1", value=signal("fine"))
            assert producer.flush(10) == 0
            return await handle.result(timeout=30)

    with worker(*options):
        assert asyncio.run(run()) == ["fine"]
        reader = kafka_log.reader()
        found: dict[bytes, dict[str, str]] = {}

        def all_there() -> bool:
            offsets = {(topics.deadletters, number): FROM_START for number in range(4)}
            for record in reader.read_to_end(offsets, 10):
                assert record.key is not None
                assert record.value == bad[record.key], "put aside as it came"
                found[record.key] = {name: value.decode() for name, value in record.headers}
            return len(found) == len(bad)

        wait_until(all_there, "every bad record is on the dead letter topic")
        reader.close()
    for key, headers in found.items():
        assert headers["weft-topic"] == topics.signals, key
        assert headers["weft-partition"] == str(partition_of(key, 4))
        assert headers["weft-offset"].isdigit()
        assert headers["weft-reason"]
    assert "nobody" in found[b"nobody"]["weft-reason"]
