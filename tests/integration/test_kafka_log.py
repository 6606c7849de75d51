"""What only Kafka can show of the log contract: settings, limits that changed, brokers that go away."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress

import pytest
from confluent_kafka import TopicPartition
from deploy.kafka._probe import free_ports
from deploy.kafka.broker import start_broker, start_cluster

from tests.support.workers import wait_until
from weft.errors import (
    CommitUnknownError,
    LogUnavailableError,
    RecordTooLargeError,
    UsageError,
)
from weft.log import FROM_START, LogRecord, TopicSpec
from weft.log.kafka import KafkaLog, _absence, _group, open_kafka
from weft.log.kafka._group import KafkaGroupConsumer
from weft.log.kafka._transaction import KafkaTransactionalProducer

pytestmark = pytest.mark.kafka

PATIENCE_S = 60.0


class Member:
    """A group member that reads what it is given."""

    def __init__(
        self, log: KafkaLog, group: str, topics: Sequence[str], instance_id: str | None
    ) -> None:
        self.owned: set[int] = set()
        self.records: list[LogRecord] = []
        self.consumer: KafkaGroupConsumer = log.group_consumer(
            group, topics, self, instance_id=instance_id
        )

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.owned.update(partitions)
        self.consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        raise AssertionError(partitions)

    def until_owns(self, partitions: set[int]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.owned != partitions:
            assert time.monotonic() < deadline_s, f"{self.owned}, not {partitions}"
            self.consumer.poll(100, 0.02)


class Kit:
    def __init__(self, address: str, namespace: str, stack: ExitStack) -> None:
        self.address = address
        self.namespace = namespace
        self.log = open_kafka(address)
        self._stack = stack

    def topic(self, name: str, partitions: int = 1, **config: str) -> str:
        topic = f"{self.namespace}.{name}"
        self.log.admin().create_topics([TopicSpec(topic, partitions, config=config)])
        return topic

    def member(self, *topics: str, instance_id: str | None = None) -> Member:
        member = Member(self.log, f"{self.namespace}.group", topics, instance_id)
        self._stack.callback(member.consumer.close)
        return member

    def transactional(self, name: str) -> KafkaTransactionalProducer:
        producer = self.log.transactional_producer(f"{self.namespace}.{name}", timeout_s=60.0)
        self._stack.callback(producer.close)
        producer.fence(PATIENCE_S)
        return producer


@pytest.fixture
def kit(kafka_address: str, namespace: str) -> Iterator[Kit]:
    with ExitStack() as stack:
        yield Kit(kafka_address, namespace, stack)


def test_member_is_assigned_anew_when_the_log_could_not_say_where_partitions_start(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client believes that the assignment is done, and would wait for the next one."""
    member = kit.member(kit.topic("orders"), instance_id="worker-0")
    calls = 0

    def fail(_wanted: object) -> dict[tuple[str, int], int]:
        nonlocal calls
        calls += 1
        raise LogUnavailableError("the coordinator is away")

    with monkeypatch.context() as broken:
        broken.setattr(member.consumer, "_decided_offsets", fail)
        while calls < 2:
            with suppress(LogUnavailableError):
                member.consumer.poll(1, 0.1)
    assert member.owned == set()
    member.until_owns({0})


