"""Stores that break, and the end of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from weft.executor import WorkflowFilter, WorkflowState
from weft.stores import InMemoryStore


class BrokenStore(InMemoryStore):
    """Fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.saves = 0

    async def save(self, state: WorkflowState) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("no disk")
        self.saves += 1
        await super().save(state)

    async def load(self, workflow_id: str) -> WorkflowState | None:
        if self.failures > 0:
            raise OSError("no disk")
        return await super().load(workflow_id)

    async def list(self, filter: WorkflowFilter | None = None) -> Any:
        if self.failures > 0:
            raise OSError("no disk")
        return await super().list(filter)


class MortalStore:
    """The process dies at its n-th save, just before or just after that is written: the save never returns."""

    def __init__(self, kept: InMemoryStore, dies_at: int, *, written: bool) -> None:
        self.kept = kept
        self.dies_at = dies_at
        self.written = written
        self.saves = 0
        self.died = asyncio.Event()

    async def save(self, state: WorkflowState) -> None:
        self.saves += 1
        if self.saves >= self.dies_at:
            if self.written and self.saves == self.dies_at:
                await self.kept.save(state)
            self.died.set()
            await asyncio.Event().wait()
        await self.kept.save(state)

    async def load(self, workflow_id: str) -> WorkflowState | None:
        return await self.kept.load(workflow_id)

    async def list(self, filter: WorkflowFilter | None = None) -> Sequence[WorkflowState]:
        return await self.kept.list(filter)

    async def delete(self, workflow_id: str) -> None:
        await self.kept.delete(workflow_id)
