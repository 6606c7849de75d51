"""Long attempts in the activity worker, on both logs: leased, kept, cancelled and given up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.activity_kit import Place, open_place, until
from weft import activity
from weft.codec import decode_payload, encode, encode_payload
from weft.metrics import WorkerMetrics
from weft.records import (
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptReleased,
    AttemptStarted,
    ReplyTo,
)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with open_place(request, tmp_path) as found:
        yield found


@activity.define
async def echo(value: object) -> object:
    return value


def address_of(started: AttemptStarted) -> ReplyTo:
    assert started.reply_to is not None
    return started.reply_to


@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "thread"])
def test_long_attempt_is_leased_beats_and_leaves_its_offset(
    place: Place, *, in_thread: bool
) -> None:
    go_on = threading.Event()

    async def wait(_name: str) -> None:
        while not go_on.is_set():  # noqa: ASYNC110  # both kinds are let go by one event
            await asyncio.sleep(0.01)

    def wait_in_thread(_name: str) -> None:
        go_on.wait()

    long = activity.define(name="wait")(wait_in_thread if in_thread else wait)
    place.add([("long", "wait", "x"), ("quick", "echo", 1)])
    metrics = WorkerMetrics()

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(name)

    async def go() -> None:
        async with place.worker(long, echo, lease_s=1.0, metrics=metrics):
            await until(lambda: place.committed() == place.task_offsets()[-1] + 1, "the commit")
            assert place.completed() == ["quick"]
            await until(lambda: len(place.records(AttemptHeartbeat)) >= 3, "heartbeats")
            assert value("weft_leases") == 1
            go_on.set()
            await until(lambda: "long" in place.completed(), "its result")
            await until(lambda: value("weft_leases") == 0, "the end of the lease")
        beats = len(place.records(AttemptHeartbeat))
        assert value("weft_heartbeats_total") == beats

    try:
        asyncio.run(go())
    finally:
        go_on.set()
    (started,) = place.records(AttemptStarted)
    assert started.lease_ms == 1000
    assert abs(started.started_ms / 1000 - time.time()) < 60
    for beat in place.records(AttemptHeartbeat):
        assert (beat.lease, beat.reply_to) == (started.lease, started.reply_to)
        assert (beat.run_id, beat.activity_id, beat.attempt) == ("run", 1, 1)
        assert bytes(beat.details) == b"null"
    assert len(place.records(AttemptCompleted)) == 2


def test_code_that_blocks_the_event_loop_keeps_its_lease(place: Place) -> None:
    @activity.define
    async def block() -> str:
        await asyncio.sleep(1.1)  # until it is leased
        time.sleep(2.5)  # noqa: ASYNC251  # what users do
        return "done"

    place.write([(b"long", encode(ActivityTask("run", 1, 1, "block", encode_payload([]))))])

    async def go() -> None:
        async with place.worker(block, lease_s=1.0):
            await until(lambda: place.completed() == ["long"], "the result")

    asyncio.run(go())
    assert len(place.records(AttemptHeartbeat)) >= 5


def test_details_go_out_when_they_are_new(place: Place) -> None:
    steps: list[asyncio.Event] = []

    @activity.define
    async def copy() -> object:
        activity.heartbeat({"row": 1})
        for step in steps:
            await step.wait()
            activity.heartbeat({"row": 2})
        return activity.info().heartbeat_details

    task = ActivityTask("run", 1, 1, "copy", encode_payload([]))
    place.write([(b"long", encode(task))])

    def details() -> list[object]:
        beats = place.records(AttemptHeartbeat)
        return [decode_payload(beat.details) for beat in beats if bytes(beat.details) != b"null"]

    async def go() -> None:
        steps.extend(asyncio.Event() for _ in range(2))
        async with place.worker(copy, lease_s=1.0):
            await until(lambda: details() == [{"row": 1}], "the first details")
            steps[0].set()
            await until(lambda: details() == [{"row": 1}, {"row": 2}], "the next ones")
            steps[1].set()
            await until(lambda: place.completed() == ["long"], "the result")

    asyncio.run(go())


def test_attempt_that_fails_brings_the_details_that_are_not_on_the_log(place: Place) -> None:
    @activity.define
    async def copy() -> None:
        activity.heartbeat({"row": 3})
        raise ValueError("torn")

    place.write([(b"torn", encode(ActivityTask("run", 1, 1, "copy", encode_payload([]))))])

    async def go() -> None:
        async with place.worker(copy):
            await until(lambda: place.failed() == {"torn": "ValueError"}, "the failure")

    asyncio.run(go())
    (failed,) = place.records(AttemptFailed)
    assert decode_payload(failed.heartbeat_details) == {"row": 3}


def test_heartbeat_timeout_shortens_the_lease(place: Place) -> None:
    """Its owner should know as soon when the whole worker is gone."""

    @activity.define
    async def hang() -> None:
        await asyncio.sleep(60)

    task = ActivityTask("run", 1, 1, "hang", encode_payload([]), heartbeat_timeout_ms=2500)
    place.write([(b"hangs", encode(task))])

    async def go() -> None:
        async with place.worker(hang):
            await until(lambda: "hangs" in place.failed(), "the timeout")

    asyncio.run(go())
    assert place.failed() == {"hangs": "HeartbeatTimeoutError"}
    (started,) = place.records(AttemptStarted)
    assert started.lease_ms == 2500


def test_short_attempt_reports_its_start_when_its_time_on_the_queue_is_limited(
    place: Place,
) -> None:
    @activity.define
    async def nap() -> None:
        await asyncio.sleep(0.4)

    task = ActivityTask("run", 1, 1, "nap", encode_payload([]), schedule_to_start_ms=5000)
    place.write([(b"short", encode(task))])

    async def go() -> None:
        async with place.worker(nap):
            await until(lambda: place.completed() == ["short"], "the result")

    asyncio.run(go())
    assert len(place.records(AttemptStarted)) == 1


@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "thread"])
def test_cancellation_reaches_what_runs(place: Place, *, in_thread: bool) -> None:
    seen: list[str] = []

    async def work(_name: str) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)  # cleans up; another answer comes meanwhile
            seen.append("cancelled")
            raise

    def work_in_thread(_name: str) -> None:
        try:
            while True:
                activity.heartbeat()
                time.sleep(0.01)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    long = activity.define(name="work")(work_in_thread if in_thread else work)
    place.add([("long", "work", "x")])
    metrics = WorkerMetrics()

    async def go() -> None:
        async with place.worker(long, echo, concurrency=1, lease_s=1.0, metrics=metrics) as worker:
            await until(lambda: bool(place.records(AttemptHeartbeat)), "a heartbeat")
            (started,) = place.records(AttemptStarted)
            began_s = time.monotonic()
            place.cancel(address_of(started))
            await asyncio.sleep(0.1)
            place.cancel(address_of(started))
            await until(lambda: seen == ["cancelled"], "the cancellation")
            assert time.monotonic() - began_s < 5
            await until(lambda: worker.running_count == 0, "its place")
            place.add([("next", "echo", 1)])
            await until(lambda: place.completed() == ["next"], "the next task")

    asyncio.run(go())
    assert place.failed() == {}
    labels = {"activity": "work", "outcome": "cancelled"}
    assert metrics.registry.get_sample_value("weft_activities_total", labels) == 1
    assert place.records(AttemptReleased) == []


def test_cancelled_attempt_beats_no_more(place: Place) -> None:
    @activity.define
    async def stubborn(_name: str) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(2.5)

    place.add([("long", "stubborn", "x")])

    async def go() -> None:
        async with place.worker(stubborn, lease_s=1.0) as worker:
            await until(lambda: bool(place.records(AttemptHeartbeat)), "a heartbeat")
            (started,) = place.records(AttemptStarted)
            place.cancel(address_of(started))
            await asyncio.sleep(0.5)
            count = len(place.records(AttemptHeartbeat))
            await until(lambda: worker.running_count == 0, "its end")
            assert len(place.records(AttemptHeartbeat)) == count

    asyncio.run(go())
    assert place.completed() == []


def test_answers_to_other_workers_cancel_nothing(place: Place) -> None:
    @activity.define
    async def work(_name: str) -> str:
        await asyncio.sleep(2)
        return "done"

    place.add([("long", "work", "x")])

    async def go() -> None:
        async with place.worker(work, lease_s=1.0):
            await until(lambda: bool(place.records(AttemptStarted)), "the lease")
            (started,) = place.records(AttemptStarted)
            own = address_of(started)
            place.cancel(ReplyTo("somebody", own.request, own.partition))
            place.cancel(ReplyTo(own.client, f"{own.client}-99", own.partition))
            await until(lambda: place.completed() == ["long"], "the result")

    asyncio.run(go())


def test_leased_attempt_that_outlasts_the_drain_is_given_up_with_its_details(place: Place) -> None:
    @activity.define
    async def work(_name: str) -> None:
        for row in range(10_000):
            activity.heartbeat({"row": row})
            await asyncio.sleep(0.01)

    place.add([("long", "work", "x")])

    async def go() -> None:
        async with place.worker(work, drain_s=0.2):
            end = place.task_offsets()[-1] + 1
            await until(lambda: place.committed() == end, "the lease")

    asyncio.run(go())
    (started,) = place.records(AttemptStarted)
    (released,) = place.records(AttemptReleased)
    assert (released.run_id, released.activity_id, released.attempt) == ("run", 1, 1)
    assert released.lease == started.lease
    details = decode_payload(released.heartbeat_details)
    assert isinstance(details, dict)
    assert details["row"] > 10


def test_rebalance_runs_nothing_again_that_is_leased(place: Place) -> None:
    go_on = threading.Event()
    begun: list[str] = []

    @activity.define
    def wait(name: str) -> str:
        begun.append(name)
        go_on.wait()
        return name

    names = [f"long-{number}-{index}" for number in range(4) for index in range(3)]
    for number in range(4):
        place.add(
            [(name, "wait", name) for name in names if name.startswith(f"long-{number}-")],
            partition=number,
        )

    async def go() -> None:
        async with place.worker(wait, instance_id="a") as first:
            await until(
                lambda: all(
                    place.committed(number) == place.task_offsets(number)[-1] + 1
                    for number in range(4)
                ),
                "leases of all",
            )
            async with place.worker(wait, echo, instance_id="b") as second:
                await until(
                    lambda: len(first._feed._offsets) == len(second._feed._offsets) == 2,
                    "two partitions each",
                )
                for number in range(4):
                    place.add([(f"quick-{number}", "wait", f"quick-{number}")], partition=number)
                go_on.set()
                await until(lambda: len(place.completed()) == 16, "all results")

    try:
        asyncio.run(go())
    finally:
        go_on.set()
    assert sorted(begun) == sorted([*names, *(f"quick-{number}" for number in range(4))])
    assert sorted(place.completed()) == sorted(begun)
