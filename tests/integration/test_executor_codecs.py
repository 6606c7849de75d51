"""The kafka executor with codecs, on both logs: no plaintext on any topic, and what happens without the key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_log import everything_on
from weft import activity
from weft.engine import KafkaExecutor
from weft.errors import ActivityError, PayloadDecodeError, UsageError
from weft.executor import Config, ExecutorError, Hooks, RetryPolicy, Signal, WorkflowOptions, new
from weft.log import Log
from weft.payloads import Compression, Encryption, PayloadCodec

SECRET = "Aleksanterinkatu-1"
WAIT_S = 60.0
NOISE = "".join(sha256(bytes([number])).hexdigest() for number in range(100))
"""Nothing makes it much smaller: it goes to the payload store."""
calls: list[str] = []


def codecs(key_id: str) -> list[PayloadCodec]:
    keys = {"old": bytes(range(32)), "new": bytes(range(32, 64))}
    return [Compression(500), Encryption({key_id: keys[key_id]})]


@activity.define
async def look_up(customer: str) -> dict[str, str]:
    """Goes over a queue."""
    return {"address": customer}


async def charge(customer: str) -> str:
    """Runs in the worker of workflows."""
    calls.append(customer)
    return f"charged {customer}"


async def refuse(customer: str) -> None:
    raise ValueError(f"{customer} is refused")


async def order(ctx: Any, customer: str) -> Any:
    ctx.on_query("customer")(lambda: {"name": customer})
    found = await ctx.execute_activity(look_up, customer)
    charged = await ctx.execute_activity(charge, found["address"], retry=RetryPolicy(2))
    refused = ""
    try:
        await ctx.execute_activity(refuse, customer)
    except ActivityError as error:
        refused = error.message
    approved = await ctx.receive_signal("approved")
    return [charged, refused, approved, customer + NOISE]


def expected(approved: Any) -> list[Any]:
    return [f"charged {SECRET}", f"{SECRET} is refused", approved, SECRET + NOISE]


async def until(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """What it gives, or raises as an executor's error, as soon as that is wanted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                found = await look()
            except ExecutorError as error:
                found = error
            if wanted(found):
                return found
            await asyncio.sleep(0.05)


def test_nothing_that_an_executor_was_given_is_readable_on_the_log(
    log: Log, namespace: str, tmp_path: Path
) -> None:
    told: list[Any] = []
    store = str(tmp_path / "payloads")
    where: dict[str, Any] = {"log": log, "namespace": namespace, "payload_store": store}
    options = {**where, "payload_codecs": codecs("old"), "payload_bytes_max": 2_000}
    hooks = Hooks(on_signal=lambda _, signal: told.append(signal.payload))
    extra = {**options, "partitions": 2, "activities": [look_up]}

    async def run() -> None:
        executor = new("kafka", Config(workflows=[order], hooks=hooks, extra=extra))
        assert isinstance(executor, KafkaExecutor)
        async with (
            asyncio.timeout(WAIT_S),
            executor,
            KafkaExecutor(**options, worker=False) as other,
            KafkaExecutor(**where, worker=False) as stranger,
        ):
            handle = await executor.execute(order, WorkflowOptions(id="o-1", input=SECRET))
            assert await other.query("o-1", "customer") == {"name": SECRET}
            with pytest.raises(PayloadDecodeError, match="with key 'old', which this process has"):
                await stranger.query("o-1", "customer")
            await other.signal("o-1", Signal("approved", {"by": SECRET}))
            assert await handle.result() == expected({"by": SECRET})
            assert await other.query("o-1", "result") == expected({"by": SECRET})
            assert await stranger.query("o-1", "status") == "completed"
            with pytest.raises(PayloadDecodeError, match="with key 'old', which this process has"):
                await stranger.query("o-1", "result")

    asyncio.run(run())
    assert told == [{"by": SECRET}]
    records = everything_on(log, namespace)
    assert {topic.removeprefix(f"{namespace}.") for topic, _ in records} >= {
        "signals", "results", "state", "tasks.default", "events", "replies",
    }  # fmt: skip
    assert [topic for topic, content in records if SECRET.encode() in content] == []
    stored = [path.read_bytes() for path in Path(store).rglob("*") if path.is_file()]
    assert stored
    assert not any(SECRET.encode() in content for content in stored)


def test_workflow_waits_for_an_executor_with_its_key_and_loses_nothing(
    log: Log, namespace: str
) -> None:
    calls.clear()

    def executor(key_id: str) -> KafkaExecutor:
        return KafkaExecutor(
            log=log,
            namespace=namespace,
            partitions=2,
            workflows=[order],
            activities=[look_up],
            payload_codecs=codecs(key_id),
        )

    async def run() -> None:
        async with executor("old") as first:
            await first.execute(order, WorkflowOptions(id="o-1", input=SECRET))
            await until(lambda: first.query("o-1", "customer"), lambda _: calls == [SECRET])
        async with executor("new") as keyless:
            error = await until(
                lambda: keyless.query("o-1", "customer"),
                lambda found: "no key 'old'" in str(found),
            )
            assert isinstance(error, ExecutorError)
            assert "o-1" in str(error)
            assert await keyless.query("o-1", "status") == "running"
        async with executor("old") as last:
            await last.signal("o-1", Signal("approved", "Ada"))
            await until(lambda: last.query("o-1", "status"), "completed".__eq__)
            assert await last.query("o-1", "result") == expected("Ada")

    asyncio.run(run())
    assert calls == [SECRET]


def test_what_is_no_codec_is_refused_when_the_executor_is_made() -> None:
    with pytest.raises(UsageError, match="is no payload codec"):
        KafkaExecutor(embedded="x", payload_codecs=["zstd"])  # type: ignore[list-item]
