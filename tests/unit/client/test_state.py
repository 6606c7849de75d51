"""Looking at workflows: what the state topic says, with or without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.client.conftest import NAMES, PARTITIONS
from tests.unit.client.flows import Order, blocked, echo, fail, wait
from tests.unit.client.owner import FAILURE, FakeOwner
from weft.client import ActivityDescription, Client, TimerDescription
from weft.errors import CorruptRecordError, LogError, UnknownWorkflowError, UsageError
from weft.log import FROM_START, Log
from weft.records import Event, SignalReceived, WorkflowStarted
from weft.topics import partition_of

NewOwner = Callable[[], AbstractContextManager[FakeOwner]]


def overwrite(log: Log, key: bytes, value: bytes | None) -> None:
    producer = log.producer()
    producer.produce(NAMES.state, partition_of(key.partition(b"\0")[0], PARTITIONS), key, value)
    assert producer.flush(10) == 0
    producer.close()


def last_values(log: Log) -> dict[bytes, bytes | None]:
    reader = log.reader()
    offsets = {(NAMES.state, partition): FROM_START for partition in range(PARTITIONS)}
    values = {record.key or b"": record.value for record in reader.read_to_end(offsets, 10)}
    reader.close()
    return values


def test_description_tells_what_an_open_run_waits_for(log: Log, new_owner: NewOwner) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                handle = await client.start(wait, id="A-1", timeout=3600)
            found = await handle.describe()
            assert (found.workflow_id, found.run_id) == ("A-1", handle.run_id)
            assert (found.workflow, found.version, found.status) == ("wait", "1", "running")
            assert before <= found.created <= found.updated <= datetime.now(UTC)
            assert found.deadline == found.created + timedelta(hours=1)
            assert (found.event_count, found.reason) == (3, "")
            assert (found.input, found.result, found.failure) == (None, None, None)
            charge = ActivityDescription(1, "charge", "default", 1, 3, waiting=False, due=None)
            assert found.activities == (charge,)
            assert found.timers == (
                TimerDescription(2, datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)),
            )

    asyncio.run(scenario())


def test_description_tells_how_a_run_ended(log: Log, new_owner: NewOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                done = await client.start(echo, Order("A-1", 7), id="A-1")
                failed = await client.start(fail, id="A-2")
                stuck = await client.start(blocked, id="A-3")
            found = await done.describe()
            assert found.status == await done.status() == "completed"
            assert found.input == found.result == {"id": "A-1", "amount": 7}
            found = await failed.describe()
            assert (found.status, found.failure) == ("failed", FAILURE)
            found = await stuck.describe()
            assert (found.status, found.reason) == ("blocked", "Its code asked for something else.")

    asyncio.run(scenario())


def test_history_is_whole_when_it_lies_in_pages(log: Log, new_owner: NewOwner) -> None:
    async def scenario() -> list[Event]:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                old = await client.start(wait, id="A-1")
                await old.signal("finish")
                handle = await client.start(wait, id="A-1")
                for number in range(5):
                    await handle.signal("item", number)
            with pytest.raises(UnknownWorkflowError, match="newer run"):
                await client.handle("A-1", run_id=old.run_id).history()
            return await handle.history()

    events = asyncio.run(scenario())
    assert [event.event_id for event in events] == list(range(1, 9))
    assert isinstance(events[0], WorkflowStarted)
    received = [bytes(event.payload) for event in events if isinstance(event, SignalReceived)]
    assert received == [b"0", b"1", b"2", b"3", b"4"]


def test_unknown_workflow_has_no_state(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = client.handle("A-1")
            for look in (handle.describe, handle.history, handle.status):
                with pytest.raises(UnknownWorkflowError, match="no workflow 'A-1'"):
                    await look()

    asyncio.run(scenario())


def test_list_is_filtered_and_has_the_newest_first(log: Log, new_owner: NewOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                for number in range(4):
                    await client.execute(echo, Order("x"), id=f"done-{number}")
                    await asyncio.sleep(0.002)
                await client.start(wait, id="open")
            everything = await client.list()
            assert [found.workflow_id for found in everything] == [
                "open",
                "done-3",
                "done-2",
                "done-1",
                "done-0",
            ]
            assert everything == sorted(everything, key=lambda found: found.created, reverse=True)
            (found,) = await client.list(status="running")
            assert (found.workflow_id, found.workflow, found.event_count) == ("open", "wait", 3)
            assert found == everything[0]
            assert await client.list(workflow="wait") == [found]
            assert await client.list(limit=2) == everything[:2]
            assert await client.list(status="completed", limit=1) == everything[1:2]
            assert await client.list(status="failed") == []
            assert await client.list(limit=0) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("options", [{"status": "done"}, {"limit": -1}])
def test_list_refuses_what_cannot_be_asked(log: Log, options: dict[str, object]) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UsageError):
                await client.list(**options)  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_purged_workflow_has_left_tombstones_only(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            await handle.signal("finish")
            assert len([key for key in last_values(log) if key.startswith(b"A-1")]) > 2
            await handle.purge()
            with pytest.raises(UnknownWorkflowError):
                await handle.describe()
            with pytest.raises(UnknownWorkflowError):
                await handle.result()
            assert await client.list() == []

    asyncio.run(scenario())
    values = last_values(log)
    assert values
    assert set(values.values()) == {None}


def test_old_ended_workflows_are_purged_and_counted(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            for number in range(5):
                await client.execute(echo, Order("x"), id=f"done-{number}")
            await client.start(wait, id="open")
            assert await client.purge_ended(timedelta(hours=1)) == 0
            assert await client.purge_ended() == 5
            assert [found.workflow_id for found in await client.list()] == ["open"]
            assert await client.purge_ended() == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("value", [b"not json", b'{"kind":"head","v":1}', b'{"kind":"page"}'])
def test_broken_state_record_is_named(log: Log, owner: FakeOwner, value: bytes) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(echo, Order("x"), id="A-1")
            overwrite(log, b"A-1", value)
            for look in (handle.describe, handle.status, client.list):
                with pytest.raises(CorruptRecordError, match=r"desk\.state-\d@\d+"):
                    await look()

    asyncio.run(scenario())


def test_missing_page_is_named(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            overwrite(log, f"A-1\0{handle.run_id}\x000".encode(), None)
            with pytest.raises(LogError, match="is incomplete: its page 0 of 1 is missing"):
                await handle.history()

    asyncio.run(scenario())
