"""Activities with `process=True`, as workers have them: on both logs, from a file, from a script."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli_kit import prepare, serving, weft
from weft import activity, workflow
from weft.activity import Retry
from weft.client import Client
from weft.log import Log
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker

PROCESS_STEP = """
import multiprocessing
from dataclasses import dataclass
from weft import activity, workflow

@dataclass
class Order:
    id: str

@activity.define(process=True)
def handle(order: Order) -> str:
    return f"{order.id} in {multiprocessing.current_process().name}"

@workflow.define
async def sell(ctx: workflow.Context, order: Order) -> str:
    return await ctx.execute_activity(handle, order)
"""
SCRIPT = """
import asyncio
import sys
from weft.client import Client
from weft.log import open_log
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker

async def main() -> None:
    log = open_log(embedded="script.weft")
    create(log.admin(), catalogue(Namespace("default"), partitions=1))
    worker = Worker(log, workflows=[sell], activities=[handle], instance_id="w1")
    running = asyncio.create_task(worker.run())
    async with Client(log) as client:
        print(await client.execute(sell, Order("o-1"), wait_s=30))
    worker.stop()
    await running
    log.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


@activity.define(process=True, retry=Retry(max_attempts=3, initial_interval=0.01))
def mortal(number: int) -> list[int]:
    """Its process dies in the first attempt."""
    if activity.info().attempt == 1:
        os._exit(7)
    return [number + 1, os.getpid()]


@activity.define(process=True, inline=True)
def short(number: int) -> list[int]:
    return [number * 2, os.getpid()]


@workflow.define
async def both(ctx: workflow.Context, number: int) -> list[list[int]]:
    return [await ctx.execute_activity(mortal, number), await ctx.execute_activity(short, number)]


def test_process_activity_is_run_again_when_its_process_dies(log: Log, namespace: str) -> None:
    admin = log.admin()
    create(admin, catalogue(Namespace(namespace), partitions=1))
    admin.close()

    async def run() -> list[list[int]]:
        worker = Worker(
            log,
            namespace=namespace,
            workflows=[both],
            activities=[mortal, short],
            instance_id="w1",
            activity_processes=1,
        )
        running = asyncio.create_task(worker.run())
        async with Client(log, namespace=namespace) as client:
            result = await client.execute(both, 20, id="one", wait_s=60)
        worker.stop()
        await running
        return result

    (first, its_process), (second, same_process) = asyncio.run(run())
    assert (first, second) == (21, 40)
    assert its_process == same_process != os.getpid()


def test_file_of_any_name_is_found_by_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`shlex` is a module that the command line has: it loads such a file under a name of its own."""
    prepare(tmp_path, monkeypatch)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "shlex.py").write_text(PROCESS_STEP, encoding="utf-8")
    with serving(tmp_path, "dev", "files/shlex.py") as dev:
        dev.says("start one:")
        answer = weft("start", "sell", "--input", '{"id": "o-1"}', "--wait")
    assert (answer.status, answer.stdout) == (0, '"o-1 in weft-activity"\n')


def test_script_that_starts_its_worker_is_imported_by_its_processes(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROCESS_STEP + SCRIPT, encoding="utf-8")
    paths = os.pathsep.join(path for path in sys.path if path)
    shop = subprocess.run(
        [sys.executable, "shop.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (shop.stdout, shop.returncode) == ("o-1 in weft-activity\n", 0), shop.stderr
