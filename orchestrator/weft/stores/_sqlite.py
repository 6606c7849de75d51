"""A store in one file: what it has saved outlives a crash of the process and of the machine."""

from __future__ import annotations

import asyncio
import builtins
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar

from weft.executor import StoreError, WorkflowFilter, WorkflowState
from weft.stores._stored import loaded, stored

T = TypeVar("T")

_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS workflows (
  id TEXT PRIMARY KEY, place TEXT NOT NULL, status TEXT NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS workflows_in_order ON workflows (place, status);
"""
_SAVE = """
INSERT INTO workflows (id, place, status, data) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET place = excluded.place, status = excluded.status, data = excluded.data
"""
_LIST = """
SELECT place, data FROM workflows WHERE place > ? AND (? = '' OR status = ?) ORDER BY place LIMIT ?
"""


class SqliteStore:
    """Keeps states in the file at `path`, which is made when it is not there.

    Several tasks, threads and processes may use one file at once. Its calls run in threads, so that no event loop waits
    for the disk. Raises StoreError (`sqlite/open: ...`) for a file that cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._is_closed = False
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            # Power may fail at any time: what was saved is on the disk, not in its queue.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"sqlite/open: {self.path}: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def save(self, state: WorkflowState) -> None:
        kept = stored("sqlite", state)
        await self._call("save", lambda: self._execute(_SAVE, (state.workflow_id, *kept)))

    async def load(self, workflow_id: str) -> WorkflowState | None:
        query = "SELECT data FROM workflows WHERE id = ?"
        found = await self._call("load", lambda: self._execute(query, (workflow_id,)))
        return loaded("sqlite", "load", workflow_id, found[0][0]) if found else None

    async def list(self, filter: WorkflowFilter | None = None) -> builtins.list[WorkflowState]:
        wanted = filter or WorkflowFilter()
        values = (wanted.cursor or "", wanted.status, wanted.status, max(wanted.limit, 0) or -1)
        found = await self._call("list", lambda: self._execute(_LIST, values))
        return [loaded("sqlite", "list", place, data) for place, data in found]

    async def delete(self, workflow_id: str) -> None:
        query = "DELETE FROM workflows WHERE id = ?"
        await self._call("delete", lambda: self._execute(query, (workflow_id,)))

    async def close(self) -> None:
        """Nothing can be done with it after that. It may be closed twice."""
        with self._lock:
            self._is_closed = True
            self._connection.close()

    async def _call(self, operation: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (sqlite3.Error, OverflowError, ValueError) as error:
            why = "the store is closed" if self._is_closed else error
            raise StoreError(f"sqlite/{operation}: {why}") from error

    def _execute(self, statement: str, values: tuple[Any, ...]) -> builtins.list[Any]:
        # One statement is one transaction; with a connection of its own per thread it would be no faster.
        with self._lock, closing(self._connection.execute(statement, values)) as cursor:
            return cursor.fetchall()
