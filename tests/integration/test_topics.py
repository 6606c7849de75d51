"""Topics and partitions on a real broker: what it takes, and how other clients hash."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from weft.log import Log
from weft.topics import Namespace, catalogue, check, create, partition_count, partition_of, queues

pytestmark = pytest.mark.kafka

KEYS = [
    "a",
    "ab",
    "abc",
    "abcd",
    "注文-7",
    *(f"order-{number}" for number in range(300)),
    "x" * 255,
]


def partitions_by_key(address: str, topic: str, partitioner: str | None) -> dict[str, int]:
    """Where librdkafka puts a record of each key."""
    settings = {"bootstrap.servers": address} | (
        {"partitioner": partitioner} if partitioner else {}
    )
    producer = Producer(settings)
    found: dict[str, int] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        key = message.key()
        partition = message.partition()
        assert error is None
        assert isinstance(key, bytes)
        assert partition is not None
        found[key.decode()] = partition

    for key in KEYS:
        producer.produce(topic, key=key, value=b"{}", on_delivery=note)
    assert producer.flush(30) == 0
    return found


def test_partition_is_that_of_a_client_that_hashes_as_java_does(
    kafka_address: str, topics: Namespace
) -> None:
    found = partitions_by_key(kafka_address, topics.signals, "murmur2_random")
    assert found == {key: partition_of(key.encode(), 4) for key in KEYS}


def test_plain_librdkafka_puts_keys_elsewhere(kafka_address: str, topics: Namespace) -> None:
    """So its records have to be forwarded, and our own writers always name the partition."""
    found = partitions_by_key(kafka_address, topics.signals, None)
    assert found.keys() == set(KEYS)
    assert found != {key: partition_of(key.encode(), 4) for key in KEYS}


def test_broker_takes_every_setting_of_the_catalogue(
    kafka_address: str, kafka_log: Log, namespace: str
) -> None:
    names = Namespace(namespace)
    specs = catalogue(names, partitions=3, queues=["default", "mail"])
    admin = kafka_log.admin()
    assert sorted(create(admin, specs)) == sorted(spec.name for spec in specs)
    assert check(admin, specs) == []
    assert create(admin, specs) == []
    assert partition_count(admin, names) == 3
    assert queues(admin, names) == ["default", "mail"]
    admin.close()
    for spec in specs:
        wanted = {**spec.config, "cleanup.policy": "compact" if spec.compacted else "delete"}
        if spec.retention_ms is not None:
            wanted["retention.ms"] = str(spec.retention_ms)
        found = settings_of(kafka_address, spec.name)
        assert {name: found[name] for name in wanted} == wanted


def settings_of(address: str, topic: str) -> dict[str, str | None]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": address})
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result(10).items()}
