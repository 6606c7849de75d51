"""A worker in the test's own process, on any log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from weft.activity import Activity
from weft.log import Log
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker
from weft.workflow import Workflow

PATIENCE_S = 60.0


def make_topics(log: Log, namespace: str, partitions: int = 1) -> None:
    admin = log.admin()
    create(admin, catalogue(Namespace(namespace), partitions=partitions))
    admin.close()


@contextlib.asynccontextmanager
async def serving(
    log: Log,
    namespace: str,
    workflows: Iterable[Workflow[Any, Any]],
    activities: Iterable[Activity[..., Any]] = (),
    **options: Any,
) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    """A worker that is ready, and the task that it runs in. It is stopped afterwards; what ended it comes out here."""
    worker = Worker(
        log, namespace=namespace, workflows=workflows, activities=activities, drain_s=5.0, **options
    )
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: worker.ready or task.done(), "the worker to be ready")
        yield worker, task
    finally:
        worker.stop()
        await task


async def until(condition: Any, what: str) -> None:
    """Look until it holds, in small steps."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # threads and other processes make it true
            await asyncio.sleep(0.01)
    assert condition(), what
