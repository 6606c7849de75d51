"""A worker dies with kill -9 in the middle; another goes on exactly where it stopped. On a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.support.flows import long_history, sleep_and_wait, three_steps
from tests.support.workers import lines, wait_until, weft, worker
from weft.client import Client
from weft.log import Log
from weft.records import ActivityCompleted, ActivityScheduled
from weft.topics import Namespace

pytestmark = pytest.mark.kafka


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"FLOWS_LOG": str(tmp_path / "notes"), "FLOWS_HOLD": str(tmp_path / "hold")}


@pytest.mark.requirement(
    "R1-28", "R2-2", "R2-3", "R2-5", "R2-6", "R2-7", "R2-8", "R2-41", "R2-42", "R3-1", "R3-42"
)
def test_history_shows_what_was_done_when_a_worker_dies_between_steps_b_and_c(
    kafka_log: Log, topics: Namespace, options: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    notes = tmp_path / "notes"

    async def start() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start(three_steps, "order", id="crash-1", wait_s=30)

    with worker(*options, "--instance-id", "w1", env=env) as running:
        asyncio.run(start())
        wait_until(lambda: "crash-1 C begun" in lines(notes), "C has begun")
        time.sleep(
            1
        )  # a task's offset is committed a moment after its result: until then it may run again
        running.kill()

        shown = json.loads(weft("history", "crash-1", *options, "--json").stdout)
        steps = [
            (event["type"], event.get("activity"))
            for event in shown["events"]
            if event["type"] != "ActivityStarted"  # noted for whatever runs for a second
        ]
        assert steps == [
            ("WorkflowStarted", None),
            ("ActivityScheduled", "step"),
            ("ActivityCompleted", "step"),
            ("ActivityScheduled", "step"),
            ("ActivityCompleted", "step"),
            ("ActivityScheduled", "hold"),
        ]
        assert [
            event["input"] for event in shown["events"] if event["type"] == "ActivityScheduled"
        ] == [
            ["A"],
            ["B"],
            ["C"],
        ]
        assert [
            event["result"] for event in shown["events"] if event["type"] == "ActivityCompleted"
        ] == [
            "A done",
            "B done",
        ]

        hold.unlink()
        running.restart()
        result = weft("result", "crash-1", *options, "--json")
        assert json.loads(result.stdout)["result"] == ["A done", "B done", "C done"], result.stderr
    done = lines(notes)
    assert done.count("crash-1 A") == 1, "a recorded result is never asked for again"
    assert done.count("crash-1 B") == 1
    assert done.count("crash-1 C begun") == 2, "what was under way runs again"
    assert done.count("crash-1 C") == 1


@pytest.mark.requirement("R1-1", "R2-1", "R2-11", "R2-26", "R2-31", "R3-10", "R3-25")
def test_workflow_that_sleeps_and_waits_ends_right_when_its_worker_is_killed_twice(
    kafka_address: str,
    kafka_log: Log,
    topics: Namespace,
    options: list[str],
    env: dict[str, str],
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"

    async def started() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start(sleep_and_wait, 3.0, id="wait-1", wait_s=30)

    async def history() -> list[str]:
        async with Client(kafka_log, namespace=topics.name) as client:
            return [type(event).__name__ for event in await client.handle("wait-1").history()]

    with worker(*options, "--instance-id", "w1", env=env) as running:
        asyncio.run(started())
        wait_until(lambda: "ActivityCompleted" in asyncio.run(history()), "the first step is done")
        running.kill()
        time.sleep(1)
        running.restart()
        time.sleep(3)
        running.kill()

        # While nobody serves: an ordinary producer, which hashes keys in its own way, signals twice under one ID.
        producer = Producer({"bootstrap.servers": kafka_address})
        for _ in range(2):
            value = json.dumps({"signal": "approval", "payload": {"by": "Ada"}, "id": "approval-1"})
            producer.produce(topics.signals, key="wait-1", value=value)
        assert producer.flush(10) == 0

        running.restart()
        result = json.loads(weft("result", "wait-1", *options, "--json").stdout)["result"]
    assert result["approval"] == {"by": "Ada"}
    assert result["slept_s"] >= 3.0
    assert lines(notes) == ["wait-1 before", "wait-1 after"]

    events = asyncio.run(history())
    assert events.count("SignalReceived") == 1
    assert events.count("TimerFired") == 1
    assert events[-1] == "WorkflowCompleted"


def test_long_history_is_paged_and_replayed_when_its_worker_is_killed(
    kafka_log: Log, topics: Namespace, options: list[str], env: dict[str, str]
) -> None:
    steps = 150

    async def run() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(long_history, steps, id="long-1", wait_s=30)
            while (await handle.describe()).event_count < 2 * steps + 1:  # noqa: ASYNC110  # asked of the log
                await asyncio.sleep(0.2)
            running.kill()
            running.restart()
            await handle.signal("go", timeout_s=30)
            assert await handle.result(timeout=30) == steps
            history = await handle.history()
        assert [event.event_id for event in history] == list(range(1, len(history) + 1))
        scheduled = [event.activity_id for event in history if isinstance(event, ActivityScheduled)]
        completed = [event.activity_id for event in history if isinstance(event, ActivityCompleted)]
        assert scheduled == completed == list(range(1, steps + 1))

    with worker(*options, "--instance-id", "w1", env=env) as running:
        asyncio.run(run())


def test_worker_drains_and_exits_cleanly_when_it_is_told_to_stop(
    kafka_log: Log, topics: Namespace, options: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()

    async def start() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start(three_steps, "order", id="drain-1", wait_s=30)

    with worker(*options, "--instance-id", "w1", env=env) as running:
        asyncio.run(start())
        wait_until(lambda: "drain-1 C begun" in lines(tmp_path / "notes"), "C has begun")
        running.process.terminate()
        time.sleep(0.5)
        hold.unlink()
        assert running.process.wait(30) == 0
        assert lines(tmp_path / "notes")[-1] == "drain-1 C", "what was under way was finished"
        running.restart()
        assert (
            json.loads(weft("result", "drain-1", *options, "--json").stdout)["result"][-1]
            == "C done"
        )
    assert lines(tmp_path / "notes").count("drain-1 C") == 1
