"""The activity worker on both logs: what is written, what is committed, and when it takes nothing more."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.activity_kit import PARTITIONS, Place, open_place, until
from weft import activity
from weft.errors import FencedError
from weft.metrics import WorkerMetrics
from weft.records import AttemptCompleted, AttemptStarted
from weft.worker import _activity_clock


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with open_place(request, tmp_path) as found:
        yield found


@pytest.fixture
def without_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an attempt runs, it does not count as long."""
    monkeypatch.setattr(_activity_clock, "LONG_S", 3600.0)


class Gate:
    """Activities that wait until the test lets them go, and how many of them run."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.thread_open = threading.Event()
        self.running = 0
        self.running_max = 0
        self.begun: list[str] = []

    def activity(self, *, blocking: bool = False) -> activity.Activity[[str], str]:
        async def wait(name: str) -> str:
            self._enter(name)
            await self.open.wait()
            self.running -= 1
            return name

        def wait_in_thread(name: str) -> str:
            self._enter(name)
            self.thread_open.wait()
            self.running -= 1
            return name

        return activity.define(name="wait")(wait_in_thread if blocking else wait)

    def _enter(self, name: str) -> None:
        self.begun.append(name)
        self.running += 1
        self.running_max = max(self.running_max, self.running)


@activity.define
async def echo(value: object) -> object:
    return value


@activity.define
async def refuse(name: str) -> None:
    raise ValueError(name)


@pytest.mark.requirement("R3-13")
def test_results_come_on_the_partition_of_their_task_and_the_queue_is_done(place: Place) -> None:
    for number in range(PARTITIONS):
        tasks = [(f"wf-{number}-{index}", "echo", index) for index in range(20)]
        place.add([*tasks, (f"bad-{number}", "refuse", "no")], partition=number)

    async def go() -> None:
        async with place.worker(echo, refuse) as worker:
            await until(lambda: len(place.results()) == 21 * PARTITIONS, "all results")
        assert worker.error is None

    asyncio.run(go())
    results = place.results()
    names = [f"wf-{number}-{index}" for number in range(PARTITIONS) for index in range(20)]
    assert sorted(place.completed()) == sorted(names)
    assert place.failed() == {f"bad-{number}": "ValueError" for number in range(PARTITIONS)}
    assert all(f"-{result.partition}" in result.workflow_id for result in results)
    for number in range(PARTITIONS):
        assert place.committed(number) == place.task_offsets(number)[-1] + 1


@pytest.mark.usefixtures("without_leases")
def test_slow_activity_holds_up_its_offset_but_not_its_partition_until_it_is_leased(
    place: Place,
) -> None:
    async def go() -> None:
        gate = Gate()
        quick = [(f"quick-{index}", "echo", index) for index in range(10)]
        place.add([*quick[:3], ("slow", "wait", "slow"), *quick[3:]])
        offsets = place.task_offsets()
        async with place.worker(echo, gate.activity()):
            await until(lambda: len(place.completed()) == 10, "the results of the quick ones")
            assert gate.begun == ["slow"]
            await until(lambda: place.committed() == offsets[3], "a commit up to the slow one")
            place.add([("later", "echo", 1)])
            await until(lambda: "later" in place.completed(), "what came later")
            assert place.committed() == offsets[3]
            gate.open.set()
            await until(lambda: place.committed() == offsets[-1] + 2, "a commit of everything")
        assert len(place.completed()) == 12

    asyncio.run(go())


def test_no_more_attempts_run_at_once_than_may(place: Place) -> None:
    place.add([(f"wf-{index}", "wait", str(index)) for index in range(30)])

    async def go() -> None:
        gate = Gate()
        async with place.worker(gate.activity(), concurrency=3, session_timeout_s=6.0) as worker:
            await until(lambda: gate.running == 3, "three attempts")
            await asyncio.sleep(1.2)  # long enough for the partitions to be paused
            assert gate.running == 3
            assert worker.running_count == 3
            assert worker.ready
            gate.open.set()
            await until(lambda: len(place.completed()) == 30, "all results")
        assert gate.running_max == 3
        assert worker.error is None

    asyncio.run(go())
    assert place.committed() == place.task_offsets()[-1] + 1


def test_sync_activities_in_threads_hold_nothing_up(place: Place) -> None:
    async def go() -> None:
        gate = Gate()
        place.add([(f"block-{index}", "wait", str(index)) for index in range(5)])
        place.add([(f"wf-{index}", "echo", index) for index in range(20)])
        async with place.worker(echo, gate.activity(blocking=True), concurrency=10):
            await until(lambda: len(place.completed()) == 20, "the async ones")
            assert sorted(gate.begun) == ["0", "1", "2", "3", "4"]
            gate.thread_open.set()
            await until(lambda: len(place.completed()) == 25, "the sync ones")

    asyncio.run(go())


def test_draining_finishes_what_runs_and_takes_nothing_more(place: Place) -> None:
    async def go() -> None:
        gate = Gate()
        place.add([("running", "wait", "running")])
        async with place.worker(gate.activity(), echo) as worker:
            await until(lambda: gate.running == 1, "the attempt")
            draining = asyncio.create_task(worker.drain(30))
            await until(lambda: worker._feed._paused, "the end of taking")
            place.add([("late", "echo", 1)])
            await asyncio.sleep(0.3)
            assert place.completed() == []
            gate.open.set()
            await draining
            assert worker.error is None
        assert place.completed() == ["running"]
        first, second = place.task_offsets()
        assert place.committed() == second
        assert first < second

        async with place.worker(gate.activity(), echo):
            await until(lambda: len(place.completed()) == 2, "the one that was left")
        assert place.completed() == ["running", "late"]

    asyncio.run(go())


@pytest.mark.usefixtures("without_leases")
def test_attempt_that_outlasts_the_drain_is_cancelled_and_left_for_another(place: Place) -> None:
    async def go() -> None:
        gate = Gate()
        place.add([("first", "echo", 1), ("long", "wait", "long"), ("last", "echo", 1)])
        async with place.worker(gate.activity(), echo, drain_s=0.2):
            await until(lambda: len(place.completed()) == 2, "the quick ones")
        assert place.committed() == place.task_offsets()[1]
        assert "long" not in place.completed()
        assert place.failed() == {}

        gate.open.set()
        async with place.worker(gate.activity(), echo):
            await until(lambda: "long" in place.completed(), "the long one, again")
        assert gate.begun == ["long", "long"]

    asyncio.run(go())


def test_what_is_no_task_is_put_aside_and_counted(place: Place) -> None:
    place.add([("before", "echo", 1)])
    bad = [(b"wf", b"{"), (b"wf", b'{"v": 99}'), (None, b"{}"), (b"\xff\xfe", b"[]")]
    place.write(bad)
    place.add([("unknown", "sail", 1), ("wrong", "refuse", 5), ("after", "echo", "a")])

    async def go() -> None:
        async with place.worker(echo, refuse) as worker:
            await until(lambda: len(place.results()) == 4, "the results")
            labels = {"topic": place.namespace.tasks("default")}
            metrics = worker._feed._metrics.registry
            assert metrics.get_sample_value("weft_deadletters_total", labels) == 4

    asyncio.run(go())
    assert place.completed() == ["before", "after"]
    assert place.failed() == {
        "unknown": "UnknownActivityError",
        "wrong": "UsageError",
    }
    offsets = place.task_offsets()
    assert place.committed() == offsets[-1] + 1
    letters = place._read(place.namespace.deadletters)
    assert [(letter.partition, letter.key, letter.value) for letter in letters] == [
        (0, key, value) for key, value in bad
    ]
    for letter, offset in zip(letters, offsets[1:5], strict=True):
        labels = dict(letter.headers)
        assert labels.pop("weft-reason")
        assert labels == {
            "weft-topic": place.namespace.tasks("default").encode(),
            "weft-partition": b"0",
            "weft-offset": str(offset).encode(),
        }


def test_attempt_that_runs_long_is_reported_once(place: Place) -> None:
    place.add([("quick", "echo", "a"), ("long", "wait", "long")])

    async def go() -> None:
        gate = Gate()
        async with place.worker(echo, gate.activity()):
            await until(lambda: len(place.results()) == 2, "the report")
            await asyncio.sleep(0.3)
            gate.open.set()
            await until(lambda: len(place.results()) == 3, "the result")

    asyncio.run(go())
    quick, started, completed = place.results()
    assert (quick.workflow_id, started.workflow_id, completed.workflow_id) == (
        "quick",
        "long",
        "long",
    )
    assert isinstance(started.record, AttemptStarted)
    assert (started.record.run_id, started.record.activity_id, started.record.attempt) == (
        "run",
        1,
        1,
    )
    assert isinstance(completed.record, AttemptCompleted)


def test_several_workers_share_the_queue_and_lose_nothing(place: Place) -> None:
    def add(first: int) -> list[str]:
        names = [f"wf-{index}" for index in range(first, first + 200)]
        for number in range(PARTITIONS):
            chosen = names[number::PARTITIONS]
            place.add([(name, "echo", name) for name in chosen], partition=number)
        return names

    async def go() -> list[str]:
        names = add(0)
        async with place.worker(echo, instance_id="a") as first:
            async with place.worker(echo, instance_id="b") as second:
                names += add(200)
                await until(
                    lambda: len(first._feed._offsets) == len(second._feed._offsets) == 2,
                    "two partitions each",
                )
                names += add(400)
                await until(lambda: set(place.completed()) == set(names), "all results")
            names += add(600)
            await until(lambda: set(place.completed()) == set(names), "what came after one left")
        return names

    names = asyncio.run(go())
    assert len(names) == 800
    for number in range(PARTITIONS):
        assert place.committed(number) == place.task_offsets(number)[-1] + 1


def test_worker_whose_instance_id_is_taken_ends_and_the_other_goes_on(place: Place) -> None:
    async def go() -> None:
        instance_id = uuid.uuid4().hex
        async with (
            place.worker(echo, instance_id=instance_id) as first,
            place.worker(echo, instance_id=instance_id) as second,
        ):
            await until(lambda: first.error is not None, "the first to be fenced")
            assert isinstance(first.error, FencedError)
            assert not first.ready
            place.add([("wf", "echo", "a")])
            await until(lambda: place.completed() == ["wf"], "the second to serve")
            assert second.error is None

    asyncio.run(go())


def test_task_whose_result_is_on_the_log_is_not_run_again(place: Place) -> None:
    """As after a worker that died between its results and its next commit."""
    begun: list[int] = []

    @activity.define(name="note")
    async def note(number: int) -> int:
        begun.append(number)
        return number

    place.add([(f"wf-{number}", "note", number) for number in range(6)], partition=1)
    place.answer([("wf-0", "run", 1), ("wf-1", "run", 1), ("wf-5", "run", 1)], partition=1)
    # Neither of these is the attempt that the queue holds.
    place.answer([("wf-2", "run", 2), ("wf-3", "other run", 1)], partition=1)
    metrics = WorkerMetrics()

    async def go() -> None:
        async with place.worker(note, metrics=metrics):
            await until(lambda: len(begun) == 3, "the others to run")
            end = place.task_offsets(1)[-1] + 1
            await until(lambda: place.committed(1) == end, "the queue to be done")

    asyncio.run(go())
    assert sorted(begun) == [2, 3, 4]
    assert metrics.registry.get_sample_value("weft_answered_tasks_total") == 3
