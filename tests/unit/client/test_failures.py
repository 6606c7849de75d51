"""A log that fails now and then: what passes is waited for, what does not is told."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, cast

import pytest

from tests.unit.client.conftest import until
from tests.unit.client.flows import Order, echo
from tests.unit.client.owner import FakeOwner
from weft.client import Client
from weft.errors import DeadlineError, LogError, LogUnavailableError, RecordTooLargeError
from weft.log import DeliveryCallback, Headers, Log, LogRecord, Producer, Reader


class FlakyLog:
    """The log of a test, with errors that are used up one by one."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.refusals: list[LogError] = []
        """Raised by `produce`."""
        self.losses: list[LogError] = []
        """Told by delivery callbacks; the record is not written."""
        self.read_errors: list[LogError] = []
        """Raised by readers' `poll`."""
        self.end_errors: list[LogError] = []
        """Raised by readers' `read_to_end`."""
        self.threads: list[threading.Thread] = []
        """Where `produce` was called."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    def producer(self) -> FlakyProducer:
        return FlakyProducer(self, self.log.producer())

    def reader(self, *, committed: bool = True) -> FlakyReader:
        return FlakyReader(self, self.log.reader())


class FlakyProducer:
    def __init__(self, flaky: FlakyLog, producer: Producer) -> None:
        self._flaky = flaky
        self._producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        self._flaky.threads.append(threading.current_thread())
        if self._flaky.refusals:
            raise self._flaky.refusals.pop(0)
        if self._flaky.losses:
            assert on_delivery is not None
            on_delivery(self._flaky.losses.pop(0), partition, -1)
            return
        self._producer.produce(topic, partition, key, value, headers, on_delivery)


class FlakyReader:
    def __init__(self, flaky: FlakyLog, reader: Reader) -> None:
        self._flaky = flaky
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        if self._flaky.read_errors:
            raise self._flaky.read_errors.pop(0)
        return self._reader.poll(records_max, timeout_s)

    def read_to_end(self, offsets: Any, timeout_s: float, **options: Any) -> Any:
        if self._flaky.end_errors:
            raise self._flaky.end_errors.pop(0)
        return self._reader.read_to_end(offsets, timeout_s, **options)


@pytest.fixture
def flaky(log: Log) -> FlakyLog:
    return FlakyLog(log)


def client_of(flaky: FlakyLog) -> Client:
    return Client(cast("Log", flaky), namespace="desk")


GONE = LogUnavailableError("the broker is gone")


@pytest.mark.parametrize("where", ["refusals", "losses"])
def test_request_is_written_again_when_it_could_not_be_for_a_while(
    flaky: FlakyLog, owner: FakeOwner, where: str
) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            setattr(flaky, where, [GONE, GONE])
            handle = await client.start(echo, Order("A-1"), id="A-1")
            assert await handle.result() == Order("A-1")

    asyncio.run(scenario())
    assert flaky.refusals == flaky.losses == []


def test_loop_is_not_held_up_when_a_topic_is_failing(flaky: FlakyLog, owner: FakeOwner) -> None:
    """After a failure the log may look at its broker first: that happens in another thread."""

    async def scenario() -> None:
        async with client_of(flaky) as client:
            flaky.losses = [GONE]
            await client.execute(echo, Order("A-1"))
            flaky.losses = [GONE]
            flaky.refusals = []
            await client.execute(echo, Order("A-2"))

    asyncio.run(scenario())
    first, second, *others = flaky.threads
    assert first is threading.main_thread()
    assert second is not threading.main_thread()
    assert threading.main_thread() in others, "as soon as it works again, the loop writes by itself"


def test_error_in_the_other_thread_is_told_too(flaky: FlakyLog, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            flaky.losses = [GONE]
            flaky.refusals = []
            starting = asyncio.create_task(client.start(echo, Order("A-1")))
            await asyncio.sleep(0)
            flaky.refusals = [RecordTooLargeError("too large")]
            with pytest.raises(RecordTooLargeError):
                await starting

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["refusals", "losses"])
def test_request_fails_at_once_when_its_error_does_not_pass(
    flaky: FlakyLog, owner: FakeOwner, where: str
) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            setattr(flaky, where, [RecordTooLargeError("too large")])
            with pytest.raises(RecordTooLargeError):
                await client.start(echo, Order("A-1"))
            setattr(flaky, where, [RecordTooLargeError("too large")])
            with pytest.raises(RecordTooLargeError):
                await client.start(echo, Order("A-1"), confirm=False)
            assert client._session.connection.bridge.requests == {}

    asyncio.run(scenario())
    assert owner.requests == []


@pytest.mark.parametrize("where", ["refusals", "losses"])
def test_deadline_tells_why_the_record_was_not_written(flaky: FlakyLog, where: str) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            setattr(flaky, where, [GONE] * 1000)
            with pytest.raises(DeadlineError, match=r"\(the broker is gone\)\. It may be written"):
                await client.start(echo, Order("A-1"), wait_s=0.2)

    asyncio.run(scenario())


def test_replies_are_read_on_when_reading_failed_for_a_while(
    flaky: FlakyLog, owner: FakeOwner, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            flaky.read_errors = [GONE]
            told = "cannot reach its log at the moment: the broker is gone"
            await until(lambda: told in caplog.text)
            assert await client.execute(echo, Order("A-1")) == Order("A-1")

    with caplog.at_level(logging.WARNING, "weft.client"):
        asyncio.run(scenario())


def test_every_call_fails_when_reading_replies_fails_for_good(
    flaky: FlakyLog, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with client_of(flaky) as client:
            waiting = asyncio.create_task(client.execute("wait"))
            await asyncio.sleep(0)
            flaky.read_errors = [LogError("no more")]
            with pytest.raises(LogError, match="no more"):
                await waiting
            with pytest.raises(LogError, match="no more"):
                await client.execute(echo, Order("A-1"))

    asyncio.run(scenario())


def test_state_is_looked_at_again_when_it_could_not_be_read(
    log: Log, flaky: FlakyLog, caplog: pytest.LogCaptureFixture, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            await client.execute(echo, Order("A-1"), id="A-1")
        owner.replies_to_lose = 1_000_000
        async with client_of(flaky) as client:
            flaky.end_errors = [GONE]
            assert await client.handle("A-1", echo).result() == Order("A-1")

    with caplog.at_level(logging.WARNING, "weft.client"):
        asyncio.run(scenario())
    assert "could not be read: the broker is gone" in caplog.text


def test_thousand_waiting_calls_cost_few_reads_when_no_worker_is_up(
    log: Log, flaky: FlakyLog, owner: FakeOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read_to_end = FlakyReader.read_to_end

    def counted(self: FlakyReader, offsets: Any, timeout_s: float, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return read_to_end(self, offsets, timeout_s, **options)

    monkeypatch.setattr(FlakyReader, "read_to_end", counted)

    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            orders = [Order(f"A-{number}") for number in range(1000)]
            await asyncio.gather(*(client.execute(echo, order, id=order.id) for order in orders))
        owner.replies_to_lose = 1_000_000
        async with client_of(flaky) as client:
            handles = [client.handle(order.id, echo) for order in orders]
            assert await asyncio.gather(*(handle.result() for handle in handles)) == orders

    asyncio.run(scenario())
    assert reads < 100