def test_offsets_that_nobody_decides_are_explained(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To an assignment and to who asks: only an operator can mend this, and a timeout would send him elsewhere."""
    monkeypatch.setattr(_group, "_OFFSETS_PATIENCE_S", 1.0)
    orders = kit.topic("orders")
    member = kit.member(orders)
    member.until_owns({0})
    producer = kit.transactional("lost")
    producer.begin()
    producer.send_offsets({(orders, 0): 1}, member.consumer.member())
    wanted = f"for partitions [0] on kafka {kit.address} have been undecided for"
    with pytest.raises(LogUnavailableError, match=re.escape(wanted)) as asked:
        member.consumer.committed([(orders, 0)], 0.5)
    assert "kafka-transactions.sh abort" in str(asked.value)
    member.consumer.close()
    told: list[Sequence[int]] = []
    heir = kit.member(orders)
    monkeypatch.setattr(heir, "on_stalled", told.append)
    with pytest.raises(LogUnavailableError, match=re.escape(wanted)):
        heir.until_owns({0})
    assert told
    assert set(map(tuple, told)) == {(0,)}
    producer.commit(PATIENCE_S)
    heir.until_owns({0})


def test_transaction_is_refused_when_the_broker_finds_a_record_too_large(kit: Kit) -> None:
    """The topic's limit was lowered after the producer had asked for it."""
    orders = kit.topic("orders", 1, **{"max.message.bytes": "200000"})
    producer = kit.transactional("owner")
    producer._limits._bytes_max_by_topic[orders] = 1_000_000
    producer.begin()
    producer.append(orders, 0, b"key", os.urandom(500_000))
    producer.append(orders, 0, b"key", b"small")
    with pytest.raises(RecordTooLargeError):
        producer.commit(PATIENCE_S)
    with pytest.raises(RecordTooLargeError):
        producer.begin()


def test_partition_is_read_again_only_after_the_next_poll_when_the_client_has_lost_it(
    kit: Kit,
) -> None:
    """A worker that forgets its memory in that very moment must not end of it."""
    orders = kit.topic("orders")
    member = kit.member(orders)
    member.until_owns({0})
    member.consumer._client.incremental_unassign([TopicPartition(orders, 0)])
    with pytest.raises(LogUnavailableError, match="the next poll tells"):
        member.consumer.seek(orders, 0, 0)


def test_client_knows_of_a_record_when_it_has_fetched_it_and_not_handed_it_out(kit: Kit) -> None:
    """What lies behind a flood in the client's queue must be known of, or nobody would let it through."""
    flooding, other = kit.topic("flooding"), kit.topic("other")
    member = kit.member(flooding, other)
    member.until_owns({0})
    member.consumer.poll(1, 0.5)
    assert member.consumer._known_ends(flooding, [0]) == {(other, 0): 0}
    producer = kit.log.producer()
    producer.produce(other, 0, b"key", b"value")
    assert producer.flush(PATIENCE_S) == 0
    producer.close()
    wait_until(
        lambda: member.consumer._known_ends(flooding, [0]) == {(other, 0): 1}, "it to be fetched"
    )
    assert [record.topic for record in member.consumer.poll(1, PATIENCE_S)] == [other]


def test_reading_to_the_end_waits_for_what_was_undecided_and_for_nothing_later(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    first, second = kit.transactional("first"), kit.transactional("second")
    first.begin()
    _append(kit, first, topic, b"first")

    def decide() -> None:
        second.begin()
        _append(kit, second, topic, b"second")
        first.commit(PATIENCE_S)

    deciding = threading.Timer(0.3, decide)
    began_s = time.monotonic()
    with closing(kit.log.reader()) as reader:
        deciding.start()
        records = reader.read_to_end(
            {(topic, 0): FROM_START, (topic, 1): FROM_START}, PATIENCE_S, undecided_s=PATIENCE_S
        )
        assert [record.value for record in records] == [b"first"]
        assert time.monotonic() - began_s < PATIENCE_S / 2
        deciding.join()
        assert reader.poll(10, 0.1) == []
        second.commit(PATIENCE_S)
        assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"second"]


def test_reading_to_the_end_goes_no_further_when_nobody_decides(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.transactional("open")
    producer.begin()
    producer.append(topic, 0, b"key", b"before")
    producer.commit(PATIENCE_S)
    producer.begin()
    _append(kit, producer, topic, b"open")
    with closing(kit.log.reader()) as reader:
        began_s = time.monotonic()
        offsets = {(topic, 0): FROM_START}
        found = list(reader.read_to_end(offsets, PATIENCE_S, undecided_s=0.5))
        assert [record.value for record in found] == [b"before"]
        assert 0.5 <= time.monotonic() - began_s < PATIENCE_S / 2
        producer.commit(PATIENCE_S)
        assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"open"]


def _append(kit: Kit, producer: KafkaTransactionalProducer, topic: str, value: bytes) -> None:
    """In a transaction that stays open. Returns when it is on the log."""
    producer.append(topic, 0, b"key", value)
    with closing(kit.log.reader(committed=False)) as reader:
        reader.assign({(topic, 0): FROM_START})
        deadline_s = time.monotonic() + PATIENCE_S
        while value not in [record.value for record in reader.poll(10, 1.0)]:
            assert time.monotonic() < deadline_s, value


def test_unreachable_broker_is_named_when_the_log_is_opened() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(LogUnavailableError, match=f"{address}.*Check that a broker runs there"):
        open_kafka(address)


def test_unknown_setting_is_refused_when_the_log_is_opened() -> None:
    with pytest.raises(UsageError, match=r"sasl\.colour"):
        open_kafka("127.0.0.1:1", {"sasl.colour": "blue"})


def test_everything_goes_on_when_the_broker_was_killed_and_is_back(namespace: str) -> None:
    with start_broker() as cluster, ExitStack() as stack:
        kit = Kit(cluster.address, namespace, stack)
        orders = kit.topic("orders")
        member = kit.member(orders)
        member.until_owns({0})
        producer = kit.log.producer()
        producer.produce(orders, 0, b"key", b"before")
        assert producer.flush(PATIENCE_S) == 0
        (record,) = member.consumer.poll(10, PATIENCE_S)
        transactional = kit.transactional("owner")
        commit(transactional, {(orders, 0): record.offset + 1}, member)
        # A lone broker that dies before the commit's markers are written leaves them out for good: not our subject.
        assert member.consumer.committed([(orders, 0)], PATIENCE_S) == {(orders, 0): 1}
        cluster.kill()
        producer.produce(orders, 0, b"key", b"meanwhile")
        with pytest.raises(LogUnavailableError, match="No broker of kafka"):
            wait_until(lambda: member.consumer.poll(10, 0.5), "what nobody can write")
        cluster.restart()
        assert producer.flush(PATIENCE_S) == 0
        (record,) = member.consumer.poll(10, PATIENCE_S)
        assert record.value == b"meanwhile"

        # Kafka's client may hang in a producer from before (see `_watched`); it may not hang us, nor its successor.
        began_s = time.monotonic()
        with suppress(CommitUnknownError):
            commit(transactional, {(orders, 0): record.offset + 1}, member)
        transactional.close()
        successor = kit.transactional("owner")
        commit(successor, {(orders, 0): record.offset + 1}, member)
        assert time.monotonic() - began_s < PATIENCE_S
        assert member.consumer.committed([(orders, 0)], PATIENCE_S) == {(orders, 0): 2}
        producer.close()


@pytest.mark.timeout(240)
def test_topics_are_described_when_the_controller_that_the_client_knows_has_died(
    namespace: str,
) -> None:
    """With three brokers the others serve on, and tell of another controller."""
    with start_cluster(3) as cluster:
        log = open_kafka(cluster.address)
        admin = log.admin()
        orders = f"{namespace}.orders"
        admin.create_topics([TopicSpec(orders, 1, replication=3)])
        for _ in range(2):
            controller_id = admin._metadata(PATIENCE_S).controller_id
            (broker,) = [one for one in cluster.brokers if one.node_id == controller_id]
            broker.kill()
            assert set(admin.describe_topics([orders])) == {orders}
            cluster.restart()


def test_static_member_goes_on_when_its_coordinator_was_away_for_longer_than_its_session(
    namespace: str,
) -> None:
    """The client then says that somebody else has its instance ID, which is not so."""
    with start_broker() as cluster, ExitStack() as stack:
        kit = Kit(cluster.address, namespace, stack)
        orders = kit.topic("orders")
        member = kit.member(orders, instance_id="worker-0")
        member.until_owns({0})
        cluster.stop()
        time.sleep(6.5)  # nobody polls: the worker is busy with a commit that has no answer
        cluster.restart()
        time.sleep(2.0)
        producer = kit.log.producer()
        producer.produce(orders, 0, b"key", b"after")
        deadline_s = time.monotonic() + PATIENCE_S
        while not member.records:
            assert time.monotonic() < deadline_s, "it does not read again"
            with suppress(LogUnavailableError):
                member.records += member.consumer.poll(10, 0.1)
            producer.poll(0)
        assert member.owned == {0}
        producer.close()


@pytest.mark.parametrize("instance_id", ["worker-0", None])
def test_member_joins_again_when_its_client_has_left_the_group_by_itself(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, instance_id: str | None
) -> None:
    """As it sometimes does when its session ran out while there was no coordinator."""
    monkeypatch.setattr(_absence, "PATIENCE_S", 2.0)
    member = kit.member(kit.topic("orders"), instance_id=instance_id)
    member.until_owns({0})
    member.consumer._client.unsubscribe()
    member.until_owns(set())
    member.until_owns({0})


def commit(
    producer: KafkaTransactionalProducer, next_offsets: dict[tuple[str, int], int], member: Member
) -> None:
    producer.begin()
    producer.send_offsets(next_offsets, member.consumer.member())
    producer.commit(PATIENCE_S)
