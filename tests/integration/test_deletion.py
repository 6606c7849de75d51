"""Deleting is a tombstone, seen with a consumer of another library; nothing brings a deleted workflow back."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.support.flows import long_history
from tests.support.workers import wait_until, weft, worker
from weft.client import Client
from weft.codec import encode
from weft.errors import UnknownWorkflowError
from weft.log import Log
from weft.records import AttemptCompleted
from weft.topics import Namespace, partition_of

pytestmark = pytest.mark.kafka


def raw_state(address: str, topic: str, partition: int) -> list[tuple[bytes, bytes | None]]:
    """Everything on a partition, as a consumer that knows nothing of Weft sees it, once nothing is undecided."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": f"raw-{uuid.uuid4().hex}",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    place = TopicPartition(topic, partition, 0)
    consumer.assign([place])
    records = []
    while True:
        message = consumer.poll(10)
        assert message is not None, "the broker answers"
        if message.error():
            # What was confirmed may be undecided to readers for a moment: then the end is told once more.
            if (message.offset() or 0) < consumer.get_watermark_offsets(place, cached=True)[1]:
                continue
            break
        records.append((message.key() or b"", message.value()))
    consumer.close()
    return records


def compact_eagerly(address: str, topic: str) -> None:
    """Make the broker clean this topic at once."""
    admin = AdminClient({"bootstrap.servers": address})
    settings = {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "100",
        "max.compaction.lag.ms": "100",
    }
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)


@pytest.mark.requirement("R1-40", "R1-41", "R1-42", "R3-12", "R3-46")
def test_purged_workflow_stays_gone_when_its_topic_was_compacted_and_a_late_result_comes(
    kafka_address: str, kafka_log: Log, topics: Namespace, options: list[str], tmp_path: Path
) -> None:
    partition = partition_of(b"gone-1", 4)
    env = {"FLOWS_LOG": str(tmp_path / "notes")}

    async def run_and_purge() -> str:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(long_history, 100, id="gone-1", wait_s=30)
            await handle.signal("go")
            await handle.result(timeout=60)
            return handle.run_id

    with worker(*options, "--instance-id", "w1", env=env) as running:
        run_id = asyncio.run(run_and_purge())
        before = raw_state(kafka_address, topics.state, partition)
        keys = {key for key, value in before if key.startswith(b"gone-1") and value is not None}
        assert b"gone-1" in keys
        assert len(keys) > 1, "the history has pages"
        assert all(json.loads(value) for _, value in before if value is not None), "values are JSON"

        purged = weft("purge", "--older-than", "0s", *options, "--json")
        assert purged.returncode == 0, purged.stderr
        last = dict(raw_state(kafka_address, topics.state, partition))
        assert all(last[key] is None for key in keys), "the head and every page has its tombstone"

        # What a worker that was cut off may still send.
        late = Producer({"bootstrap.servers": kafka_address})
        result = encode(AttemptCompleted(run_id, 1, 1))
        late.produce(topics.results, key=b"gone-1", value=result, partition=partition)
        assert late.flush(10) == 0

        compact_eagerly(kafka_address, topics.state)

        names = (f"roll-{number}" for number in itertools.count())

        def compacted() -> bool:
            # A write makes the broker close the old segment, which it never cleans before.
            roll = next(name for name in names if partition_of(name.encode(), 4) == partition)
            weft("start", "collect", "--input", "0", "--id", roll, *options)
            return not keys & {key for key, _ in raw_state(kafka_address, topics.state, partition)}

        wait_until(compacted, "the broker has compacted the tombstones away", timeout_s=60)
        running.kill()
        running.restart()

        async def look() -> None:
            async with Client(kafka_log, namespace=topics.name) as client:
                await client.start("collect", 0, id="probe", wait_s=30)
                assert "gone-1" not in [found.workflow_id for found in await client.list()]
                with pytest.raises(UnknownWorkflowError):
                    await client.handle("gone-1").describe()

        asyncio.run(look())
    assert b"gone-1" not in dict(raw_state(kafka_address, topics.state, partition))
