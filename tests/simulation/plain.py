"""A producer that is not Weft's: it hashes keys in its own way, writes twice when in doubt, and waits for nobody."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec

from tests.simulation.log import SimulatedLog
from weft.errors import LogError
from weft.log import Producer
from weft.topics import Namespace, partition_of

_TWICE = 0.3
_WRONG = 0.3


class PlainProducer:
    """Each method returns when the record is durable at least once."""

    def __init__(
        self, log: SimulatedLog, namespace: Namespace, partition_count: int, random: Random
    ) -> None:
        self._producer: Producer = log.foreign_producer()
        self._topic = namespace.signals
        self._partition_count = partition_count
        self._random = random

    async def signal(self, workflow_id: str, name: str, payload: object, signal_id: str) -> None:
        value = msgspec.json.encode({"signal": name, "payload": payload, "id": signal_id})
        await self.write(workflow_id.encode(), value)

    async def write(self, key: bytes | None, value: bytes | None, *, wrong: bool = True) -> None:
        """With `wrong`, now and then on another partition than Weft would choose."""
        partition = partition_of(key or b"", self._partition_count)
        if wrong and self._random.random() < _WRONG:
            partition = self._random.randrange(self._partition_count)
        await self._write_once(partition, key, value)
        if self._random.random() < _TWICE:
            await self._write_once(partition, key, value)

    async def _write_once(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        while True:
            delivered: list[LogError | None] = []
            try:
                self._producer.produce(
                    self._topic,
                    partition,
                    key,
                    value,
                    on_delivery=lambda error, *_, told=delivered: told.append(error),
                )
                while not delivered:
                    self._producer.poll(0)
                    await asyncio.sleep(0.05)
            except LogError as error:
                delivered = [error]
            if delivered == [None]:
                return
            await asyncio.sleep(0.2)
