"""Generator workflows: `result = yield ctx.call_activity(...)`, driven by the same loop as async ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Sequence
from typing import Any

from weft.errors import UsageError


async def drive(generator: Generator[Any, Any, Any]) -> Any:
    """Run a generator as a coroutine: what it yields is awaited, results and errors go back in."""
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
                f"a workflow yielded {wanted!r}: yield what the context returns (ctx.call_activity(...), ctx.when_all([...]))"
            )
            continue
        try:
            answer = await wanted
        except (Exception, asyncio.CancelledError) as problem:  # noqa: BLE001  # the workflow may handle any of them
            error = problem


def when_all(tasks: Sequence[Any]) -> Awaitable[list[Any]]:
    """All results, in the order given."""
    return asyncio.gather(*tasks)


async def when_any(tasks: Sequence[Any]) -> Any:
    """The first of the tasks that is done; of several, the first in the order given."""
    if not tasks:
        raise UsageError("when_any needs at least one task")
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return next(task for task in tasks if task.done())
