"""Shapes of tasks: what `asyncio` offers for doing several things at once."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.property.corpus.activities import backwards
from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DrivenRun
from weft import workflow
from weft.errors import ActivityError
from weft.workflow import Context


async def pick_one(ctx: Context, line: Any) -> Any:
    return await ctx.execute_activity(pick, line)


@workflow.define
async def gathered_coroutines(ctx: Context) -> Any:
    return await asyncio.gather(*(pick_one(ctx, line) for line in range(5)))


@workflow.define
async def first_completed(ctx: Context) -> Any:
    """The common way to write it: a loop over the set of what is still pending."""
    tasks = [asyncio.create_task(pick_one(ctx, line)) for line in range(8)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return [tasks.index(task) for task in done]


def first_completed_script(run: DrivenRun) -> None:
    run.complete(4, "fourth")
    assert run.story.count("ActivityCancelled") == 7


@workflow.define
async def first_exception(ctx: Context) -> Any:
    futures = [ctx.execute_activity(pick, line) for line in range(6)]
    done, pending = await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
    for future in pending:
        future.cancel()
    return [len(done), len(pending)]


def first_exception_script(run: DrivenRun) -> None:
    run.complete(6)
    run.complete(1)
    run.fail_for_good(3)


@workflow.define
async def waited_with_timeout(ctx: Context) -> Any:
    futures = [ctx.execute_activity(pick, line) for line in range(4)]
    done, pending = await asyncio.wait(futures, timeout=60)
    return [len(done), sorted(futures.index(future) for future in pending)]


def waited_with_timeout_script(run: DrivenRun) -> None:
    run.complete(2)
    run.advance(60_000)


@workflow.define
async def as_completed_coroutines(ctx: Context) -> Any:
    """Left to itself, asyncio makes tasks of them in the order of a set."""
    coroutines = [pick_one(ctx, line) for line in range(8)]
    return [await earliest for earliest in asyncio.as_completed(coroutines)]


@workflow.define
async def as_completed_futures(ctx: Context) -> Any:
    futures = [ctx.execute_activity(pick, line) for line in range(8)]
    return [await earliest for earliest in asyncio.as_completed(futures)]


@workflow.define
async def as_completed_timeout(ctx: Context) -> Any:
    futures = [ctx.execute_activity(pick, line) for line in range(3)]
    found = []
    try:
        for earliest in asyncio.as_completed(futures, timeout=10):
            found.append(await earliest)  # noqa: PERF401  # what was found until then is wanted
    except TimeoutError:
        return [found, [future.done() for future in futures]]
    return "no timeout"


def as_completed_timeout_script(run: DrivenRun) -> None:
    run.complete(2, "b")
    run.advance(10_000)


@workflow.define
async def group(ctx: Context) -> Any:
    async with asyncio.TaskGroup() as tasks:
        picks = [tasks.create_task(pick_one(ctx, line)) for line in range(4)]
        paid = tasks.create_task(_pay(ctx))
    return [[task.result() for task in picks], paid.result()]


async def _pay(ctx: Context) -> int:
    return await ctx.execute_activity(charge, 5)


def group_script(run: DrivenRun) -> None:
    for activity_id in (5, 2, 4, 1, 3):
        run.complete(activity_id, activity_id)


@workflow.define
async def failing_group(ctx: Context) -> Any:
    """The group cancels the other tasks in the order of a set."""
    found: list[str] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for line in range(8):
                tasks.create_task(pick_one(ctx, line))
    except* ActivityError as errors:
        found = [error.type for error in errors.exceptions if isinstance(error, ActivityError)]
        await ctx.execute_activity(refund, 1)
    return found


def failing_group_script(run: DrivenRun) -> None:
    run.complete(3)
    run.fail_for_good(5, "OutOfStock")
    assert run.open == ["refund"]
    assert run.story.count("ActivityCancelled") == 6
    run.complete("refund", 1)


@workflow.define
async def cancelled_task(ctx: Context) -> Any:
    """A task that is cancelled cleans up, with an activity, before it is over."""
    cleaned = []

    async def careful() -> None:
        try:
            await ctx.execute_activity(pick, "long")
        finally:
            cleaned.append(await ctx.execute_activity(refund, 3))

    task = asyncio.create_task(careful())
    await ctx.execute_activity(charge, 1)
    task.cancel("not needed")
    try:
        await task
    except asyncio.CancelledError:
        return [cleaned, task.cancelled()]
    return "not cancelled"


def cancelled_task_script(run: DrivenRun) -> None:
    run.complete("charge", 1)
    assert run.open == ["refund"]
    run.complete("refund", 3)


@workflow.define
async def shielded(ctx: Context) -> Any:
    """The wait is cancelled, what is waited for is not."""
    payment = ctx.execute_activity(charge, 1)
    try:
        async with asyncio.timeout(1):
            await asyncio.shield(payment)
    except TimeoutError:
        return ["late", await payment]
    return "in time"


def shielded_script(run: DrivenRun) -> None:
    run.advance(1000)
    assert run.open == ["charge"]
    run.complete("charge", 1)


@workflow.define
async def events(ctx: Context) -> Any:
    paid, told = asyncio.Event(), []

    async def waiting(name: str) -> None:
        await paid.wait()
        told.append(await ctx.execute_activity(pick, name))

    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b", "c"):
            tasks.create_task(waiting(name))
        await ctx.execute_activity(charge, 1)
        paid.set()
    return told


def events_script(run: DrivenRun) -> None:
    assert run.open == ["charge"]
    run.complete("charge", 1)
    assert run.inputs == [["a"], ["b"], ["c"]]
    run.complete(3, "b")
    run.complete(4, "c")
    run.complete(2, "a")


@workflow.define
async def locked(ctx: Context) -> Any:
    lock, order = asyncio.Lock(), []

    async def one(line: int) -> None:
        async with lock:
            order.append(await pick_one(ctx, line))

    await asyncio.gather(*(one(line) for line in range(4)))
    return order


def one_at_a_time(run: DrivenRun) -> None:
    for number in range(4):
        assert run.open == ["pick"]
        run.complete("pick", number)


@workflow.define
async def limited(ctx: Context) -> Any:
    limit = asyncio.Semaphore(2)

    async def one(line: int) -> Any:
        async with limit:
            return await pick_one(ctx, line)

    return await asyncio.gather(*(one(line) for line in range(5)))


def limited_script(run: DrivenRun) -> None:
    for number in range(5):
        assert len(run.open) == min(2, 5 - number)
        run.complete(list(run.run.activities)[-1], number)


@workflow.define
async def queued(ctx: Context) -> Any:
    """One task takes lines in, two work on them."""
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=2)
    done: list[Any] = []

    async def worker() -> None:
        while (line := await queue.get()) is not None:
            done.append(await pick_one(ctx, line))
            queue.task_done()
        await queue.put(None)

    workers = [asyncio.create_task(worker()) for _ in range(2)]
    for line in "abcde":
        await queue.put(line)
    await queue.join()
    await queue.put(None)
    await asyncio.gather(*workers)
    return sorted(done)


def queued_script(run: DrivenRun) -> None:
    while run.open:
        activity_id = list(run.run.activities)[-1]
        run.complete(activity_id, run.inputs[-1][0])


@workflow.define
async def conditional(ctx: Context) -> Any:
    condition, count = asyncio.Condition(), 0

    async def counting(line: int) -> None:
        nonlocal count
        await pick_one(ctx, line)
        async with condition:
            count += 1
            condition.notify_all()

    tasks = [asyncio.create_task(counting(line)) for line in range(4)]
    async with condition:
        await condition.wait_for(lambda: count >= 2)
    seen = count
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return seen


def conditional_script(run: DrivenRun) -> None:
    run.complete(4)
    run.complete(2)


@workflow.define
async def taking_turns(ctx: Context) -> Any:
    """`sleep(0)` lets the others go first, without a timer."""
    order: list[str] = []

    async def one(name: str) -> None:
        for step in range(3):
            order.append(f"{name}{step}")
            await asyncio.sleep(0)

    await asyncio.gather(one("a"), one("b"))
    await ctx.execute_activity(ship, order)
    return order


def taking_turns_script(run: DrivenRun) -> None:
    assert run.timers == []
    run.complete("ship")


@workflow.define
async def outlived(ctx: Context) -> Any:
    """A task that nobody waits for ends with the run."""
    background = asyncio.create_task(pick_one(ctx, "background"))
    await ctx.execute_activity(charge, 1)
    return background.done()


def outlived_script(run: DrivenRun) -> None:
    run.complete("charge", 1)
    assert run.open == []


@workflow.define
async def mixed_set(ctx: Context) -> Any:
    """Tasks, activities, timers and signals together in one set of futures."""
    waits = {
        asyncio.create_task(pick_one(ctx, "task")),
        ctx.execute_activity(pick, "activity"),
        ctx.sleep(30),
        ctx.receive_signal("go"),
        asyncio.shield(ctx.execute_activity(ship, "shielded")),
    }
    order = []
    while waits:
        done, waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        order += [future.result() for future in done]
        for future in waits:
            if len(order) == 2:
                future.cancel()
    return len(order)


def mixed_set_script(run: DrivenRun) -> None:
    run.advance(30_000)
    run.signal("go", "signal")


SHAPES = [
    Shape("coroutines in a gather", gathered_coroutines, backwards, result=[1, 2, 3, 4, 5]),
    Shape("the first that completes", first_completed, first_completed_script, result=[3]),
    Shape("until the first failure", first_exception, first_exception_script, result=[3, 3]),
    Shape(
        "a wait with a timeout",
        waited_with_timeout,
        waited_with_timeout_script,
        result=[1, [0, 2, 3]],
    ),
    Shape(
        "coroutines as they complete",
        as_completed_coroutines,
        backwards,
        result=[8, 7, 6, 5, 4, 3, 2, 1],
    ),
    Shape(
        "futures as they complete", as_completed_futures, backwards, result=[8, 7, 6, 5, 4, 3, 2, 1]
    ),
    Shape(
        "as completed within a time",
        as_completed_timeout,
        as_completed_timeout_script,
        result=[["b"], [False, True, False]],
    ),
    Shape("a task group", group, group_script, result=[[1, 2, 3, 4], 5]),
    Shape("a task group that fails", failing_group, failing_group_script, result=["OutOfStock"]),
    Shape(
        "a cancelled task that cleans up", cancelled_task, cancelled_task_script, result=[[3], True]
    ),
    Shape("a shield", shielded, shielded_script, result=["late", 1]),
    Shape("an event", events, events_script, result=["b", "c", "a"]),
    Shape("a lock", locked, one_at_a_time, result=[0, 1, 2, 3]),
    Shape("a semaphore", limited, limited_script, result=[4, 0, 1, 2, 3]),
    Shape("a queue", queued, queued_script, result=["a", "b", "c", "d", "e"]),
    Shape("a condition", conditional, conditional_script, result=2),
    Shape(
        "tasks that take turns",
        taking_turns,
        taking_turns_script,
        result=["a0", "b0", "a1", "b1", "a2", "b2"],
    ),
    Shape("a task that outlives the run", outlived, outlived_script, result=False),
    Shape(
        "a set of different waits",
        mixed_set,
        mixed_set_script,
        status="failed",
        failure="CancelledError",
    ),
]
