"""Encrypted payloads on both logs: no plaintext on any topic, keys that change under way, and what happens without."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_log import everything_on
from weft import activity, workflow
from weft.activity import Retry
from weft.client import Client
from weft.errors import (
    ActivityError,
    Failure,
    PayloadDecodeError,
    UpdateRejectedError,
    WorkflowFailedError,
)
from weft.log import Log
from weft.payloads import Compression, Encryption, PayloadCodec
from weft.records import ActivityFailed, ActivityRetryScheduled
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker

SECRET = "Aleksanterinkatu-1"
PATIENCE_S = 30.0
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PARTITIONS = 2
NOISE = "".join(uuid.uuid4().hex for _ in range(200))
"""Nothing makes it smaller."""


@activity.define
async def look_up(customer: str) -> dict[str, str]:
    activity.heartbeat([customer])
    return {"address": customer, "more": customer * 40}


@activity.define(retry=Retry(max_attempts=2, initial_interval=0.01), inline=True)
async def reject(customer: str) -> None:
    activity.heartbeat([customer])
    raise Failure(f"{customer} is rejected", type="Rejected", details={"customer": customer})


@workflow.define
async def greeting(ctx: workflow.Context, customer: str) -> str:
    """Sends back what its parent sends."""
    return customer + await ctx.receive_signal("word", str)


@workflow.define
async def onboarding(ctx: workflow.Context, customer: str) -> list[Any]:
    @ctx.on_query("customer")
    def on_customer(suffix: str) -> str:
        return customer + suffix

    def check(name: str) -> None:
        if name != customer:
            raise ValueError(f"{customer} is not {name}")

    @ctx.on_update("rename", validator=check)
    def rename(name: str) -> str:
        return f"{name} is no longer {customer}"

    ctx.set_status({"customer": customer})
    found = await ctx.execute_activity(look_up, customer)
    try:
        await ctx.execute_activity(reject, customer)
    except ActivityError as error:
        rejected = [error.message, error.details]
    else:
        rejected = []
    greeter = await ctx.start_child(greeting, customer)
    await greeter.signal("word", f"!{customer}")
    greeted = await greeter
    approved = await ctx.receive_signal("approved", dict[str, str])
    if approved["by"] == "nobody":
        raise Failure(f"nobody knows {customer}", details=[customer])
    return [found["address"], rejected, greeted, approved["by"], customer * 100]


EXPECTED = [
    SECRET,
    [f"{SECRET} is rejected", {"customer": SECRET}],
    f"{SECRET}!{SECRET}",
    SECRET,
    SECRET * 100,
]


def codecs(key_id: str = "old", **keys: bytes) -> list[PayloadCodec]:
    return [Compression(500), Encryption(keys or {"old": OLD}, key_id)]


@pytest.fixture
def namespace(log: Log) -> Namespace:
    names = Namespace(f"codecs-{uuid.uuid4().hex[:8]}")
    with closing(log.admin()) as admin:
        create(admin, catalogue(names, partitions=PARTITIONS))
    return names


@contextmanager
def serving(log: Log, namespace: Namespace, **options: Any) -> Iterator[Worker]:
    """A worker in a thread of this process, ready."""
    code = {"workflows": [onboarding, greeting], "activities": [look_up, reject]}
    given: dict[str, Any] = code | options
    worker = Worker(log, namespace=namespace.name, session_timeout_s=6.0, **given)
    thread = threading.Thread(target=lambda: asyncio.run(worker.run()))
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE_S)


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.05)


def test_nothing_of_an_encrypted_run_is_readable_on_the_log(
    log: Log,
    namespace: Namespace,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = str(tmp_path / "payloads")
    options: dict[str, Any] = {
        "payload_codecs": codecs(),
        "payload_store": store,
        "payload_bytes_max": 2_000,
    }

    async def scenario() -> None:
        async with Client(log, namespace=namespace.name, **options) as client:
            handle = await client.start(onboarding, SECRET, id="o-1")
            failing = await client.start(onboarding, SECRET, id="o-2")
            renamed = await handle.update("rename", SECRET, hint=str)
            assert renamed == f"{SECRET} is no longer {SECRET}"
            with pytest.raises(UpdateRejectedError, match=f"{SECRET} is not {SECRET}!"):
                await handle.update("rename", f"{SECRET}!")
            await handle.signal("approved", {"by": SECRET})
            await failing.signal("approved", {"by": "nobody", "note": SECRET + NOISE})
            assert await handle.result(PATIENCE_S) == EXPECTED
            with pytest.raises(WorkflowFailedError, match=f"nobody knows {SECRET}") as failure:
                await failing.result(PATIENCE_S)
            assert failure.value.details == [SECRET]
            assert (await handle.describe()).custom_status == {"customer": SECRET}
            listed = {one.workflow_id: one for one in await client.list()}
            assert listed["o-1"].custom_status == {"customer": SECRET}
            events = await handle.history(full=True)
            [retried] = [event for event in events if isinstance(event, ActivityRetryScheduled)]
            [rejected] = [event for event in events if isinstance(event, ActivityFailed)]
            assert SECRET in retried.failure.message
            assert SECRET in rejected.failure.message
        async with Client(log, namespace=namespace.name, payload_store=store) as stranger:
            seen = await stranger.handle("o-1").describe()
            assert SECRET not in json.dumps([seen.input, seen.result, seen.custom_status])
            assert "$weft.encoded" in seen.input
            with pytest.raises(PayloadDecodeError, match="'aes-gcm' with key 'old', which this"):
                await stranger.handle("o-1").result(PATIENCE_S)
            with pytest.raises(WorkflowFailedError, match="encrypted with key old"):
                await stranger.handle("o-2").result(PATIENCE_S)
            with pytest.raises(PayloadDecodeError):
                await stranger.handle("o-1").history(full=True)

    caplog.set_level(logging.DEBUG)
    with serving(log, namespace, **options):
        asyncio.run(scenario())
    records = everything_on(log, namespace.name)
    assert {topic.removeprefix(f"{namespace.name}.") for topic, _ in records} >= {
        "signals", "results", "state", "tasks.default", "events", "replies", "messages",
    }  # fmt: skip
    assert [topic for topic, content in records if SECRET.encode() in content] == []
    stored = [path.read_bytes() for path in Path(store).rglob("*") if path.is_file()]
    assert stored
    assert not any(SECRET.encode() in content for content in stored)
    for key in (OLD, NEW):
        assert key.hex() not in caplog.text


def test_keys_are_rotated_while_runs_are_under_way(log: Log, namespace: Namespace) -> None:
    """First every process learns the new key, then all write with it, and at last the old one goes."""
    steps = [
        codecs("old", old=OLD),
        codecs("old", old=OLD, new=NEW),
        codecs("new", old=OLD, new=NEW),
    ]

    async def begin(step: int) -> None:
        async with Client(log, namespace=namespace.name, payload_codecs=steps[step]) as client:
            for number in range(step + 1):
                handle = await client.start(
                    onboarding, SECRET, id=f"o-{number}", on_conflict="use_existing"
                )
                await until(partial(handle.query, "customer", "", hint=str))

    for step, chain in enumerate(steps):
        with serving(log, namespace, payload_codecs=chain):
            asyncio.run(begin(step))

    async def end() -> None:
        async with Client(log, namespace=namespace.name, payload_codecs=steps[-1]) as client:
            for number in range(len(steps)):
                handle = client.handle(f"o-{number}", onboarding)
                await handle.signal("approved", {"by": SECRET})
                assert await handle.result(PATIENCE_S) == EXPECTED

    with serving(log, namespace, payload_codecs=steps[-1]):
        asyncio.run(end())


def test_run_waits_blocked_for_the_key_wherever_it_is_missing(
    log: Log, namespace: Namespace
) -> None:
    """In the worker of its activities, then in the worker of its workflow; nothing is run, nothing is lost."""
    chain = codecs()
    calls: list[str] = []

    @activity.define(name="look_up", retry=Retry(max_attempts=1))
    async def counted(customer: str) -> dict[str, str]:
        calls.append(customer)
        return {"address": customer, "more": ""}

    async def blocked(client: Client, why: str) -> str:
        async def look() -> str:
            found = await client.handle("o-1").describe()
            return found.reason if found.status == "blocked" and why in found.reason else ""

        return str(await until(look))

    async def begin() -> str:
        async with Client(log, namespace=namespace.name, payload_codecs=chain) as client:
            await client.start(onboarding, SECRET, id="o-1")
            return await blocked(client, "look_up")

    with contextlib.ExitStack() as stack:
        engine = {"activities": [reject], "payload_codecs": chain}
        stack.enter_context(serving(log, namespace, **engine))
        stack.enter_context(
            serving(log, namespace, workflows=[], activities=[counted], payload_codecs=[])
        )
        reason = asyncio.run(begin())
    assert "could not read the input of activity look_up" in reason
    assert "workflow 'o-1'" in reason
    assert "'aes-gcm' with key 'old', which this process has not" in reason
    assert calls == []

    async def end() -> None:
        async with Client(log, namespace=namespace.name, payload_codecs=chain) as client:
            handle = client.handle("o-1", onboarding)
            await handle.signal("approved", {"by": SECRET})
            assert await handle.result(PATIENCE_S) == EXPECTED

    async def look() -> str:
        async with Client(log, namespace=namespace.name, payload_codecs=chain) as client:
            return await blocked(client, "no key 'old' here (there are: new)")

    # Its workers are asked first without the key, and then, started anew, with it.
    with serving(
        log, namespace, activities=[counted, reject], payload_codecs=codecs("new", new=NEW)
    ):
        assert "workflow 'o-1'" in asyncio.run(look())
    with serving(log, namespace, activities=[counted, reject], payload_codecs=chain):
        asyncio.run(end())
    assert calls == [SECRET]
