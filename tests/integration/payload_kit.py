"""What the tests of large payloads share: workflows, a log of either sort, a worker in this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from weft import activity, workflow
from weft.activity import Activity, Retry
from weft.client import Client, Handle
from weft.codec import is_stored, references_in
from weft.errors import UnknownWorkflowError
from weft.log import Log, open_log
from weft.records import Event
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker
from weft.workflow import Workflow

PARTITIONS = 4
PATIENCE_S = 60.0
LARGE_BYTES = 5_000_000
LARGE = "x" * LARGE_BYTES


@activity.define(retry=Retry(max_attempts=2, initial_interval=0.05))
async def stamp(document: str) -> str:
    return f"{document}!"


@activity.define
async def fill(length: int) -> str:
    return "x" * length


@workflow.define
async def echo(ctx: workflow.Context, document: str) -> dict[str, str]:
    """A large input, activity input, activity result, signal and result."""
    stamped = await ctx.execute_activity(stamp, document)
    more = await ctx.receive_signal("more", str)
    return {"stamped": stamped, "more": more}


@workflow.define
async def filled(ctx: workflow.Context, length: int) -> str:
    return await ctx.execute_activity(fill, length)


@workflow.define
async def stamped(ctx: workflow.Context, length: int) -> str:
    return await ctx.execute_activity(stamp, "x" * length)


@workflow.define
async def swollen(ctx: workflow.Context, length: int) -> str:
    return "x" * length


@workflow.define
async def collecting(ctx: workflow.Context, count: int) -> list[int]:
    """Many large results, one after the other; then it waits to be told to go on."""
    lengths: list[int] = []
    for _ in range(count):
        result = await ctx.execute_activity(fill, 800_000)
        lengths.append(len(result))
    await ctx.receive_signal("go")
    return lengths


WORKFLOWS: list[Workflow[Any, Any]] = [echo, filled, stamped, swollen, collecting]
ACTIVITIES: list[Activity[..., Any]] = [stamp, fill]


@dataclass
class Place:
    """One namespace on one log."""

    log: Log
    namespace: str
    address: str
    """Kafka's, or the file."""
    options: list[str]
    """What points a command at it."""

    def client(self, store: Any, **options: Any) -> Client:
        return Client(self.log, namespace=self.namespace, payload_store=store, **options)

    @contextmanager
    def serving(
        self, store: Any, *, workflows: bool = True, activities: bool = True, **options: Any
    ) -> Iterator[Worker]:
        """A worker in a thread of this process."""
        worker = Worker(
            self.log,
            namespace=self.namespace,
            workflows=WORKFLOWS if workflows else [],
            activities=ACTIVITIES if activities else [],
            queues=None if activities else [],
            payload_store=store,
            session_timeout_s=6.0,
            **options,
        )
        errors: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(worker.run())
            except BaseException as error:  # noqa: BLE001  # shown at the end
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(PATIENCE_S)
        assert errors == [], "no payload may stop a worker"


@contextmanager
def open_place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    if request.param == "embedded":
        address, namespace = str(folder / "log.weft"), "shop"
        log, options = open_log(embedded=address), ["--file", address, "--namespace", namespace]
    else:
        address = request.getfixturevalue("kafka_address")
        namespace = request.getfixturevalue("namespace")
        log, options = open_log(kafka=address), ["--kafka", address, "--namespace", namespace]
    with closing(log):
        admin = log.admin()
        create(admin, catalogue(Namespace(namespace), partitions=PARTITIONS))
        admin.close()
        yield Place(log, namespace, address, options)


def objects(url: str) -> list[str]:
    """Every file in a store, as paths from its root."""
    files, root = fsspec.core.url_to_fs(url)
    return sorted(path.removeprefix(root).strip("/") for path in files.find(root))


def references(events: list[Event]) -> list[str]:
    """The keys of what a history refers to."""
    return [stored.key for event in events for stored in references_in(event)]


def dangling(events: list[Event], url: str) -> set[str]:
    """What a history refers to and the store does not have."""
    return set(references(events)) - set(objects(url))


def payloads_of(events: list[Event]) -> list[Any]:
    return [
        payload
        for event in events
        for name in ("input", "result", "payload")
        if (payload := getattr(event, name, None)) is not None and not is_stored(payload)
    ]


async def until(condition: Callable[[], Any], what: str) -> None:
    for _ in range(int(PATIENCE_S / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


async def until_events(handle: Handle[Any], count: int) -> None:
    """Wait until the history has so many."""
    for _ in range(int(PATIENCE_S / 0.1)):
        if (await handle.describe()).event_count >= count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {count} events")


async def until_status(handle: Handle[Any], status: str) -> None:
    for _ in range(int(PATIENCE_S / 0.1)):
        with contextlib.suppress(UnknownWorkflowError):  # its start was not confirmed
            if await handle.status() == status:
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_S:g} s for status {status}")
