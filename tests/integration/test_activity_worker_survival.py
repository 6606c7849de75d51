"""The activity worker is killed, or its log is away for a while: nothing is lost, and only what must be runs again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.activity_kit import Place, open_place, until
from weft import activity
from weft.log.embedded import open_embedded


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with open_place(request, tmp_path) as found:
        yield found


@contextlib.contextmanager
def child(
    place: Place, notes: Path, hold: Path, *, concurrency: int = 100, long_s: float = 3600
) -> Iterator[subprocess.Popen[str]]:
    """A worker process that is ready and leases what takes longer than `long_s`; killed afterwards if still there."""
    command = [sys.executable, "-m", "tests.integration.activity_child", place.backend]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [
            *command,
            place.address,
            place.namespace.name,
            str(notes),
            str(hold),
            str(concurrency),
            str(long_s),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_killed_worker_loses_nothing_and_what_has_a_result_does_not_run_again(
    place: Place, tmp_path: Path
) -> None:
    """As long as nothing is leased, everything from the first open task on is read again."""
    notes, hold = tmp_path / "notes", tmp_path / "hold"
    hold.touch()
    before = [f"before-{index}" for index in range(50)]
    after = [f"after-{index}" for index in range(50)]
    names = [*before, "slow", *after]
    place.add([(name, "note", name) for name in names])
    slow_offset = place.task_offsets()[50]

    async def go() -> None:
        with child(place, notes, hold) as process:
            await until(lambda: len(place.completed()) == 100, "the quick ones")
            await until(lambda: place.committed() == slow_offset, "a commit up to the slow one")
            process.kill()
            process.wait()
        assert set(place.completed()) == {*before, *after}
        hold.unlink()
        with child(place, notes, hold):
            await until(lambda: set(place.completed()) == set(names), "all results")

    asyncio.run(go())
    runs = Counter(notes.read_text().split())
    assert runs == Counter([*names, "slow"])


@pytest.mark.requirement("R1-28")
def test_slow_activity_holds_up_neither_its_partition_nor_its_offsets(
    place: Place, tmp_path: Path
) -> None:
    """Two at once, the slow one first. Killed, the worker has nothing to run again: the slow one is its owner's."""
    notes, hold = tmp_path / "notes", tmp_path / "hold"
    hold.touch()
    quick = [f"quick-{index}" for index in range(200)]
    place.add([(name, "note", name) for name in ["slow", *quick]])
    end = place.task_offsets()[-1] + 1

    async def go() -> None:
        with child(place, notes, hold, concurrency=2, long_s=1.0) as process:
            await until(lambda: set(place.completed()) == set(quick), "the quick ones")
            await until(lambda: place.committed() == end, "a commit past everything")
            process.kill()
            process.wait()
        hold.unlink()
        place.add([("later", "note", "later")])
        with child(place, notes, hold):
            await until(lambda: "later" in place.completed(), "what came later")

    asyncio.run(go())
    assert Counter(notes.read_text().split()) == Counter(["slow", *quick, "later"])


def test_results_are_written_when_the_log_is_back(tmp_path: Path) -> None:
    """Another process holds the file locked for longer than the worker waits for it."""
    place = Place("embedded", str(tmp_path / "log.weft"), "test")
    place.log.close()
    place.log = open_embedded(place.address, busy_timeout_s=0.1)
    place.add([(f"wf-{index}", "wait", index) for index in range(5)])

    async def go() -> None:
        let_go = asyncio.Event()

        @activity.define
        async def wait(number: int) -> int:
            await let_go.wait()
            return number

        async with place.worker(wait, session_timeout_s=0.6) as worker:
            await until(lambda: worker.running_count == 5, "the attempts")
            other = sqlite3.connect(place.address, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            let_go.set()
            await until(lambda: not worker.ready, "the worker to notice")
            assert place.results() == []
            other.execute("ROLLBACK")
            other.close()
            await until(lambda: set(place.completed()) == {f"wf-{n}" for n in range(5)}, "results")
            await until(lambda: worker.ready, "the worker to serve again")
            assert worker.error is None

    asyncio.run(go())
    assert place.committed() == place.task_offsets()[-1] + 1
    place.close()
