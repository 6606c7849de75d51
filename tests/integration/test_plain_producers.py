"""Anybody who can write to a topic can signal a workflow: other libraries, other partitioners, broken records."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from tests.support.flows import collect
from tests.support.workers import wait_until, worker
from weft.client import Client
from weft.log import FROM_START, Log
from weft.topics import Namespace, partition_of

pytestmark = pytest.mark.kafka


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
