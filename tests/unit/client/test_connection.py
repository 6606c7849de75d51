"""Opening, closing, and what comes over the connection that should not."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any, assert_type

import pytest

from tests.unit.client.conftest import NAMES, PARTITIONS, until
from tests.unit.client.flows import Order, echo, wait
from tests.unit.client.owner import FakeOwner
from weft.client import Client, Handle
from weft.codec import encode
from weft.errors import LogError, TopicError, UsageError
from weft.log import Log, TopicSpec, open_log
from weft.records import Reply
from weft.topics import catalogue, partition_of


def test_client_connects_to_a_file(path: Path, log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client.connect(embedded=path, namespace="desk") as client:
            assert await client.execute(echo, Order("A-1")) == Order("A-1")

    asyncio.run(scenario())


def test_missing_topics_are_named_with_the_command_that_makes_them(path: Path) -> None:
    log = open_log(embedded=path)
    admin = log.admin()
    specs = catalogue(NAMES, partitions=PARTITIONS)
    admin.create_topics([spec for spec in specs if spec.name not in {NAMES.state, NAMES.replies}])
    admin.close()

    async def scenario() -> None:
        with pytest.raises(TopicError) as caught:
            await Client(log, namespace="desk").open()
        assert "has no topic desk.state, desk.replies," in str(caught.value)
        assert "weft topics create --namespace desk" in str(caught.value)

    asyncio.run(scenario())
    log.close()


def test_topics_with_different_partition_counts_are_refused(path: Path) -> None:
    log = open_log(embedded=path)
    admin = log.admin()
    admin.create_topics([TopicSpec(NAMES.replies, PARTITIONS + 1)])
    admin.create_topics(catalogue(NAMES, partitions=PARTITIONS))
    admin.close()

    async def scenario() -> None:
        with pytest.raises(TopicError, match="different numbers of partitions"):
            await Client(log, namespace="desk").open()

    asyncio.run(scenario())
    log.close()


def test_file_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(UsageError, match="no embedded log at"):
            async with Client.connect(embedded=tmp_path / "typo.weft"):
                pass

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def test_client_needs_exactly_one_log() -> None:
    with pytest.raises(UsageError, match="give one of them"):
        Client.connect()
    with pytest.raises(UsageError, match="give one of them"):
        Client.connect(kafka="127.0.0.1:9092", embedded="desk.weft")
    with pytest.raises(UsageError, match="namespace"):
        Client.connect(kafka="127.0.0.1:9092", namespace="no spaces")


def test_log_needs_exactly_one_backend(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither was given"):
        open_log()
    with pytest.raises(UsageError, match="both were given"):
        open_log(kafka="127.0.0.1:9092", embedded=tmp_path / "desk.weft")
    with pytest.raises(UsageError, match="kafka_config"):
        open_log(embedded=tmp_path / "desk.weft", kafka_config={"sasl.username": "x"})
    assert list(tmp_path.iterdir()) == []


def test_client_must_be_open(log: Log) -> None:
    async def scenario() -> None:
        client = Client(log, namespace="desk")
        for call in (client.start("echo"), client.execute("echo"), client.list()):
            with pytest.raises(UsageError, match="not open"):
                await call
        with pytest.raises(UsageError, match="not open"):
            client.handle("A-1")
        async with client:
            handle = client.handle("A-1")
            with pytest.raises(UsageError, match="open already"):
                await client.open()
        for call in (handle.result(), handle.signal("go"), handle.describe()):
            with pytest.raises(UsageError, match="not open"):
                await call
        await client.close()

    asyncio.run(scenario())


def test_closing_ends_what_waits_and_every_thread(log: Log, owner: FakeOwner) -> None:
    before = threading.active_count()

    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            waiting = asyncio.create_task(handle.result())
            await until(lambda: owner.runs["A-1"].waiters)
        with pytest.raises(UsageError, match="is closed"):
            await waiting

    asyncio.run(scenario())
    assert threading.active_count() == before


def test_replies_of_others_and_broken_ones_are_passed_over(
    log: Log, owner: FakeOwner, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            key = client._session.client_id.encode()
            partition = partition_of(key, PARTITIONS)
            producer = log.producer()
            others = encode(Reply("1", "ended", "other", "completed"))
            for record_key, value in (
                (b"another client", others),
                (None, others),
                (key, b"not json"),
                (key, None),
                (key, encode(Reply("999", "accepted"))),
            ):
                producer.produce(NAMES.replies, partition, record_key, value)
            assert producer.flush(10) == 0
            producer.close()
            assert await client.execute(echo, Order("A-1")) == Order("A-1")

    with caplog.at_level(logging.WARNING, "weft.client"):
        asyncio.run(scenario())
    assert sum("malformed" in message for message in caplog.messages) == 2


def test_waiting_calls_end_when_the_connection_breaks_for_good(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            waiting = asyncio.create_task(handle.result())
            await until(lambda: owner.runs["A-1"].waiters)
            admin = log.admin()
            admin.delete_topics([NAMES.replies])
            admin.close()
            with pytest.raises(TopicError, match=r"desk\.replies"):
                await waiting
            with pytest.raises(LogError):
                await handle.signal("go")

    asyncio.run(scenario())


def test_types_of_results_follow_the_workflow(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            assert_type(await client.start(echo, Order("A-1"), id="A-1"), Handle[Order])
            assert_type(await client.execute(echo, Order("A-1")), Order)
            assert_type(await client.start("echo", 1), Handle[Any])
            assert_type(client.handle("A-1", echo), Handle[Order])
            assert_type(client.handle("A-1"), Handle[Any])
            assert_type(await client.start(wait), Handle[str])
            with pytest.raises(UsageError):
                await client.start(echo, 12)  # type: ignore[misc]
            with pytest.raises(UsageError):
                await client.start(echo)  # type: ignore[arg-type]

    asyncio.run(scenario())
