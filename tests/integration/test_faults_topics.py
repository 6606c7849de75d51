"""Topics that are not as they must be: the worker does not start on them, and stops when they change under it."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin import ResourceType as Kind
from confluent_kafka.cimpl import NewPartitions

from tests.integration.faults_kit import Load, Serving, Stage, check
from tests.support.workers import wait_until
from weft.client import Client
from weft.errors import TopicError

pytestmark = pytest.mark.kafka


@pytest.fixture
def stage(kafka_address: str, namespace: str) -> Stage:
    return Stage(kafka_address, namespace)


@pytest.fixture
def admin(kafka_address: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka_address})


def refusal(stage: Stage) -> str:
    """What a worker says that does not start."""
    running = Serving(stage)
    wait_until(lambda: not running.alive, "the worker gives up", 30)
    running.stop()
    assert isinstance(running.error, TopicError), running.error
    return str(running.error)


def add_partitions(stage: Stage, admin: AdminClient, count: int, *topics: str) -> None:
    wanted = [NewPartitions(topic, count) for topic in topics]
    for future in admin.create_partitions(wanted).values():
        future.result()
    looking = stage.log.admin()
    wait_until(
        lambda: {one.partitions for one in looking.describe_topics(topics).values()} == {count},
        "all brokers know",
    )


def test_worker_does_not_start_when_a_topic_is_missing(stage: Stage, admin: AdminClient) -> None:
    results = stage.namespace.results
    admin.delete_topics([results])[results].result()
    wait_until(lambda: results not in admin.list_topics().topics, "it is gone")
    text = refusal(stage)
    assert f"Topic {results} does not exist." in text
    assert f"weft topics create --namespace {stage.namespace.name}" in text


def test_worker_does_not_start_when_a_topic_has_another_policy(
    stage: Stage, admin: AdminClient
) -> None:
    state = stage.namespace.state
    entry = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(Kind.TOPIC, state, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    looking = stage.log.admin()
    wait_until(lambda: not looking.describe_topics([state])[state].compacted, "it is known")
    text = refusal(stage)
    assert f"Topic {state} has the wrong cleanup policy: compact is needed" in text
    assert "kafka-configs.sh" in text
    assert "cleanup.policy=compact" in text


def test_worker_does_not_start_when_a_topic_has_another_partition_count(
    stage: Stage, admin: AdminClient
) -> None:
    add_partitions(stage, admin, 3, stage.namespace.state)
    text = refusal(stage)
    assert f"Topic {stage.namespace.state} has 3 partitions, not 2." in text
    assert "Mend it with:" in text


@pytest.mark.parametrize("which", ["signals", "all"])
def test_worker_stops_and_none_starts_when_partitions_are_added_under_it(
    stage: Stage, admin: AdminClient, which: str
) -> None:
    names = stage.namespace
    all_topics = [topic for topic in admin.list_topics().topics if topic.startswith(names.name)]
    running = Serving(stage)

    async def serve() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=names.name) as client:
            running.wait_until_ready()
            await load.start(client, 5)
            await load.finish(client)

    asyncio.run(serve())
    check(stage, running)
    add_partitions(stage, admin, 4, *([names.signals] if which == "signals" else all_topics))
    wait_until(lambda: not running.alive, "the worker stops", 30)
    running.stop()
    assert isinstance(running.error, TopicError), running.error
    assert "is served with 2 partitions, but topic" in str(running.error)
    assert "has 4 partitions now" in str(running.error)
    assert "weft topics create --namespace NEW" in str(running.error)
    # Whoever restarts it has topics that agree with each other ("all"), and would find workflows elsewhere.
    text = refusal(stage)
    assert ("is served with 2 partitions, but its topics have 4 now" in text) == (which == "all")
    assert "Mend it with" in text
