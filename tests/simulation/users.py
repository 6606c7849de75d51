"""A user: the production client, and the patience to ask again with the same IDs until there is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

from tests.simulation.facts import Facts
from weft.client import Client, Handle
from weft.errors import (
    AlreadyStartedError,
    DeadlineError,
    LogError,
    RefusedError,
    UnknownWorkflowError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowFailedError,
)
from weft.workflow import Workflow

T = TypeVar("T")

_PATIENCE_S = 5.0
_REST_S = 0.2


class User:
    """Every method returns what the engine confirmed, however long that takes."""

    def __init__(self, client: Client, facts: Facts, random: Random) -> None:
        self.client = client
        self.facts = facts
        self.random = random

    async def pause(self, seconds_max: float) -> None:
        await asyncio.sleep(self.random.random() * seconds_max)

    async def start(
        self, workflow: Workflow[Any, Any] | str, value: object, id: str, **options: Any
    ) -> Handle[Any]:
        request_id = f"{id}-{self.random.getrandbits(40):x}"
        handle = await self._until_told(
            lambda: self.client.start(
                workflow, value, id=id, request_id=request_id, wait_s=_PATIENCE_S, **options
            )
        )
        self.facts.started.append((id, handle.run_id))
        return handle

    def anybody(self, handle: Handle[Any]) -> Handle[Any]:
        """The same handle, or what somebody has who knows the workflow's ID alone."""
        return handle if self.random.random() < 0.5 else self.client.handle(handle.id)

    async def signal(self, handle: Handle[Any], name: str, value: object, signal_id: str) -> bool:
        """Whether the run took it; False when it had ended."""
        try:
            await self._until_told(
                lambda: handle.signal(name, value, id=signal_id, timeout_s=_PATIENCE_S)
            )
        except RefusedError:
            return False
        self.facts.signalled.append((handle.id, signal_id))
        return True

    async def update(self, handle: Handle[Any], name: str, value: object, update_id: str) -> object:
        """What the code answered; None when it did not let the update pass, or could not do it."""
        try:
            if self.random.random() < 0.3:
                await self._until_told(
                    lambda: handle.update(
                        name, value, id=update_id, wait="accepted", timeout=_PATIENCE_S
                    )
                )
                await self.pause(2.0)
            answer = await self._until_told(
                lambda: handle.update(name, value, id=update_id, timeout=_PATIENCE_S)
            )
        except UpdateRejectedError:
            self.facts.rejected.append((handle.id, update_id))
            return None
        except UpdateFailedError as error:
            self.facts.updated.append((handle.id, update_id, error.type))
            return None
        self.facts.updated.append((handle.id, update_id, answer))
        return answer

    async def end(self, handle: Handle[Any]) -> str:
        """Wait for the end of the run; returns its status."""
        try:
            result = await self._until_told(lambda: handle.result(timeout=_PATIENCE_S))
        except WorkflowFailedError as error:
            self.facts.ended.append((handle.id, handle.run_id, error.status))
            return str(error.status)
        self.facts.results.append((handle.id, handle.run_id, result))
        return "completed"

    async def ask(self, what: Callable[[], Awaitable[T]]) -> T | None:
        """A cancellation, a query or a purge; None when it was refused or there is nothing to do it to."""
        try:
            return await self._until_told(what)
        except (RefusedError, UnknownWorkflowError):
            return None

    def expect(self, id: str, status: str, check: Callable[[Any], bool] = lambda _: True) -> None:
        self.facts.expected[id] = (status, check)

    async def _until_told(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except (AlreadyStartedError, RefusedError, UnknownWorkflowError, WorkflowFailedError):
                raise
            except (DeadlineError, LogError):
                await self.pause(_REST_S)
