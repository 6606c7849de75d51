"""The client on a real Kafka: with a worker, without one, and with the broker gone."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from deploy.kafka.broker import start_broker

from weft import workflow
from weft.client import Client
from weft.errors import (
    AlreadyStartedError,
    DeadlineError,
    LogUnavailableError,
    RefusedError,
    TopicError,
    UnknownWorkflowError,
    WorkflowFailedError,
)
from weft.log import Log, TransactionalProducer, last, open_log
from weft.topics import Namespace, catalogue, create, partition_of
from weft.worker import Worker

pytestmark = pytest.mark.kafka

PARTITIONS = 4


@workflow.define
async def double(_ctx: workflow.Context, number: int) -> int:
    return 2 * number


@workflow.define
async def approval(ctx: workflow.Context) -> str:
    ctx.on_query("waits for")(lambda: "approval")
    return await ctx.receive_signal("approval", str)


@contextmanager
def serving(log: Log, namespace: str) -> Iterator[None]:
    """A workflow worker in a thread of this process."""
    worker = Worker(log, namespace=namespace, workflows=[double, approval])
    thread = threading.Thread(target=lambda: asyncio.run(worker.run()))
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(60)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.requirement("R1-17", "R1-18", "R1-25", "R3-7", "R3-8", "R3-10", "R3-11", "R3-12")
def test_workflows_are_started_signalled_ended_and_looked_at_over_kafka_alone(
    kafka_address: str, kafka_log: Log, topics: Namespace
) -> None:
    async def scenario() -> None:
        async with Client.connect(kafka=kafka_address, namespace=topics.name) as client:
            assert await client.execute(double, 21, id="double") == 42

            handle = await client.start(approval, id="approval", wait_s=30)
            assert await handle.status() == "running"
            with pytest.raises(AlreadyStartedError):
                await client.start(approval, id="approval")
            assert [found.workflow_id for found in await client.list()] == ["approval", "double"]
            waiting = asyncio.create_task(handle.result())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await handle.signal("approval", "by Ada")
            assert await waiting == "by Ada"
            description = await handle.describe()
            assert (description.status, description.result) == ("completed", "by Ada")
            names = [type(event).__name__ for event in await handle.history()]
            assert names == ["WorkflowStarted", "SignalReceived", "WorkflowCompleted"]

            ended = await client.start(approval, id="ended")
            await ended.terminate("enough")
            with pytest.raises(WorkflowFailedError, match="was terminated: enough"):
                await ended.result()
            cancelled = await client.start(approval, id="cancelled")
            await cancelled.cancel("never mind")
            with pytest.raises(WorkflowFailedError, match="was cancelled"):
                await cancelled.result()

            with pytest.raises(WorkflowFailedError, match="timed out: not done within 300 ms"):
                await client.execute(approval, id="late", timeout=timedelta(milliseconds=300))

            await client.purge("double")
            with pytest.raises(UnknownWorkflowError):
                await client.handle("double").result()
            assert await client.purge_ended(timedelta(hours=1)) == 0
            assert await client.purge_ended() == 4
            assert await client.list() == []

    with serving(kafka_log, topics.name):
        asyncio.run(scenario())


@pytest.mark.requirement("R1-5", "R3-8")
def test_query_is_answered_over_kafka(kafka_log: Log, topics: Namespace) -> None:
    """By whoever serves the run, and with nothing of it in the history."""

    async def ask() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = client.handle("asked")
            assert await handle.query("waits for", hint=str, timeout_s=30) == "approval"
            with pytest.raises(RefusedError, match="answers no query 'size'"):
                await handle.query("size")
            with pytest.raises(UnknownWorkflowError):
                await client.handle("nobody").query("size")
            assert len(await handle.history()) == 1

    async def start_and_ask() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start(approval, id="asked", wait_s=30)
        await ask()

    with serving(kafka_log, topics.name):
        asyncio.run(start_and_ask())
    with serving(kafka_log, topics.name):
        asyncio.run(ask())


@pytest.mark.requirement("R3-9", "R3-33")
def test_run_is_suspended_and_resumed_over_kafka(kafka_log: Log, topics: Namespace) -> None:
    """It stays so under another worker, and takes up then what came meanwhile."""

    async def suspend() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(approval, id="held", wait_s=30)
            await handle.suspend("the vault is being counted")
            await handle.signal("approval", "by Ada")
            with pytest.raises(DeadlineError, match=r"is suspended \(the vault .*weft resume held"):
                await handle.result(timeout=2)

    async def resume() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = client.handle("held")
            description = await handle.describe()
            assert (description.status, description.reason) == (
                "suspended",
                "the vault is being counted",
            )
            await handle.resume(timeout_s=30)
            assert await handle.result() == "by Ada"
            with pytest.raises(RefusedError, match="there is nothing to suspend"):
                await handle.suspend()

    with serving(kafka_log, topics.name):
        asyncio.run(suspend())
    with serving(kafka_log, topics.name):
        asyncio.run(resume())


def test_run_is_seen_to_have_ended_when_that_was_told_before_readers_are_shown_it(
    kafka_log: Log, topics: Namespace
) -> None:
    """A commit is confirmed before its partitions know. Here it lies behind another transaction, to the same effect."""

    async def scenario(ahead: TransactionalProducer) -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            handle = await client.start(approval, id="told", wait_s=30)
            assert await handle.status() == "running"
            ahead.begin()
            number = partition_of(b"told", PARTITIONS)
            ahead.append(topics.state, number, b"\0aborted", b"")
            with closing(kafka_log.reader(committed=False)) as reader:
                reader.assign({(topics.state, number): last(1)})
                while reader.poll(1, 30)[0].key != b"\0aborted":
                    reader.assign({(topics.state, number): last(1)})
            await handle.signal("approval", "by Ada")
            assert await handle.result() == "by Ada"
            aborting = threading.Timer(0.3, ahead.abort, [30.0])
            aborting.start()
            status, history, listed = await asyncio.gather(
                handle.status(), handle.history(), client.list("completed")
            )
            aborting.join()
            assert (status, len(history)) == ("completed", 3)
            assert [found.workflow_id for found in listed] == ["told"]

    with closing(kafka_log.transactional_producer(f"{topics.name}-ahead")) as ahead:
        ahead.fence(30)
        with serving(kafka_log, topics.name):
            asyncio.run(scenario(ahead))


def test_executes_are_served_by_the_thousand_over_kafka(kafka_log: Log, topics: Namespace) -> None:
    async def scenario() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            results = await asyncio.gather(*(client.execute(double, n) for n in range(2000)))
            assert results == [2 * number for number in range(2000)]

    with serving(kafka_log, topics.name):
        asyncio.run(scenario())


def test_start_is_taken_up_later_when_no_worker_was_there(
    kafka_log: Log, topics: Namespace
) -> None:
    async def scenario() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            with pytest.raises(
                DeadlineError, match=r"durable at .*\.signals-\d@\d+, but no worker"
            ):
                await client.start(double, 4, id="early", request_id="request-1", wait_s=2)
            with serving(kafka_log, topics.name):
                handle = await client.start(
                    double, 4, id="early", request_id="request-1", wait_s=30
                )
                assert await handle.result() == 8
            # Nobody is there now: the result is read from the state.
            assert await client.handle("early", double).result(timeout=30) == 8

    asyncio.run(scenario())


def test_missing_topics_are_named(kafka_address: str, namespace: str) -> None:
    async def scenario() -> None:
        with pytest.raises(TopicError, match=f"topics create --namespace {namespace}") as caught:
            async with Client.connect(kafka=kafka_address, namespace=namespace):
                pass
        assert f"{namespace}.signals, {namespace}.state" in str(caught.value)

    asyncio.run(scenario())


def test_unreachable_broker_is_named_within_a_bounded_time() -> None:
    address = f"127.0.0.1:{unused_port()}"

    async def scenario() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(LogUnavailableError, match=address):
                async with Client.connect(kafka=address):
                    pass

    asyncio.run(scenario())


def test_client_goes_on_when_the_broker_was_gone_for_a_while() -> None:
    """A call ends at its deadline, the event loop is not held up, and what was asked twice is done once."""
    pauses_s: list[float] = []

    async def beat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            pauses_s.append(time.monotonic() - began)

    async def scenario(log: Log) -> None:
        async with Client(log) as client:
            with serving(log, "default"):
                assert await client.execute(double, 1, id="one", wait_s=30) == 2
            cluster.kill()
            beating = asyncio.create_task(beat())
            with pytest.raises(DeadlineError, match=f"not confirmed by kafka {cluster.address}"):
                await client.start(double, 5, id="five", request_id="five", wait_s=3)
            beating.cancel()
            assert max(pauses_s) < 2
            cluster.restart()
            with serving(log, "default"):
                handle = await client.start(double, 5, id="five", request_id="five", wait_s=60)
                assert await handle.result() == 10
                assert len(await handle.history()) == 2

    with start_broker() as cluster:
        log = open_log(kafka=cluster.address)
        admin = log.admin()
        create(admin, catalogue(Namespace("default"), partitions=2))
        admin.close()
        asyncio.run(scenario(log))
        log.close()
