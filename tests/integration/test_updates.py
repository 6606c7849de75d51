"""Updates on either log: checked, taken up once and answered, with workers that come, go and die."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.flows import basket, stopping
from tests.support.serving import make_topics, serving
from tests.support.workers import lines, wait_until, worker
from weft.client import Client, UpdateDescription
from weft.errors import (
    DeadlineError,
    RefusedError,
    UnknownWorkflowError,
    UpdateFailedError,
    UpdateRejectedError,
    UsageError,
)
from weft.log import Log
from weft.records import UpdateAccepted, UpdateCompleted

pytestmark = pytest.mark.requirement("R1-5", "R3-8")


@pytest.fixture
def names(log: Log, namespace: str) -> str:
    make_topics(log, namespace)
    return namespace


def test_update_is_checked_taken_up_and_answered(log: Log, names: str) -> None:
    async def run() -> None:
        async with (
            Client(log, namespace=names) as client,
            serving(log, names, [basket], instance_id="w1"),
        ):
            handle = await client.start(basket, id="b-1", wait_s=30)
            assert await handle.update("add", "pen", hint=int, timeout=30) == 1
            with pytest.raises(UpdateRejectedError, match="pen is there already") as rejected:
                await handle.update("add", "pen")
            assert (rejected.value.reason, rejected.value.type) == (
                "pen is there already",
                "ValueError",
            )
            with pytest.raises(UpdateRejectedError, match=r"takes no update 'sell' \(it takes: "):
                await handle.update("sell")
            with pytest.raises(UpdateRejectedError, match="does not fit"):
                await handle.update("add", 5)
            with pytest.raises(UpdateFailedError, match="failed with ValueError") as failed:
                await handle.update("drop", "ink")
            assert failed.value.type == "ValueError"
            with pytest.raises(UsageError, match="is not"):
                await handle.update("drop", "pen", hint=int)
            with pytest.raises(UnknownWorkflowError):
                await client.handle("nobody").update("add", "pen")
            with pytest.raises(UsageError, match="1 to 255 characters"):
                await handle.update("")
            story = [type(event).__name__ for event in await handle.history()]
            assert story == [
                "WorkflowStarted",
                *("UpdateAccepted", "UpdateCompleted"),
                *("UpdateAccepted", "UpdateFailed"),
                *("UpdateAccepted", "UpdateCompleted"),
            ]
            await handle.signal("close")
            with pytest.raises(RefusedError, match=r"has ended \(completed\)"):
                await handle.update("add", "ink")
            with pytest.raises(RefusedError, match=r"has ended \(completed\)"):
                await handle.update("add", "ink", id="u-9")

    asyncio.run(run())


def test_outcome_is_told_again_under_its_id_by_other_workers_and_after_the_end(
    log: Log, names: str
) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [basket], instance_id="w1"):
                handle = await client.start(basket, id="b-1", wait_s=30)
                assert await handle.update("add", "pen", id="u-1", timeout=30) == 1
                assert await handle.update("add", "ink", id="u-2", wait="accepted") == "u-2"
            sending = asyncio.create_task(handle.update("add", "nib", id="u-3", timeout=60))
            async with serving(log, names, [basket], instance_id="w1"):
                assert await sending == 3, "it waited on the log for a worker"
                assert await handle.update("add", "pen", id="u-1", timeout=30) == 1
                never = asyncio.create_task(handle.update("wait", id="u-4", timeout=30))
                await asyncio.sleep(0)  # so that it is the first of the two
                assert await handle.update("wait", id="u-5", wait="accepted") == "u-5"
                await handle.signal("close")
                with pytest.raises(UpdateFailedError, match="has ended") as lost:
                    await never
                assert lost.value.type == "WorkflowEnded"
                assert await handle.result(timeout=30) == ["pen", "ink", "nib"]
                assert await handle.update("add", "pen", id="u-1", timeout=30) == 1
                assert await handle.update("add", "ink", id="u-2", wait="accepted") == "u-2"
                with pytest.raises(UpdateFailedError, match="has ended"):
                    await handle.update("wait", id="u-5")

    asyncio.run(run())


def test_description_tells_the_updates_in_flight(log: Log, names: str) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [basket], instance_id="w1"):
                handle = await client.start(basket, id="b-1", wait_s=30)
                assert await handle.update("add", "pen", timeout=30) == 1
                for update_id in ("u-1", "u-2"):
                    await handle.update("wait", id=update_id, wait="accepted", timeout=30)
            found = await handle.describe()  # needs no worker
            accepted = [event for event in await handle.history() if event.event_id > 3]
            assert found.updates == tuple(
                UpdateDescription(
                    f"u-{number}", "wait", "accepted", datetime.fromtimestamp(at / 1000, UTC)
                )
                for number, at in enumerate((event.time_ms for event in accepted), 1)
            )
            async with serving(log, names, [basket], instance_id="w1"):
                await handle.signal("close")
                await handle.result(timeout=30)
            assert (await handle.describe()).updates == ()

    asyncio.run(run())


def test_suspended_run_keeps_an_update_and_its_client_is_told(log: Log, names: str) -> None:
    async def run() -> None:
        async with (
            Client(log, namespace=names) as client,
            serving(log, names, [basket], instance_id="w1"),
        ):
            handle = await client.start(basket, id="b-1", wait_s=30)
            await handle.suspend()
            with pytest.raises(DeadlineError, match="is kept until the workflow is resumed"):
                await handle.update("add", "pen", id="u-1", timeout=3)
            (kept,) = (await handle.describe()).updates  # a copy of it says nothing new
            assert (kept.update_id, kept.update, kept.status) == ("u-1", "add", "kept")
            waiting = asyncio.create_task(handle.update("add", "pen", id="u-1", timeout=30))
            await asyncio.sleep(0.1)
            assert (await handle.describe()).updates == (kept,)
            await handle.resume()
            assert await waiting == 1
            assert (await handle.describe()).updates == ()

    asyncio.run(run())


def test_update_in_flight_when_its_worker_is_killed_is_done_once(
    log: Log, names: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Killed when the handler's activity is under way, and again when it is not yet asked for."""
    notes, hold = tmp_path / "notes", tmp_path / "hold"
    env = {"FLOWS_LOG": str(notes), "FLOWS_HOLD": str(hold)}
    hold.touch()
    options = [*_place(request, tmp_path), "--namespace", names, "--instance-id", "w1"]

    async def run() -> Sequence[Any]:
        async with Client(log, namespace=names) as client:
            with worker(*options, env=env) as running:
                handle = await client.start(stopping, id="s-1", wait_s=60)
                first = asyncio.create_task(handle.update("hold", "one", id="u-1", timeout=60))
                await asyncio.to_thread(
                    wait_until, lambda: "s-1 one begun" in lines(notes), "the activity has begun"
                )
                running.kill()
                second = asyncio.create_task(handle.update("hold", "two", id="u-2", timeout=60))
                hold.unlink()
                running.restart()
                assert await first == ["one done"]
                assert sorted(await second) == ["one done", "two done"]
                assert await handle.update("hold", "one", id="u-1", timeout=60) == ["one done"]
                await handle.update("stop", timeout=60)
                assert len(await handle.result(timeout=60)) == 2
                return await handle.history()

    history = asyncio.run(run())
    accepted = [event.update_id for event in history if isinstance(event, UpdateAccepted)]
    completed = [event.update_id for event in history if isinstance(event, UpdateCompleted)]
    assert sorted(accepted) == sorted(completed)
    assert accepted[:2] == ["u-1", "u-2"]
    assert len(accepted) == 3


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if "kafka" in request.node.callspec.id:
        return ["--kafka", request.getfixturevalue("kafka_address")]
    return ["--file", str(tmp_path / "log.weft")]
