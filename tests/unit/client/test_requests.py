"""Signal, cancel, terminate, purge: once, also when they are asked twice, and with a clear no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.client.flows import Order, blocked, echo, wait
from tests.unit.client.owner import FakeOwner
from weft.client import Client, Handle
from weft.errors import DeadlineError, RefusedError, UnknownWorkflowError, UsageError
from weft.log import Log
from weft.records import SignalReceived, SignalWorkflow

Ask = Callable[[Handle[object]], Awaitable[object]]

ALL: list[Ask] = [
    lambda handle: handle.signal("go"),
    lambda handle: handle.cancel(),
    lambda handle: handle.terminate(),
    lambda handle: handle.purge(),
    lambda handle: handle.unblock(),
]
each = pytest.mark.parametrize(
    "ask", ALL, ids=["signal", "cancel", "terminate", "purge", "unblock"]
)


@each
def test_request_says_so_when_there_is_no_such_workflow(
    log: Log, owner: FakeOwner, ask: Ask
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UnknownWorkflowError, match="no workflow 'A-1'"):
                await ask(client.handle("A-1"))

    asyncio.run(scenario())


@each
def test_request_is_durable_and_says_so_when_no_worker_is_up(
    log: Log, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = client.handle("A-1")
            original = handle._session.ask
            monkeypatch.setattr(
                handle._session,
                "ask",
                lambda address, make, _wait_s, what: original(address, make, 0.1, what),
            )
            with pytest.raises(DeadlineError, match=r"workflow 'A-1' is durable at desk\.signals-"):
                await ask(handle)

    asyncio.run(scenario())


@pytest.mark.parametrize("ask", ALL[:3], ids=["signal", "cancel", "terminate"])
def test_request_is_refused_when_the_run_has_ended(log: Log, owner: FakeOwner, ask: Ask) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(echo, Order("A-1"), id="A-1")
            with pytest.raises(RefusedError, match=r"'A-1' was refused: .* has ended"):
                await ask(handle)

    asyncio.run(scenario())


@pytest.mark.parametrize("ask", ALL[1:4], ids=["cancel", "terminate", "purge"])
def test_request_succeeds_when_its_first_reply_was_lost(
    log: Log, owner: FakeOwner, ask: Ask
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            if ask is ALL[3]:
                await client.execute(echo, Order("A-1"), id="A-1")
            else:
                await client.start(wait, id="A-1")
            owner.replies_to_lose = 1
            await ask(client.handle("A-1"))

    asyncio.run(scenario())
    assert len(owner.requests) > 2


def test_signal_is_received_once_when_it_is_sent_twice_with_one_id(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            await handle.signal("item", {"n": 1}, id="item-1")
            await handle.signal("item", {"n": 1}, id="item-1")
            await handle.signal("item", {"n": 2})
            await handle.signal("item", {"n": 2})
            received = [
                event for event in await handle.history() if isinstance(event, SignalReceived)
            ]
            assert [bytes(event.payload) for event in received] == [
                b'{"n":1}',
                b'{"n":2}',
                b'{"n":2}',
            ]
            assert len({event.signal_id for event in received}) == 3

    asyncio.run(scenario())


def test_signal_succeeds_when_it_ended_the_run_and_its_reply_was_lost(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            owner.replies_to_lose = 1
            await handle.signal("finish", "done")
            assert await handle.result() == "done"

    asyncio.run(scenario())


def test_signal_is_refused_when_another_ended_the_run_meanwhile(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            await handle.signal("finish", "done")
            owner.replies_to_lose = 1
            with pytest.raises(RefusedError, match="Signal 'late' to workflow 'A-1' was refused"):
                await handle.signal("late")

    asyncio.run(scenario())


def test_signal_is_on_its_way_at_once_when_it_need_not_be_confirmed(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            await handle.signal("finish", "done", confirm=False)
            assert await handle.result() == "done"
            await client.handle("nobody").signal("finish", confirm=False)

    asyncio.run(scenario())
    signals = [request for request in owner.requests if isinstance(request, SignalWorkflow)]
    assert all(signal.reply_to is None for signal in signals)


def test_signal_is_refused_at_once_when_it_cannot_be(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UsageError, match="needs a name"):
                await client.handle("A-1").signal("")
            with pytest.raises(UsageError, match="cannot be stored"):
                await client.handle("A-1").signal("go", object())
            with pytest.raises(UsageError, match="must not be empty"):
                client.handle("")

    asyncio.run(scenario())
    assert owner.requests == []


def test_purge_is_refused_when_the_run_is_open(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            await client.start(wait, id="A-1")
            with pytest.raises(RefusedError, match="was refused: only ended workflows"):
                await client.purge("A-1")

    asyncio.run(scenario())


def test_unblocking_says_how_the_run_stands_or_why_it_stays_blocked(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(blocked, id="A-1")
            with pytest.raises(RefusedError, match=r"'A-1' was refused: it is still blocked: Its"):
                await handle.unblock()
            assert await handle.unblock() == "running"
            with pytest.raises(RefusedError, match=r"refused: it is running, not blocked"):
                await handle.unblock()

    asyncio.run(scenario())


def test_unblocking_succeeds_when_its_first_reply_was_lost(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(blocked, id="A-1")
            with pytest.raises(RefusedError):
                await handle.unblock()
            owner.replies_to_lose = 1
            assert await handle.unblock() == "running"

    asyncio.run(scenario())
