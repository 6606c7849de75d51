"""What was recorded outlives workers and brokers, and is what every later answer comes from."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from deploy.kafka.broker import start_broker

from tests.support.flows import collect, lottery
from tests.support.workers import lines, wait_until, weft, worker
from weft.client import Client, Handle
from weft.errors import UnknownWorkflowError
from weft.log import Log
from weft.records import ActivityCompleted
from weft.topics import Namespace

pytestmark = pytest.mark.kafka


@pytest.mark.requirement("R1-26", "R3-8")
def test_status_is_told_while_a_workflow_runs_and_after_it_ended(
    kafka_log: Log, topics: Namespace, options: list[str]
) -> None:
    async def run() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(collect, 1, id="status-1", wait_s=30)
            assert await handle.status() == "running"
            await handle.signal("item", 1)
            assert await handle.result(timeout=30) == [1]
            assert await handle.status() == "completed"
            with pytest.raises(UnknownWorkflowError, match="nobody"):
                await client.handle("nobody").status()

    with worker(*options):
        asyncio.run(run())


@pytest.mark.requirement("R1-43", "R2-12", "R2-23", "R2-24")
def test_random_draw_stays_what_it_was_when_its_worker_is_killed_and_the_code_replayed(
    kafka_log: Log, topics: Namespace, options: list[str], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    ids = [f"draw-{number}" for number in range(8)]

    async def start() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            for name in ids:
                await client.start(lottery, 1_000_000, id=name, wait_s=30)
            for name in ids:
                async with asyncio.timeout(30):
                    while not await has_drawn(client.handle(name)):  # noqa: ASYNC110  # asked of the log
                        await asyncio.sleep(0.05)

    async def has_drawn(handle: Handle[str]) -> bool:
        """Until its result is on the log, it may be drawn again."""
        return any(isinstance(event, ActivityCompleted) for event in await handle.history())

    async def go_on() -> dict[str, str]:
        async with Client(kafka_log, namespace=topics.name) as client:
            for name in ids:
                await client.handle(name).signal("go", timeout_s=30)
            return {name: await client.handle(name).result(timeout=30) for name in ids}

    async def ask_again() -> dict[str, str]:
        async with Client(kafka_log, namespace=topics.name) as client:
            return {name: await client.handle(name).result(timeout=30) for name in ids}

    with worker(*options, "--instance-id", "w1", env={"FLOWS_LOG": str(notes)}) as running:
        asyncio.run(start())
        running.kill()
        running.restart()
        results = asyncio.run(go_on())
        running.kill()
        running.restart()
        assert asyncio.run(ask_again()) == results, "a rebuilt owner knows what ended before it"
    drawn = [line.split(" drew ") for line in lines(notes) if " drew " in line]
    assert sorted(name for name, _ in drawn) == ids, "each draw was made once"
    assert {name: result.split()[1] for name, result in results.items()} == dict(drawn)


@pytest.mark.requirement("R2-9")
def test_workflow_goes_on_when_its_worker_and_its_broker_were_both_restarted(
    tmp_path: Path,
) -> None:
    env = {"FLOWS_LOG": str(tmp_path / "notes")}
    with start_broker() as cluster:
        options = ["--kafka", cluster.address, "--namespace", "restarted"]
        assert weft("topics", "create", "--partitions", "2", *options).returncode == 0
        with worker(*options, "--instance-id", "w1", env=env) as running:
            wait_until(
                lambda: (
                    weft("start", "collect", "--input", "2", "--id", "r-1", *options).returncode
                    == 0
                    or weft("show", "r-1", *options).returncode == 0
                ),
                "it is started",
            )
            assert weft("signal", "r-1", "item", "--payload", '"before"', *options).returncode == 0
            assert running.stop() == 0
            cluster.restart()
            shown = json.loads(weft("show", "r-1", *options, "--json").stdout)
            assert (shown["status"], shown["event_count"]) == ("running", 2)
            running.restart()
            assert weft("signal", "r-1", "item", "--payload", '"after"', *options).returncode == 0
            done = weft("result", "r-1", *options, "--json")
            assert json.loads(done.stdout)["result"] == ["before", "after"], done.stderr
