"""Brokers die, come back and change places under load; the brokers' data is what is left."""

from __future__ import annotations

import asyncio
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient
from deploy.kafka.broker import Broker, Cluster, start_broker, start_cluster

from tests.integration.faults_kit import Load, Stage, check, served_by, serving
from tests.support.workers import wait_until, worker
from weft.client import Client

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def three_brokers() -> Iterator[Cluster]:
    with start_cluster(3) as cluster:
        yield cluster


@pytest.fixture
def own_name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def java_hash(text: str) -> int:
    """What Kafka chooses a coordinator's partition with."""
    value = 0
    for character in text:
        value = (value * 31 + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


class Roles:
    """Which broker does what for one namespace and worker."""

    def __init__(self, admin: AdminClient, stage: Stage, instance_id: str) -> None:
        self._admin = admin
        names = stage.namespace
        self._partitions = {
            "state": (names.state, 0),
            "group": ("__consumer_offsets", java_hash(names.workflow_group)),
            "transactions": (
                "__transaction_state",
                java_hash(f"weft-{names.name}-{instance_id}"),
            ),
        }

    def leaders(self) -> dict[str, int]:
        """The broker ID by role."""
        topics = self._admin.list_topics(timeout=30).topics
        found = {}
        for role, (topic, number) in self._partitions.items():
            partitions = topics[topic].partitions
            found[role] = partitions[number % len(partitions)].leader
        return found

    def wait_until_in_sync(self) -> None:
        def all_are() -> bool:
            topics = self._admin.list_topics(timeout=30).topics.values()
            return all(
                len(one.isrs) == len(one.replicas) == 3
                for topic in topics
                for one in topic.partitions.values()
            )

        wait_until(all_are, "all replicas are in sync", PATIENCE_S)


@contextmanager
def supervised(stage: Stage, instance_id: str) -> Iterator[list[int]]:
    """A worker process that is started again when it ends, as whoever runs it would do; its exit statuses."""
    statuses: list[int] = []
    done = threading.Event()
    with worker(*stage.options, "--instance-id", instance_id) as running:

        def supervise() -> None:
            while not done.wait(0.1):
                if running.process.poll() is not None:
                    statuses.append(running.process.returncode)
                    running.restart()

        thread = threading.Thread(target=supervise)
        thread.start()
        try:
            yield statuses
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("end", [Broker.kill, Broker.stop], ids=["killed", "stopped"])
def test_all_ends_right_when_brokers_are_restarted_in_turn(
    end: Callable[[Broker], None], three_brokers: Cluster, own_name: str
) -> None:
    """Killed as by a power cut, and stopped as an operator would for an upgrade."""
    stage = Stage(three_brokers.address, own_name)
    roles = Roles(AdminClient({"bootstrap.servers": stage.address}), stage, "w1")
    moved: set[str] = set()

    async def run() -> list[int]:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with supervised(stage, "w1") as first, supervised(stage, "w2") as second:
                await load.start(client, 5)
                await load.finish(client)
                for broker in three_brokers.brokers:
                    await asyncio.to_thread(roles.wait_until_in_sync)
                    had = [role for role, one in roles.leaders().items() if one == broker.node_id]
                    await load.start(client, 5)
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(end, broker)
                    moved.update(had)
                    await load.start(client, 5)
                    await asyncio.sleep(3.0)
                    await asyncio.to_thread(three_brokers.restart)
                await load.finish(client)
        with serving(stage, config={}) as rebuilt:
            served_by(rebuilt)
            check(stage, rebuilt)
        return first + second

    statuses = asyncio.run(run())
    # The client library may abort the process (see KafkaAdmin); the worker itself gives up for no such reason.
    assert set(statuses) <= {-signal.SIGABRT}
    assert moved == {"state", "group", "transactions"}, "leaders and both coordinators have moved"


def test_all_ends_right_when_leaders_are_moved_between_living_brokers(
    three_brokers: Cluster, own_name: str
) -> None:
    """A broker is shut down and started, and then elected anew for what it had led."""
    stage = Stage(three_brokers.address, own_name)
    admin = AdminClient({"bootstrap.servers": stage.address})
    roles = Roles(admin, stage, "w1")
    roles.wait_until_in_sync()

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage, config={}) as running:
                await load.start(client, 5)
                await load.finish(client)
                leader = roles.leaders()["state"]
                broker = next(one for one in three_brokers.brokers if one.node_id == leader)
                await load.start(client, 5)
                await asyncio.to_thread(broker.stop)
                await load.start(client, 5)
                assert roles.leaders()["state"] != leader
                await asyncio.to_thread(three_brokers.restart)
                await asyncio.to_thread(roles.wait_until_in_sync)
                await load.start(client, 5)
                admin.elect_leaders(ElectionType.PREFERRED, None).result(30)
                await load.start(client, 5)
                await load.finish(client)
                assert roles.leaders()["state"] == leader, "moved away and back"
                check(stage, running)

    asyncio.run(run())


def test_all_ends_right_when_the_only_broker_is_restarted() -> None:
    """At rest: the start of a lone broker forgets the ends of transactions that its stop has cut off."""
    with start_broker() as cluster:
        stage = Stage(cluster.address, "restarted")

        async def run() -> None:
            load = Load(stage)
            async with Client(stage.log, namespace=stage.namespace.name) as client:
                with serving(stage, config={}) as running:
                    await load.start(client, 20, signals=False)
                    await asyncio.to_thread(
                        wait_until, load.is_at_rest, "all wait for their signals", PATIENCE_S
                    )
                    await asyncio.to_thread(cluster.stop)
                    await asyncio.sleep(2.0)
                    assert running.alive
                    await asyncio.to_thread(cluster.restart)
                    load.signal(load.ids)
                    await load.start(client, 5)
                    await load.finish(client)
                    check(stage, running)

        asyncio.run(run())
