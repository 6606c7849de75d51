"""Workflows that are open from the first moment to the last, and get signals all the time."""

from __future__ import annotations

import asyncio

from tests.torture.hand import Hand, patiently
from tests.torture.ledger import Ending

_PAUSE_S = (0.1, 1.2)


class Account:
    """Sums up its entries; `close` asks for the sum."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self.workflow_id = hand.new_id("account")
        self._count = 0
        self._total = 0

    async def open(self) -> None:
        await self._hand.start("account", {"nonce": self.workflow_id})

    async def serve(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            amount = self._hand.draw.randrange(1000)
            self._count += 1
            self._total += amount
            await self._hand.signal(self.workflow_id, "entry", amount)
            await asyncio.sleep(self._hand.draw.uniform(*_PAUSE_S))

    async def close(self) -> None:
        """Ask for the sum, and hear it."""
        hand, name = self._hand, self.workflow_id
        result = {"nonce": name, "count": self._count, "total": self._total}
        hand.ledger.expect(name, Ending("completed", result))
        signal_id = f"{name}/close"
        hand.ledger.signal_ids.setdefault(name, set()).add(signal_id)
        handle = hand.client.handle(name)
        await patiently(lambda: handle.signal("close", self._count, id=signal_id))
        await hand.hear_end(name)
