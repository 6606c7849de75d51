"""The plain, idempotent producer."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from weft.errors import LogError, LogUnavailableError, UsageError
from weft.log._api import DeliveryCallback, Headers
from weft.log.kafka._errors import kafka_error, log_error
from weft.log.kafka._limits import TopicLimits
from weft.log.kafka._settings import Settings, logger

QUEUE_FULL_PATIENCE_S = 2.0
_QUEUE_FULL_POLL_S = 0.05
_CLOSE_TIMEOUT_S = 10.0


class KafkaProducer:
    """Implements `weft.log.Producer`."""

    def __init__(self, settings: Settings, name: str, limits: TopicLimits) -> None:
        self._name = name
        self._client = Producer(settings, logger=logger)
        self._closed = False
        self.limits = limits
        self.served_count = 0

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        """Raises `TopicError` at once too: when there is no such topic or partition."""
        if self._closed:
            raise UsageError(f"A producer of {self._name} was used after it was closed.")
        self.limits.check(topic, key, value, headers)
        callback = None if on_delivery is None else _Delivery(on_delivery, self)
        try:
            enqueue(self._client, topic, partition, key, value, headers, callback)
        except BufferError:
            raise LogUnavailableError(
                f"{len(self._client)} records wait to be written to {self._name}, and the queue takes no more. The "
                "record was not queued: wait with poll() or flush() and produce it again."
            ) from None
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception), f"A record for {topic}-{partition} was refused"
            ) from exception

    def poll(self, timeout_s: float) -> int:
        # The client counts what the broker acknowledged at once as one.
        before = self.served_count
        self._client.poll(timeout_s)
        return self.served_count - before

    def flush(self, timeout_s: float) -> int:
        return self._client.flush(timeout_s)

    def close(self) -> None:
        """Write what is queued (for 10 s at most); the callbacks of what could not be written get an error."""
        if self._closed:
            return
        self._closed = True
        if self._client.flush(_CLOSE_TIMEOUT_S):
            self._client.purge()
            self._client.flush(_CLOSE_TIMEOUT_S)


class _Delivery:
    """Turns the library's callback into the contract's."""

    __slots__ = ("_on_delivery", "_producer")

    def __init__(self, on_delivery: DeliveryCallback, producer: KafkaProducer) -> None:
        self._on_delivery = on_delivery
        self._producer = producer

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self._producer.served_count += 1
        partition = message.partition()
        if error is None:
            self._on_delivery(None, partition, message.offset())  # type: ignore[arg-type]
            return
        topic = message.topic() or ""
        self._producer.limits.forget(topic)
        failure: LogError = log_error(error, f"A record for {topic}-{partition} was not written")
        self._on_delivery(failure, -1 if partition is None else partition, -1)


def enqueue(  # noqa: PLR0917 - a record's parts, on the hot path
    client: Producer,
    topic: str,
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    callback: Callable[[KafkaError | None, Message], None] | None = None,
) -> None:
    """Queue one record. Raises `BufferError` when the queue stays full for a while."""
    deadline_s = 0.0
    while True:
        try:
            if headers:
                client.produce(
                    topic, value, key, partition, on_delivery=callback, headers=list(headers)
                )
            else:
                client.produce(topic, value, key, partition, callback)
            return
        except BufferError:
            now_s = time.monotonic()
            deadline_s = deadline_s or now_s + QUEUE_FULL_PATIENCE_S
            if now_s > deadline_s:
                raise
            client.poll(_QUEUE_FULL_POLL_S)
