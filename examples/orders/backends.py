"""The two logs that the demonstration runs on, and how somebody who has no Weft approves an order on each.

On Kafka that is `confluent_kafka.Producer` alone; on the embedded log, a record appended to the same topic.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer
from deploy.kafka.broker import found_or_started

from weft.errors import LogError
from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create, partition_of

PARTITIONS = 4
_FLUSH_TIMEOUT_S = 10.0


class ApprovalLostError(Exception):
    """A record with an approval could not be written."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A log with topics on it, ready for workers. `kills` says who dies when: (share of orders done, worker number)."""

    name: str
    log: Log
    namespace: Namespace
    worker_options: list[str]
    worker_count: int
    kills: list[tuple[float, int]]
    approve: Callable[[str, bytes], None]
    """Writes one record (workflow ID, value) to the signals topic."""


@contextmanager
def embedded(folder: Path) -> Iterator[Backend]:
    """One file, which the worker process and this one share."""
    file = folder / "orders.weft"
    log = open_log(embedded=file)
    namespace = Namespace("orders")
    _create_topics(log, namespace)
    producer = log.producer()

    def approve(order_id: str, value: bytes) -> None:
        key = order_id.encode()
        partition = partition_of(key, PARTITIONS)
        producer.produce(namespace.signals, partition, key, value, on_delivery=_raise_log_error)
        producer.poll(0)

    options = ["--file", str(file), "--namespace", namespace.name]
    try:
        yield Backend("embedded", log, namespace, options, 1, [(1 / 2, 0)], approve)
        producer.flush(_FLUSH_TIMEOUT_S)
    finally:
        producer.close()
        log.close()


@contextmanager
def kafka(say: Callable[[str], None]) -> Iterator[Backend]:
    """The broker that WEFT_KAFKA names, or that `make kafka-up` has started, or one for this run alone."""
    with found_or_started(say) as address:
        log = open_log(kafka=address)
        namespace = Namespace(f"orders-{secrets.token_hex(4)}")
        _create_topics(log, namespace)
        options = ["--kafka", address, "--namespace", namespace.name]
        try:
            with plain_kafka_approver(address, namespace.signals) as approve:
                kills = [(1 / 3, 0), (2 / 3, 1)]
                yield Backend("kafka", log, namespace, options, 2, kills, approve)
        finally:
            _delete_topics(log, namespace)
            log.close()


@contextmanager
def plain_kafka_approver(
    address: str, signals_topic: str
) -> Iterator[Callable[[str, bytes], None]]:
    """How to approve with the plain Kafka client.

    Two producers take turns. One finds a key's partition as Java's client and Weft do, which librdkafka calls
    `murmur2_random`. The other is left at librdkafka's own default and writes most keys to a partition that is not
    theirs: the workers forward those, so a producer need not know.
    """
    with (
        Producer({"bootstrap.servers": address, "partitioner": "murmur2_random"}) as like_java,
        Producer({"bootstrap.servers": address}) as like_librdkafka,
    ):
        producers = cycle([like_java, like_librdkafka])

        def approve(order_id: str, value: bytes) -> None:
            producer = next(producers)
            producer.produce(
                signals_topic, key=order_id, value=value, on_delivery=_raise_kafka_error
            )
            producer.poll(0)

        yield approve
        if like_java.flush(_FLUSH_TIMEOUT_S) or like_librdkafka.flush(_FLUSH_TIMEOUT_S):
            raise ApprovalLostError(f"the broker at {address} did not take all approvals in time")


def _raise_kafka_error(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise ApprovalLostError(f"an approval could not be written: {error}")


def _raise_log_error(error: LogError | None, _partition: int, _offset: int) -> None:
    if error is not None:
        raise ApprovalLostError(f"an approval could not be written: {error}")


def _create_topics(log: Log, namespace: Namespace) -> None:
    admin = log.admin()
    try:
        create(admin, catalogue(namespace, partitions=PARTITIONS))
    finally:
        admin.close()


def _delete_topics(log: Log, namespace: Namespace) -> None:
    admin = log.admin()
    try:
        admin.delete_topics([spec.name for spec in catalogue(namespace, partitions=PARTITIONS)])
    finally:
        admin.close()
