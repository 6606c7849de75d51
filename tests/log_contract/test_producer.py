"""The plain producer: callbacks, refusals, threads."""

from __future__ import annotations

import threading
import time

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit, until
from weft.errors import LogError, RecordTooLargeError, TopicError

Delivery = tuple[LogError | None, int, int]


def test_callbacks_run_in_poll_when_records_are_durable(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    producer = kit.producer()
    told: list[Delivery] = []
    threads: set[int] = set()

    def delivered(error: LogError | None, partition: int, offset: int) -> None:
        threads.add(threading.get_ident())
        told.append((error, partition, offset))

    for number in range(6):
        producer.produce(topic, number % 2, b"key", b"%d" % number, (), delivered)
    served = 0
    deadline_s = time.monotonic() + PATIENCE_S
    while served < 6 and time.monotonic() < deadline_s:
        served += producer.poll(1.0)
    assert served == 6
    assert sorted(told, key=lambda one: one[1:]) == [
        (None, partition, offset) for partition in range(2) for offset in range(3)
    ]
    assert threads == {threading.get_ident()}
    assert len(kit.read(topic, 0, 1)) == 6
    assert producer.poll(0) == 0


def test_flush_waits_for_everything_when_records_are_queued(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.producer()
    for number in range(2_000):
        producer.produce(topic, 0, b"key", b"%d" % number)
    assert producer.flush(PATIENCE_S) == 0
    assert kit.values(topic) == [b"%d" % number for number in range(2_000)]


def test_each_threads_records_keep_their_order_when_threads_share_a_producer(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.producer()

    def write(name: bytes) -> None:
        for number in range(200):
            producer.produce(topic, 0, name, b"%d" % number)

    threads = [threading.Thread(target=write, args=(b"thread %d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(PATIENCE_S) == 0
    records = kit.read(topic)
    assert len(records) == 800
    for n in range(4):
        mine = [record.value for record in records if record.key == b"thread %d" % n]
        assert mine == [b"%d" % number for number in range(200)]


def test_producer_refuses_at_once_when_a_record_is_too_large(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.producer()
    with pytest.raises(RecordTooLargeError, match=r"orders"):
        producer.produce(topic, 0, b"key", bytes(2_000_000))
    producer.produce(topic, 0, b"key", bytes(900_000))
    assert producer.flush(PATIENCE_S) == 0
    assert [len(value or b"") for value in kit.values(topic)] == [900_000]


def test_size_limit_is_the_topics_own_when_it_sets_one(kit: Kit) -> None:
    topic = kit.topic("orders", config={"max.message.bytes": "10000"})
    producer = kit.producer()
    transactional = kit.transactional()
    with pytest.raises(RecordTooLargeError, match=r"orders"):
        producer.produce(topic, 0, b"key", bytes(20_000))
    transactional.begin()
    with pytest.raises(RecordTooLargeError, match=r"orders"):
        transactional.append(topic, 0, b"key", bytes(20_000))
    transactional.append(topic, 0, b"key", bytes(5_000))
    transactional.commit(PATIENCE_S)
    assert [len(value or b"") for value in kit.values(topic)] == [5_000]


def test_producer_says_so_when_a_topic_is_unknown(kit: Kit) -> None:
    """At once or in the callback: Kafka's client learns it from the broker."""
    producer = kit.producer()
    told: list[LogError] = []

    def delivered(error: LogError | None, _partition: int, _offset: int) -> None:
        assert error is not None
        told.append(error)

    def refused() -> bool:
        producer.poll(0.05)
        return bool(told)

    try:
        producer.produce(kit.name("missing"), 0, b"key", b"value", (), delivered)
        until(refused, "the refusal")
    except TopicError as error:
        told.append(error)
    assert isinstance(told[0], TopicError)
    assert kit.name("missing") in str(told[0])
