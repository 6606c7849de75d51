"""Looking at the state topic on behalf of requests whose owner is silent.

One read of a partition serves everybody who waits for it, so a thousand requests without a worker cost what one costs.
"""

from __future__ import annotations

import asyncio
import logging

from weft.client._end_request import EndRequest
from weft.client._state import read_heads
from weft.errors import WeftError
from weft.log import Log
from weft.records import Head

logger = logging.getLogger("weft.client")

READ_TIMEOUT_S = 10.0


class Lookup:
    """Implements `StateWatch`. For the loop's thread."""

    def __init__(self, log: Log, state_topic: str) -> None:
        self._log = log
        self._topic = state_topic
        self._wanted: dict[int, set[EndRequest]] = {}
        self._reads: dict[int, asyncio.Task[None]] = {}

    def look(self, request: EndRequest) -> None:
        """Tell the request what the state says, as soon as that is read."""
        self._wanted.setdefault(request.partition, set()).add(request)
        if request.partition not in self._reads:
            self._reads[request.partition] = asyncio.create_task(self._read(request.partition))

    async def close(self) -> None:
        """Wait for the reads that are under way."""
        self._wanted.clear()
        await asyncio.gather(*self._reads.values(), return_exceptions=True)

    async def _read(self, partition: int) -> None:
        try:
            while requests := self._wanted.pop(partition, None):
                await self._serve(partition, requests)
        except WeftError as error:
            # The request asks again, and looks again; what keeps it from an answer comes out at its deadline.
            logger.warning(
                "partition %s of %s could not be read: %s", partition, self._topic, error
            )
        finally:
            del self._reads[partition]

    async def _serve(self, partition: int, requests: set[EndRequest]) -> None:
        known = {request: request.run_id for request in requests}
        heads = await self._heads(partition, {request.address.key for request in requests})
        absent = {
            request.address.key
            for request in requests
            if not (request.is_pending or request.is_about(heads.get(request.address.key)))
        }
        # A run whose start is committed may lie behind a transaction that this partition's leader has not decided yet.
        undecided = await self._heads(partition, absent, committed=False) if absent else {}
        for request, run_id in known.items():
            key = request.address.key
            head = heads.get(key)
            request.take_head(
                head, run_id, is_decided=key not in absent or undecided.get(key) == head
            )

    async def _heads(
        self, partition: int, keys: set[bytes], *, committed: bool = True
    ) -> dict[bytes, Head]:
        return await asyncio.to_thread(
            read_heads,
            self._log,
            self._topic,
            partition,
            keys,
            READ_TIMEOUT_S,
            committed=committed,
        )
