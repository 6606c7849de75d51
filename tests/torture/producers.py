"""Kafka producers that know nothing of Weft: two of librdkafka with a partitioner each, and kafka-python's."""

from __future__ import annotations

import asyncio
import logging
import threading

from confluent_kafka import KafkaError, Message, Producer
from kafka import KafkaProducer
from kafka.errors import KafkaError as PythonKafkaError

logger = logging.getLogger("torture.producers")

LIKE_JAVA, LIKE_LIBRDKAFKA, KAFKA_PYTHON = "murmur2", "crc32", "kafka-python"
CHANNELS = (LIKE_JAVA, LIKE_LIBRDKAFKA, KAFKA_PYTHON)
_POLL_S = 0.05
_SEND_TIMEOUT_S = 60.0
_AGAIN_S = 0.5


class PlainProducers:
    """Writes records to one topic. For one event loop."""

    def __init__(self, address: str, topic: str) -> None:
        self._topic = topic
        # murmur2_random is what Java's client does; librdkafka's own default puts most keys on a wrong partition.
        self._confluent = {
            LIKE_JAVA: Producer(
                _settings(address) | {"partitioner": "murmur2_random"}, logger=logger
            ),
            LIKE_LIBRDKAFKA: Producer(_settings(address), logger=logger),
        }
        self._python = KafkaProducer(bootstrap_servers=address.split(","), acks="all")
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.retries = 0

    async def send(self, channel: str, key: str, value: bytes) -> None:
        """Return when the record is durable; what was refused is written again, so it may be there twice."""
        while True:
            try:
                if channel == KAFKA_PYTHON:
                    await asyncio.to_thread(self._send_by_python, key, value)
                else:
                    await self._send(self._confluent[channel], key, value)
                return
            except (RefusedRecordError, PythonKafkaError, BufferError):
                self.retries += 1
                await asyncio.sleep(_AGAIN_S)

    def _send_by_python(self, key: str, value: bytes) -> None:
        self._python.send(self._topic, key=key.encode(), value=value).get(_SEND_TIMEOUT_S)

    async def _send(self, producer: Producer, key: str, value: bytes) -> None:
        done: asyncio.Future[None] = self._loop.create_future()

        def settle(error: KafkaError | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(RefusedRecordError(str(error)))

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            self._loop.call_soon_threadsafe(settle, error)

        producer.produce(self._topic, key=key, value=value, on_delivery=on_delivery)
        await done

    def _serve(self) -> None:
        while not self._closing.is_set():
            for producer in self._confluent.values():
                producer.poll(_POLL_S)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._python.close(timeout=5)


class RefusedRecordError(Exception):
    """A record was not written."""


def _settings(address: str) -> dict[str, str | int | bool]:
    return {"bootstrap.servers": address, "enable.idempotence": True, "message.timeout.ms": 120_000}
