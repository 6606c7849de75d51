"""A worker on an embedded log whose disk is full, read-only or damaged; and what the command line says then."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_kit import prepare, weft
from tests.support.disk import SmallDisk, public_folder, small_disk, unprivileged
from tests.support.serving import make_topics, serving, until
from weft import activity, workflow
from weft.client import Client
from weft.errors import CorruptRecordError, DeadlineError, LogError
from weft.log.embedded import _opening, open_embedded
from weft.records import ActivityCompleted
from weft.worker import Worker, _outage, _worker

RUNS = 20


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk() as disk:
        yield disk


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that gives up what may fail for long in less time than these tests take."""
    monkeypatch.setattr(_outage, "_RECOVERY_PAUSE_S", 0.05)
    monkeypatch.setattr(_outage, "_FULL_PAUSE_S", 0.05)


class Shop:
    """Workflows that wait for a signal, an activity that waits to be let go, another signal."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.let_go = asyncio.Event()

        @activity.define(name="pack")
        async def pack(article: str) -> str:
            self.begun[activity.info().workflow_id] += 1
            await self.let_go.wait()
            return f"{article} packed"

        @workflow.define(name="order")
        async def order(ctx: workflow.Context, article: str) -> list[str]:
            first = await ctx.receive_signal("pay", str)
            packed = await ctx.execute_activity(pack, article)
            return [first, packed, await ctx.receive_signal("send", str)]

        self.pack, self.order = pack, order


def test_worker_goes_on_by_itself_when_a_full_disk_has_room_again(disk: SmallDisk) -> None:
    """Through many times the failures after which it would give up. Every activity runs once, every result is right."""

    async def scenario() -> None:
        shop = Shop()
        log = open_embedded(disk.folder / "log.weft")
        make_topics(log, "shop")
        async with (
            serving(log, "shop", [shop.order], [shop.pack]) as (worker, _task),
            Client(log, namespace="shop") as client,
        ):
            ids = [f"order-{number}" for number in range(RUNS)]
            handles = [await client.start(shop.order, name, id=name, wait_s=30) for name in ids]
            for handle in handles:
                await handle.signal("pay", "paid")
            await until(lambda: len(shop.begun) == RUNS, "every activity to be under way")
            disk.fill()
            shop.let_go.set()
            with pytest.raises(DeadlineError, match=r"disk under embedded log\.weft is full"):
                await handles[0].signal("send", "too early", id="send-0", timeout_s=1.0)
            await asyncio.sleep(3.0)
            assert worker.healthy
            disk.free()
            for handle in handles:
                await handle.signal("send", "sent", id="send-1", timeout_s=30)
            results = [await handle.result(timeout=30) for handle in handles]
            sent = {"sent", "too early"}
            for name, result in zip(ids, results, strict=True):
                assert result[:2] == ["paid", f"{name} packed"]
                assert result[2] in (sent if name == "order-0" else {"sent"})
            for handle in handles:
                done = [e for e in await handle.history() if isinstance(e, ActivityCompleted)]
                assert len(done) == 1
            assert shop.begun == dict.fromkeys(ids, 1)
        log.close()
        open_embedded(disk.folder / "log.weft").close()

    asyncio.run(scenario())


def test_worker_ends_at_once_when_it_is_stopped_while_the_disk_is_full(disk: SmallDisk) -> None:
    async def scenario() -> None:
        shop = Shop()
        log = open_embedded(disk.folder / "log.weft")
        make_topics(log, "shop")
        async with serving(log, "shop", [shop.order], [shop.pack]) as (worker, task):
            disk.fill()
            await until(lambda: not worker.ready, "the worker to notice")
            worker.stop()
            async with asyncio.timeout(20):
                await asyncio.wait([task])
        log.close()

    asyncio.run(scenario())


def test_nothing_of_a_failed_commit_is_left_when_a_worker_is_stopped_on_a_full_disk(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still waits for an inline activity then, and the disk has room again: no half of a turn may be written."""
    monkeypatch.setattr(_outage, "_FULL_PAUSE_S", 2.0)

    async def scenario() -> None:
        let_go = threading.Event()

        @activity.define(name="linger", inline=True)
        async def linger() -> str:
            while not let_go.is_set():  # noqa: ASYNC110  # another thread sets it
                await asyncio.sleep(0.01)
            return "lingered"

        @activity.define(name="pack")
        async def pack() -> str:
            return "packed"

        @workflow.define(name="order")
        async def order(ctx: workflow.Context) -> list[str]:
            async def later() -> str:
                await ctx.sleep(1)
                return await ctx.execute_activity(pack)

            return list(await asyncio.gather(ctx.execute_activity(linger), later()))

        log = open_embedded(disk.folder / "log.weft")
        make_topics(log, "shop")
        async with Client(log, namespace="shop") as client:
            served = serving(log, "shop", [order], [linger, pack], session_timeout_s=60.0)
            async with served as (worker, task):
                handle = await client.start(order, id="order-1", wait_s=30)
                disk.fill()
                await until(lambda: _aborts(worker) > 0, "the timer's commit to fail")
                worker.stop()
                disk.free()
                let_go.set()
                await asyncio.wait([task])
            async with serving(log, "shop", [order], [linger, pack]):
                assert await handle.result(timeout=30) == ["lingered", "packed"]
        log.close()

    asyncio.run(scenario())


