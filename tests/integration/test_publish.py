"""Records that workflows publish, on either log, as any consumer of committed records reads them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from tests.support.serving import make_topics, serving
from weft import activity, workflow
from weft.client import Client
from weft.errors import RecordTooLargeError
from weft.log import FROM_START, Log, LogRecord, TopicSpec
from weft.topics import partition_of
from weft.workflow import Context

PARTITIONS = 3


@activity.define
async def work(number: int) -> int:
    return number


@workflow.define
async def announce(ctx: Context, topic: str) -> list[str]:
    told = []
    for number in range(4):
        await ctx.publish(topic, key=f"k{number}", value={"n": number}, headers={"n": str(number)})
        if number == 1:
            await ctx.receive_signal("go")
        await ctx.execute_activity(work, number)
    try:
        await ctx.publish(topic, value="x" * 1_100_000)
    except RecordTooLargeError as error:
        told.append(type(error).__name__)
    ctx.publish(topic, key="k0", value=None)
    return told


def make_topic(log: Log, topic: str) -> None:
    admin = log.admin()
    admin.create_topics([TopicSpec(topic, PARTITIONS)])
    admin.close()


def read(log: Log, topic: str) -> list[LogRecord]:
    reader = log.reader()
    try:
        starts: Mapping[tuple[str, int], int] = {(topic, n): FROM_START for n in range(PARTITIONS)}
        return list(reader.read_to_end(starts, 20.0, undecided_s=10.0))
    finally:
        reader.close()


@pytest.fixture
def topic(log: Log, namespace: str) -> str:
    """The engine's topics, and the name of one that is not made yet."""
    make_topics(log, namespace)
    return f"{namespace}-news"


@pytest.mark.requirement("R3-14")
def test_each_record_is_there_once_when_workers_change(
    log: Log, namespace: str, topic: str
) -> None:
    make_topic(log, topic)

    async def run() -> None:
        async with Client(log, namespace=namespace) as client:
            async with serving(log, namespace, [announce], [work], instance_id="w1"):
                handle = await client.start(announce, topic, id="a", wait_s=30)
                await asyncio.to_thread(_wait_for, log, topic, 2)
            async with serving(log, namespace, [announce], [work], instance_id="w1"):
                await handle.signal("go")
                assert await handle.result(timeout=30) == ["RecordTooLargeError"]

    asyncio.run(run())
    records = read(log, topic)
    of_key: dict[bytes | None, list[LogRecord]] = {}
    for record in records:
        of_key.setdefault(record.key, []).append(record)
        assert record.partition == partition_of(record.key or b"", PARTITIONS)
    assert [(one.value, dict(one.headers)) for one in of_key[b"k0"]] == [
        (b'{"n":0}', {"n": b"0"}),
        (None, {}),
    ]
    assert [one.value for n in (1, 2, 3) for one in of_key[b"k%d" % n]] == [
        b'{"n":%d}' % n for n in (1, 2, 3)
    ]
    assert len(records) == 5


def _wait_for(log: Log, topic: str, count: int) -> None:
    while len(read(log, topic)) < count:
        time.sleep(0.1)


def test_missing_topic_blocks_its_run_alone_and_it_goes_on_when_the_topic_is_made(
    log: Log, namespace: str, topic: str
) -> None:
    @workflow.define
    async def other(ctx: Context) -> int:
        return await ctx.execute_activity(work, 7)

    async def run() -> None:
        async with (
            Client(log, namespace=namespace) as client,
            serving(log, namespace, [announce, other], [work]),
        ):
            handle = await client.start(announce, topic, id="a", wait_s=30)
            assert await client.execute(other, wait_s=30) == 7
            described = await handle.describe()
            assert described.status == "blocked"
            assert f"There is no topic {topic} to publish to" in described.reason
            await asyncio.to_thread(make_topic, log, topic)
            await handle.signal("go")
            assert await handle.unblock() == "running"
            assert await handle.result(timeout=30) == ["RecordTooLargeError"]

    asyncio.run(run())
    assert len(read(log, topic)) == 5


def test_topic_that_is_deleted_under_its_publisher_blocks_the_run_and_not_the_worker(
    log: Log, namespace: str, topic: str
) -> None:
    """What was looked up holds no more: the transaction fails, and the next try looks again."""
    make_topic(log, topic)

    async def run() -> None:
        async with (
            Client(log, namespace=namespace) as client,
            serving(log, namespace, [announce], [work]) as (_worker, task),
        ):
            handle = await client.start(announce, topic, id="a", wait_s=30)
            await asyncio.to_thread(_wait_for, log, topic, 2)
            admin = log.admin()
            await asyncio.to_thread(admin.delete_topics, [topic])
            admin.close()
            await handle.signal("go", confirm=False)
            async with asyncio.timeout(90):
                while await handle.status() != "blocked":  # noqa: ASYNC110  # there is nobody to tell it
                    await asyncio.sleep(0.1)
            assert not task.done()
            assert "no topic" in (await handle.describe()).reason

    asyncio.run(run())
