"""Starting: confirmed, conflicting, repeated, refused, and without anybody there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.client.conftest import NAMES, PARTITIONS, until
from tests.unit.client.flows import Order, echo, wait
from tests.unit.client.owner import FakeOwner
from weft.client import Client
from weft.codec import decode_signals
from weft.errors import AlreadyStartedError, DeadlineError, UsageError, WorkflowFailedError
from weft.log import FROM_START, Log, LogRecord
from weft.records import AwaitResult, StartWorkflow

NewOwner = Callable[[], AbstractContextManager[FakeOwner]]


def written(log: Log, topic: str) -> list[LogRecord]:
    reader = log.reader()
    offsets = {(topic, partition): FROM_START for partition in range(PARTITIONS)}
    records = list(reader.read_to_end(offsets, 10))
    reader.close()
    return records


def test_start_returns_a_handle_whose_result_has_the_declared_type(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(
                echo, Order("A-1", 12), id="A-1", timeout=timedelta(hours=1)
            )
            assert handle.id == "A-1"
            assert handle.run_id == owner.runs["A-1"].run.run_id
            assert await handle.result() == Order("A-1", 12)
            assert owner.runs["A-1"].run.timeout_ms == 3_600_000

    asyncio.run(scenario())


def test_start_by_name_gives_plain_json(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start("echo", Order("A-1", 12))
            assert await handle.result() == {"id": "A-1", "amount": 12}
            assert len(handle.id) == 16

    asyncio.run(scenario())


def test_start_is_refused_when_a_run_is_open(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            first = await client.start(wait, id="A-1")
            with pytest.raises(AlreadyStartedError, match="use_existing") as caught:
                await client.start(wait, id="A-1")
            assert caught.value.run_id == first.run_id
            assert first.run_id in str(caught.value)

    asyncio.run(scenario())


def test_start_joins_the_open_run_when_it_is_told_to(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            first = await client.start(wait, id="A-1")
            second = await client.start(wait, id="A-1", on_conflict="use_existing")
            assert second.run_id == first.run_id
            await first.signal("finish", "done")
            assert await second.result() == "done"

    asyncio.run(scenario())


def test_start_ends_the_open_run_when_it_is_told_to(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            first = await client.start(wait, id="A-1")
            waiting = asyncio.create_task(first.result())
            await until(lambda: owner.runs["A-1"].waiters)
            second = await client.start(wait, id="A-1", on_conflict="terminate_existing")
            assert second.run_id != first.run_id
            with pytest.raises(WorkflowFailedError, match="was terminated: replaced by a new run"):
                await waiting

    asyncio.run(scenario())


@pytest.mark.parametrize("workflow_id", ["A-1", None])
def test_start_is_one_run_when_it_is_repeated_under_one_request_id(
    log: Log, owner: FakeOwner, workflow_id: str | None
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            first = await client.start(wait, id=workflow_id, request_id="request-1")
            second = await client.start(wait, id=workflow_id, request_id="request-1")
            assert (second.id, second.run_id) == (first.id, first.run_id)
            await first.signal("finish", "done")
            assert await client.execute(wait, id=workflow_id, request_id="request-1") == "done"

    asyncio.run(scenario())


@pytest.mark.parametrize("lost", [1, 3])
def test_start_is_confirmed_when_replies_were_lost(log: Log, owner: FakeOwner, lost: int) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            owner.replies_to_lose = lost
            handle = await client.start(wait, id="A-1")
            assert handle.run_id == owner.runs["A-1"].run.run_id

    asyncio.run(scenario())
    starts = [request for request in owner.requests if isinstance(request, StartWorkflow)]
    assert len(starts) > lost
    assert len({start.request_id for start in starts}) == 1, "so that it is one run"


@pytest.mark.parametrize(
    "options,text",
    [
        ({"input": {"id": 1}}, r"workflow echo, input: .*`\$\.id`"),
        ({"input": object()}, "cannot be stored"),
        ({"input": Order("A-1"), "on_conflict": "replace"}, "on_conflict='replace' cannot be"),
        ({"input": Order("A-1"), "timeout": -1}, "timeout=-1 is no duration"),
        ({"input": Order("A-1"), "timeout": "1h"}, "timeout='1h' is no duration"),
        ({"input": Order("A-1"), "id": "a\0b"}, "control characters"),
        ({"workflow": "", "input": 1}, "'' is no workflow"),
        ({"workflow": print, "input": 1}, "is no workflow"),
    ],
)
def test_start_writes_nothing_when_it_is_given_what_cannot_be(
    log: Log, options: dict[str, Any], text: str
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UsageError, match=text):
                await client.start(**{"workflow": echo, **options})

    asyncio.run(scenario())
    assert written(log, NAMES.signals) == []


def test_start_says_where_the_record_is_when_no_worker_confirms(log: Log) -> None:
    async def scenario() -> str:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(DeadlineError) as caught:
                await client.start(echo, Order("A-1"), id="A-1", wait_s=0.1)
            return str(caught.value)

    text = asyncio.run(scenario())
    place = re.search(r"durable at desk\.signals-(\d)@(\d+), but no worker confirmed", text)
    assert place is not None, text
    records = written(log, NAMES.signals)
    found = [(record.partition, record.offset) for record in records]
    assert (int(place[1]), int(place[2])) == found[0]
    assert "within 0.1 s" in text
    assert "Is a worker running for namespace desk on embedded desk.weft?" in text
    assert {record.value for record in records} == {records[0].value}, "asked again word for word"
    request = decode_signals(records[0].value)
    assert isinstance(request, StartWorkflow)
    assert f"id='A-1' (--id) and request_id='{request.request_id}' (--request-id)" in text


def test_start_is_refused_when_its_id_is_empty(log: Log) -> None:
    """An unset variable of a shell must not become a workflow with an ID that nobody chose."""

    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UsageError, match="must not be empty"):
                await client.start(echo, Order("A-1"), id="")
        assert written(log, NAMES.signals) == []

    asyncio.run(scenario())


def test_start_returns_at_once_when_it_need_not_be_confirmed(log: Log, new_owner: NewOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(echo, Order("A-1"), id="A-1", confirm=False)
            assert handle.run_id == ""
            (record,) = written(log, NAMES.signals)
            assert record.key == b"A-1"
            with new_owner():
                assert await handle.result() == Order("A-1")
            assert handle.run_id

    asyncio.run(scenario())


def test_result_is_the_new_run_s_when_an_earlier_one_had_ended(
    log: Log, new_owner: NewOwner
) -> None:
    """Nobody has taken up the start yet: the state and the owner's first answers are about the earlier run."""

    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                assert await client.execute(echo, Order("old"), id="A-1") == Order("old")
            handle = await client.start(echo, Order("new"), id="A-1", confirm=False)
            with pytest.raises(DeadlineError, match="no worker confirmed"):
                await handle.result(timeout=0.3)
            with new_owner() as owner:
                assert await handle.result() == Order("new")
                assert not any(isinstance(request, AwaitResult) for request in owner.requests)

    asyncio.run(scenario())


def test_conflict_comes_out_in_the_result_when_the_start_was_not_confirmed(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            await client.start(wait, id="A-1")
            handle = await client.start(wait, id="A-1", confirm=False)
            with pytest.raises(AlreadyStartedError):
                await handle.result()

    asyncio.run(scenario())