def _aborts(worker: Worker) -> float:
    samples = [
        sample
        for family in worker.metrics.transaction_aborts.collect()
        for sample in family.samples
        if sample.name == "weft_transaction_aborts_total"
    ]
    return sum(sample.value for sample in samples)


def _damaged(path: Path) -> None:
    """Change a letter in the newest state of a workflow."""
    data = path.read_bytes()
    at = data.rindex(b'"kind":"head"')
    with path.open("r+b") as file:
        file.seek(at + len(b'"kind":"'))
        file.write(b"H")


def _log_with_a_run(path: Path) -> None:
    async def scenario() -> None:
        shop = Shop()
        log = open_embedded(path)
        make_topics(log, "shop")
        async with serving(log, "shop", [shop.order]), Client(log, namespace="shop") as client:
            await client.start(shop.order, "a", id="order-1", wait_s=30)
        log.close()

    asyncio.run(scenario())


def test_worker_serves_nothing_and_tells_the_place_when_state_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.weft"
    _log_with_a_run(path)
    _damaged(path)

    async def scenario() -> None:
        shop = Shop()
        log = open_embedded(path)
        try:
            async with serving(log, "shop", [shop.order]) as (worker, task):
                await asyncio.wait([task])
                assert not worker.ready
        finally:
            log.close()

    with pytest.raises(CorruptRecordError, match=r"shop\.state-0@\d+ .* checksum"):
        asyncio.run(scenario())


def test_worker_stops_when_cleaning_finds_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file is not looked through at the start; the first cleaning does it."""
    monkeypatch.setattr(_opening, "WHOLE_BYTES_MAX", 0)
    monkeypatch.setattr(_worker, "_CLEAN_S", 0.2)
    path = tmp_path / "log.weft"
    _log_with_a_run(path)
    _miscount(path)

    async def scenario() -> None:
        shop = Shop()
        log = open_embedded(path)
        try:
            async with serving(log, "shop", [shop.order]) as (_worker, task):
                await asyncio.wait([task])
        finally:
            log.close()

    with pytest.raises(LogError, match=r"log\.weft is damaged"):
        asyncio.run(scenario())


def _miscount(path: Path) -> None:
    """Change the free space that a page counts: nothing that is read, and yet a page that SQLite did not write so."""
    page_bytes = 4096
    data = bytearray(path.read_bytes())
    for start in range(page_bytes, len(data), page_bytes):
        if data[start] == 13 and b'"workflow":"order"' in data[start : start + page_bytes]:
            data[start + 7] ^= 1
    path.write_bytes(data)


# The command line.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return prepare(tmp_path, monkeypatch)


COMMANDS = [
    ["list"],
    ["show", "order-1"],
    ["history", "order-1"],
    ["start", "order", "--input", '"b"'],
    ["topics", "check"],
    ["worker", "shop.py"],
]


def refused(*arguments: str) -> dict[str, Any]:
    """The error of a command that is refused, as JSON; for people it is the same text."""
    text = weft(*arguments)
    assert (text.status, text.stdout) == (1, "")
    answer = weft(*arguments, "--json")
    assert (answer.status, answer.stdout) == (1, "")
    document: dict[str, Any] = json.loads(answer.stderr)
    assert text.stderr == f"Error: {document['message']}\n"
    return document


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_tells_that_the_file_was_cut_off(folder: Path, command: list[str]) -> None:
    path = folder / "log.weft"
    _log_with_a_run(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    error = refused(*command, "--file", str(path), "--namespace", "shop")
    assert error["error"] == "LogError"
    assert f"{path} is damaged: its end was cut off" in error["message"]
    assert "Restore the file from a copy" in error["message"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_tells_that_the_file_is_read_only(
    folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with public_folder() as public:
        shutil.copy(folder / "shop.py", public)
        monkeypatch.chdir(public)
        path = public / "log.weft"
        _log_with_a_run(path)
        path.chmod(0o444)
        public.chmod(0o555)
        with unprivileged():
            error = refused(*command, "--file", str(path), "--namespace", "shop")
    assert error["error"] == "LogError"
    assert f"{path} is read-only for this user; nothing was written. Give" in error["message"]


def test_damaged_record_is_told_with_its_place_for_programs(folder: Path) -> None:
    path = folder / "log.weft"
    _log_with_a_run(path)
    _damaged(path)
    error = refused("list", "--file", str(path), "--namespace", "shop")
    assert error["error"] == "CorruptRecordError"
    assert (error["topic"], error["partition"]) == ("shop.state", 0)
    assert f"shop.state-0@{error['offset']} " in error["message"]
    assert "checksum" in error["why"]


def test_worker_and_start_tell_that_the_disk_is_full(folder: Path, disk: SmallDisk) -> None:
    path = disk.folder / "log.weft"
    log = open_embedded(path)
    make_topics(log, "shop")
    log.close()
    disk.fill()
    options = ["--file", str(path), "--namespace", "shop"]
    answer = weft("worker", "shop.py", *options)
    assert answer.status == 1
    assert "is full; nothing was written. Free some space" in answer.stderr
    error = refused("start", "order", "--input", '"b"', *options)
    assert "is full; nothing was written. Free some space" in error["message"]
