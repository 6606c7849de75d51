"""What a file adds to the contract: it outlives its process, and several share it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from weft.executor import StoreError
from weft.stores import SqliteStore
from weft.testing import state_of

_CHILD = """
import asyncio, os, sys
from weft.stores import SqliteStore
from weft.testing import state_of

async def main():
    store = SqliteStore(sys.argv[1])
    for number in range(5):
        await store.save(state_of(f"wf-{number}", number))
    print("saved", flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_saved_states_outlive_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "states.db"
    command = [sys.executable, "-c", _CHILD, str(path)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, child.stdout) == (-9, "saved\n"), child.stderr

    async def found() -> list[str]:
        async with SqliteStore(path) as store:
            return [state.workflow_id for state in await store.list()]

    assert asyncio.run(found()) == [f"wf-{number}" for number in range(5)]


def test_two_stores_share_a_file(tmp_path: Path) -> None:
    async def run() -> None:
        async with SqliteStore(tmp_path / "s.db") as one, SqliteStore(tmp_path / "s.db") as other:
            await asyncio.gather(
                *(store.save(state_of(f"wf-{n}", n)) for n in range(10) for store in (one, other))
            )
            assert len(await one.list()) == len(await other.list()) == 10

    asyncio.run(run())


def test_closed_store_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(tmp_path / "s.db")
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match=r"^sqlite/save: the store is closed$"):
            await store.save(state_of("wf-1"))

    asyncio.run(run())


def test_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^sqlite/open: .*unable to open"):
        SqliteStore(tmp_path / "no" / "such" / "folder" / "s.db")
    (tmp_path / "text").write_text("no database at all, but a text of some length " * 20)
    with pytest.raises(StoreError, match=r"^sqlite/open: .*not a database"):
        SqliteStore(tmp_path / "text")
