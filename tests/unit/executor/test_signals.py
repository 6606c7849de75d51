from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from weft.executor import ExecutorError, InMemorySignalChannel, Signal


def run(case: Callable[[InMemorySignalChannel], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await case(InMemorySignalChannel())

    return asyncio.run(bounded())


@pytest.mark.requirement("R1-25")
def test_signal_without_sender_and_payload_is_taken() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        await channel.send("wf-1", Signal("go"))
        received = await channel.receive("wf-1", "go")
        assert (received.name, received.payload, received.sender_id) == ("go", None, "")

    run(case)


@pytest.mark.parametrize(
    "call,text",
    [
        (lambda c: c.send("", Signal("go")), "workflow signal: workflowID cannot be empty"),
        (lambda c: c.send("wf-1", Signal("")), "workflow signal: signal name cannot be empty"),
        (lambda c: c.receive("", "go"), "workflow signal: workflowID cannot be empty"),
        (lambda c: c.receive("wf-1", ""), "workflow signal: signalName cannot be empty"),
    ],
)
def test_empty_name_is_refused(
    call: Callable[[InMemorySignalChannel], Awaitable[Any]], text: str
) -> None:
    with pytest.raises(ExecutorError) as caught:
        run(call)
    assert (str(caught.value), caught.value.code) == (text, "invalid_input")


@pytest.mark.requirement("R1-25")
def test_signal_that_was_sent_before_is_received_whole() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        before = datetime.now(UTC)
        await channel.send("wf-1", Signal("go", {"a": 1}, sender_id="me"))
        after = datetime.now(UTC)
        received = await channel.receive("wf-1", "go")
        assert (received.payload, received.sender_id) == ({"a": 1}, "me")
        assert before <= received.sent_at <= after

    run(case)


def test_time_of_sending_is_kept_when_it_is_given() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    async def case(channel: InMemorySignalChannel) -> None:
        await channel.send("wf-1", Signal("go", sent_at=at))
        assert (await channel.receive("wf-1", "go")).sent_at == at

    run(case)


def test_receiver_waits_for_a_signal() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        waiting = asyncio.ensure_future(channel.receive("wf-1", "go"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await channel.send("wf-1", Signal("go", 1))
        assert (await waiting).payload == 1

    run(case)


def test_receiver_that_gives_up_takes_no_signal() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        waiting = asyncio.ensure_future(channel.receive("wf-1", "go"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await channel.receive("wf-1", "go")
        await channel.send("wf-1", Signal("go", 1))
        assert (await channel.receive("wf-1", "go")).payload == 1
        assert channel._waiters == channel._signals == {}

    run(case)


def test_receiver_that_is_cancelled_when_it_is_woken_wakes_the_next() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        first = asyncio.ensure_future(channel.receive("wf-1", "go"))
        second = asyncio.ensure_future(channel.receive("wf-1", "go"))
        await asyncio.sleep(0)
        await channel.send("wf-1", Signal("go", 1))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).payload == 1

    run(case)


def test_signals_of_a_name_come_in_order_and_names_and_workflows_are_apart() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        for number in range(3):
            await channel.send("wf-1", Signal("go", number))
        await channel.send("wf-1", Signal("stop", "other name"))
        await channel.send("wf-2", Signal("go", "other workflow"))
        assert [(await channel.receive("wf-1", "go")).payload for _ in range(3)] == [0, 1, 2]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await channel.receive("wf-1", "go")
        assert (await channel.receive("wf-1", "stop")).payload == "other name"
        assert (await channel.receive("wf-2", "go")).payload == "other workflow"

    run(case)


def test_every_signal_is_received_once_when_many_send_at_once() -> None:
    async def case(channel: InMemorySignalChannel) -> None:
        async def send(sender: int) -> None:
            for number in range(5):
                await channel.send("wf-1", Signal("go", (sender, number)))

        receiving = [asyncio.ensure_future(channel.receive("wf-1", "go")) for _ in range(50)]
        await asyncio.gather(*(send(sender) for sender in range(10)))
        received = [signal.payload for signal in await asyncio.gather(*receiving)]
        assert sorted(received) == [(sender, number) for sender in range(10) for number in range(5)]

    run(case)


def test_signal_reaches_a_receiver_on_another_threads_loop() -> None:
    channel = InMemorySignalChannel()
    received: list[object] = []

    def receive() -> None:
        received.append(asyncio.run(channel.receive("wf-1", "go")).payload)

    thread = threading.Thread(target=receive)
    thread.start()
    asyncio.run(channel.send("wf-1", Signal("go", 7)))
    thread.join(10)
    assert received == [7]
