"""A store that lasts as long as its process: for tests, and for workflows that need not outlive it."""

from __future__ import annotations

import builtins
import threading

from weft.executor import WorkflowFilter, WorkflowState
from weft.stores._stored import Stored, chosen, loaded, stored


class InMemoryStore:
    """May be used from several threads and event loops at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, Stored] = {}

    async def save(self, state: WorkflowState) -> None:
        kept = stored("inmemory", state)
        with self._lock:
            self._states[state.workflow_id] = kept

    async def load(self, workflow_id: str) -> WorkflowState | None:
        with self._lock:
            found = self._states.get(workflow_id)
        return loaded("inmemory", "load", workflow_id, found.data) if found else None

    async def list(self, filter: WorkflowFilter | None = None) -> builtins.list[WorkflowState]:
        with self._lock:
            found = [*self._states.values()]
        return [
            loaded("inmemory", "list", one.place, one.data)
            for one in chosen(found, filter or WorkflowFilter())
        ]

    async def delete(self, workflow_id: str) -> None:
        with self._lock:
            self._states.pop(workflow_id, None)
