"""What a workload has at hand: ways to start, to signal and to wait, each of them patient."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tests.torture.events import Tail
from tests.torture.flows import Job
from tests.torture.ledger import Ending, Ledger, Update
from tests.torture.producers import CHANNELS, LIKE_JAVA, LIKE_LIBRDKAFKA, PlainProducers
from weft.client import Client
from weft.errors import (
    DeadlineError,
    LogError,
    RefusedError,
    UnknownWorkflowError,
    UpdateRejectedError,
    WorkflowFailedError,
)

T = TypeVar("T")

_AGAIN_S = 0.5
_DUPLICATES_SHARE = 0.3
_CLIENT = "client"
_ACCEPTED_SHARE = 0.3
_UPDATE_WAIT_S = 10.0
REJECTED = "rejected"
"""What is noted as the reply to an update that the code did not let pass."""


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again until there is an answer: every request carries an ID, so asking twice changes nothing."""
    while True:
        try:
            return await ask()
        except (DeadlineError, LogError):
            await asyncio.sleep(_AGAIN_S)


async def done_patiently(ask: Callable[[], Awaitable[None]]) -> None:
    """As `patiently`, for what is refused the second time because the first time did it."""
    asked = 0

    async def ask_once() -> None:
        nonlocal asked
        asked += 1
        try:
            await ask()
        except (RefusedError, UnknownWorkflowError):
            if asked == 1:
                raise

    await patiently(ask_once)


@dataclass
class Hand:
    """One lane of work, with chance of its own."""

    draw: random.Random
    client: Client
    producers: PlainProducers
    tail: Tail
    ledger: Ledger
    news: str
    """The topic that workflows publish to."""

    def new_id(self, kind: str) -> str:
        return f"{kind}-{self.draw.getrandbits(48):012x}"

    async def run(self, kind: str, job: Job, ending: Ending, *, workflow_id: str = "") -> None:
        """One run from its start to its end, started in one of the ways that there are."""
        workflow_id = workflow_id or job["nonce"]
        how = self.draw.choice((self._execute, self._start, self._start_by_record))
        self.ledger.expect(workflow_id, ending)
        await how(kind, job, workflow_id)

    async def start(self, kind: str, job: Job, *, workflow_id: str = "", **options: Any) -> None:
        """Start a run and return when that is confirmed. `options` are those of `Client.start`."""
        await patiently(
            lambda: self.client.start(
                kind, job, id=workflow_id or job["nonce"], request_id=job["nonce"], **options
            )
        )

    async def _execute(self, kind: str, job: Job, workflow_id: str) -> None:
        await self._hear(
            workflow_id,
            lambda: self.client.execute(kind, job, id=workflow_id, request_id=job["nonce"]),
        )

    async def _start(self, kind: str, job: Job, workflow_id: str) -> None:
        await self.start(kind, job, workflow_id=workflow_id)
        await self.hear_end(workflow_id)

    async def _start_by_record(self, kind: str, job: Job, workflow_id: str) -> None:
        await self.start_by_record(kind, job, workflow_id)
        await self.hear_end(workflow_id)

    async def start_by_record(self, kind: str, job: Job, workflow_id: str) -> None:
        """As somebody who has no Weft; often on a partition that is not the workflow's."""
        record = {"kind": "start", "workflow": kind, "request_id": job["nonce"], "input": job}
        channel = self.draw.choice((LIKE_JAVA, LIKE_LIBRDKAFKA))
        await self.producers.send(channel, workflow_id, json.dumps(record).encode())
        await self.tail.started(workflow_id)

    async def hear_end(self, workflow_id: str) -> None:
        await self._hear(workflow_id, lambda: self.client.handle(workflow_id).result())

    async def _hear(self, workflow_id: str, ask: Callable[[], Awaitable[Any]]) -> None:
        """Note what the client is told."""
        try:
            result = await patiently(ask)
        except WorkflowFailedError as error:
            ending = Ending(error.status, None, error.message)
        else:
            ending = Ending("completed", result)
        self.ledger.tell(workflow_id, ending)

    async def signal(self, workflow_id: str, name: str, payload: int) -> None:
        """Send one signal, perhaps several times and in several ways, always under one ID."""
        signal_id = f"{workflow_id}/{name}/{payload}/{self.draw.getrandbits(32):08x}"
        copies = self.draw.randint(2, 3) if self.draw.random() < _DUPLICATES_SHARE else 1
        self.ledger.signal_ids.setdefault(workflow_id, set()).add(signal_id)
        self.ledger.signals_sent += 1
        self.ledger.duplicates_sent += copies - 1
        for _ in range(copies):
            await self._signal_once(workflow_id, name, payload, signal_id)

    async def _signal_once(self, workflow_id: str, name: str, payload: int, signal_id: str) -> None:
        channel = self.draw.choice((_CLIENT, *CHANNELS))
        if channel == _CLIENT:
            handle = self.client.handle(workflow_id)
            # Refused is a copy that came when the run had all it waited for; the checks know whether it had.
            with contextlib.suppress(RefusedError, UnknownWorkflowError):
                await patiently(lambda: handle.signal(name, payload, id=signal_id))
            return
        record = {"signal": name, "payload": payload, "id": signal_id}
        await self.producers.send(channel, workflow_id, json.dumps(record).encode())

    async def update(self, workflow_id: str, number: int) -> None:
        """Send one update, perhaps several times and in several ways, under one ID; note what each sender is told."""
        update_id = f"{workflow_id}/{number}/{self.draw.getrandbits(32):08x}"
        update = Update(number)
        self.ledger.updates.setdefault(workflow_id, {})[update_id] = update
        copies = self.draw.randint(2, 3) if self.draw.random() < _DUPLICATES_SHARE else 1
        for _ in range(copies - 1):
            # Nobody is told what comes of these.
            record = {"kind": "update", "update": "enter", "id": update_id, "payload": number}
            channel = self.draw.choice(CHANNELS)
            await self.producers.send(channel, workflow_id, json.dumps(record).encode())
        if update.passes and self.draw.random() < _ACCEPTED_SHARE:
            await self._update_once(workflow_id, number, update_id, wait="accepted")
        asked = (self._update_once(workflow_id, number, update_id) for _ in range(copies))
        update.replies += await asyncio.gather(*asked)

    async def _update_once(
        self,
        workflow_id: str,
        number: int,
        update_id: str,
        wait: Literal["accepted", "completed"] = "completed",
    ) -> Any:
        handle = self.client.handle(workflow_id)
        try:
            return await patiently(
                lambda: handle.update(
                    "enter", number, id=update_id, wait=wait, timeout=_UPDATE_WAIT_S
                )
            )
        except UpdateRejectedError:
            return REJECTED
