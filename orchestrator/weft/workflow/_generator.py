"""Generator workflows: `result = yield ctx.call_activity(...)`, driven by the same loop as async ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from typing import Any, TypeVar, cast

from weft.errors import UsageError
from weft.workflow._closing import abandon
from weft.workflow._futures import WorkflowTask

T = TypeVar("T")


async def drive(generator: Generator[Any, Any, Any]) -> Any:
    """Run a generator as a coroutine: what it yields is awaited, results and errors go back in."""
    try:
        return await _drive(generator)
    finally:
        abandon(generator)


async def _drive(generator: Generator[Any, Any, Any]) -> Any:
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            wanted = generator.send(answer) if error is None else generator.throw(error)
        except StopIteration as stop:
            return stop.value
        answer, error = None, None
        if not isinstance(wanted, Awaitable):
            error = UsageError(
                f"a workflow yielded {wanted!r}: yield what the context returns, "
                "such as ctx.call_activity(...) or ctx.when_all([...])"
            )
            continue
        try:
            answer = await wanted
        except (Exception, asyncio.CancelledError) as problem:  # noqa: BLE001  # the workflow may handle any of them
            error = problem


def when_all(tasks: Sequence[Any]) -> WorkflowTask[list[Any]]:
    """All results, in the order given. Fails with the first failure."""
    return _task(_all(tasks))


def when_any(tasks: Sequence[Any]) -> WorkflowTask[Any]:
    """The first of the tasks that is done; of several, the first in the order given."""
    return _task(_any(tasks))


def _task(combined: Coroutine[Any, Any, T]) -> WorkflowTask[T]:
    """A task, so that it can be given to `when_any` again and be asked for `get_result()`."""
    return cast("WorkflowTask[T]", asyncio.get_running_loop().create_task(combined))


async def _all(tasks: Sequence[Any]) -> list[Any]:
    return await asyncio.gather(*tasks)


async def _any(tasks: Sequence[Any]) -> Any:
    if not tasks:
        raise UsageError("when_any needs at least one task")
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return next(task for task in tasks if task.done())
