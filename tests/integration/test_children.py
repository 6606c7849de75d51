"""Children on a real Kafka: their worker dies with kill -9 between their start and their end."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.support import family_flows
from tests.support.family_flows import big_family
from tests.support.workers import lines, wait_until, worker
from weft.client import Client
from weft.errors import WorkflowFailedError
from weft.log import Log
from weft.records import ChildCompleted, ChildFailed, ChildStarted
from weft.topics import Namespace

COUNT = 5


@pytest.mark.kafka
@pytest.mark.requirement("R3-15", "R3-16", "R3-17", "R1-28")
def test_children_run_once_and_their_ends_come_once_when_their_worker_is_killed(
    kafka_log: Log, topics: Namespace, options: list[str], tmp_path: Path
) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "hold"
    gate.touch()
    env = {"FLOWS_LOG": str(notes), "FLOWS_HOLD": str(gate)}
    file = Path(family_flows.__file__)
    names = [f"child-{number}" for number in range(COUNT)]

    def begun() -> bool:
        return sum(line.endswith("begun") for line in lines(notes)) >= COUNT

    async def start() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start(big_family, COUNT, id="parent", wait_s=30)

    async def check() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            result = await client.handle("parent").result(timeout=60)
            assert result == [
                *(f"{name} done" for name in names),
                "ValueError after 2: try done",
            ]
            history = await client.handle("parent").history()
            started = Counter(
                event.child_id for event in history if isinstance(event, ChildStarted)
            )
            assert sorted(started.values()) == [1] * (COUNT + 2) + [2]
            ends = [event.workflow for event in history if isinstance(event, ChildCompleted)]
            assert ends.count("held_child") == COUNT
            assert sum(isinstance(event, ChildFailed) for event in history) == 1
            assert await client.handle("stays").result(timeout=30) == "on"
            with pytest.raises(WorkflowFailedError) as caught:
                await client.handle("goes").result(timeout=30)
            assert caught.value.status == "terminated"
            for child in (await client.handle("parent").describe()).children:
                described = await client.handle(child.workflow_id).describe()
                assert described.parent is not None
                assert described.parent.run_id == history[0].run_id  # type: ignore[union-attr]

    with worker(*options, "--instance-id", "w1", file=file, env=env) as running:
        asyncio.run(start())
        running.kill()  # while the children are on their way
        running.restart()
        wait_until(begun, "all children hold")
        running.kill()
        gate.unlink()
        running.restart()
        asyncio.run(check())
    done = Counter(lines(notes))
    assert all(done[f"{name} {name} first"] >= 1 for name in names)
    assert all(done[f"{name} {name}"] == 1 for name in names)
    assert done["fails try"] == 2
