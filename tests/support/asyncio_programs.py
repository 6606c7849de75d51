"""Programs of plain asyncio, each of one thing that asyncio has: they note what happens and when, and return nothing.

They know of no workflow: the same code runs on asyncio's own loop, and on that of a workflow.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Note = Callable[[str], None]
Program = Callable[[Note], Awaitable[None]]


async def after(note: Note, seconds: float, name: str, *, fails: bool = False) -> str:
    """Takes a while, and notes how it ended."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError as error:
        note(f"{name} cancelled {error.args}")
        raise
    note(f"{name} done")
    if fails:
        raise LookupError(name)
    return name


async def gather(note: Note) -> None:
    note(str(await asyncio.gather(after(note, 3, "a"), after(note, 1, "b"), after(note, 2, "c"))))
    results = await asyncio.gather(
        after(note, 1, "d", fails=True), after(note, 2, "e"), return_exceptions=True
    )
    note(repr(results))
    try:
        await asyncio.gather(after(note, 1, "f", fails=True), after(note, 2, "g"))
    except LookupError as error:
        note(f"raised {error}")
    await asyncio.sleep(2)
    both = asyncio.gather(after(note, 5, "h"), after(note, 5, "i"))
    await asyncio.sleep(1)
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        note("all cancelled")


async def wait(note: Note) -> None:
    tasks = [asyncio.create_task(after(note, 4 - i, f"t{i}", fails=i == 2)) for i in range(4)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    note(f"{sorted(map(tasks.index, done))} {sorted(map(tasks.index, pending))}")
    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
    note(f"{sorted(map(tasks.index, done))} {sorted(map(tasks.index, pending))}")
    done, pending = await asyncio.wait(pending, timeout=0.5)
    note(f"{sorted(map(tasks.index, done))} {sorted(map(tasks.index, pending))}")
    done, pending = await asyncio.wait(tasks)
    note(f"{sorted(map(tasks.index, done))} {sorted(map(tasks.index, pending))}")


async def as_completed(note: Note) -> None:
    for earliest in asyncio.as_completed(
        [after(note, s, f"c{s}", fails=s == 2) for s in (3, 1, 2)]
    ):
        try:
            note(f"got {await earliest}")
        except LookupError as error:
            note(f"raised {error}")
    try:
        for earliest in asyncio.as_completed([after(note, s, f"d{s}") for s in (1, 9)], timeout=4):
            note(f"got {await earliest}")
    except TimeoutError:
        note("too late")


async def timeout(note: Note) -> None:
    try:
        async with asyncio.timeout(2):
            await after(note, 5, "slow")
    except TimeoutError:
        note("too late")
    async with asyncio.timeout(2):
        await after(note, 1, "quick")
    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + 3)
        await after(note, 2, "in time")
        note(str(limit.expired()))
    try:
        async with asyncio.timeout(1), asyncio.timeout(5):
            await after(note, 3, "inner")
    except TimeoutError:
        note("outer first")
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 1):
            async with asyncio.timeout(0):
                await after(note, 3, "at once")
    except TimeoutError:
        note("inner first")
    task = asyncio.current_task()
    assert task is not None
    note(f"cancelling {task.cancelling()}")


async def wait_for(note: Note) -> None:
    note(await asyncio.wait_for(after(note, 1, "quick"), 2))
    try:
        await asyncio.wait_for(after(note, 3, "slow"), 2)
    except TimeoutError:
        note("too late")
    event = asyncio.Event()
    try:
        await asyncio.wait_for(event.wait(), timeout=0)
    except TimeoutError:
        note("not set")


async def task_group(note: Note) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(after(note, s, f"g{s}")) for s in (2, 1)]
    note(str([task.result() for task in tasks]))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(after(note, 9, "long"))
            group.create_task(after(note, 1, "bad", fails=True))
            await after(note, 9, "body")
    except* LookupError as errors:
        note(f"{errors.exceptions!r}")


async def timeout_in_task_group(note: Note) -> None:
    async def bounded(name: str, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                await after(note, 3, name)
        except TimeoutError:
            note(f"{name} too late")

    async with asyncio.TaskGroup() as group:
        group.create_task(bounded("x", 1))
        group.create_task(bounded("y", 5))
    try:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            group.create_task(bounded("z", 5))
            group.create_task(after(note, 1, "w"))
    except TimeoutError:
        note("the group too late")
    task = asyncio.current_task()
    assert task is not None
    note(f"cancelling {task.cancelling()}")


async def event(note: Note) -> None:
    flag = asyncio.Event()

    async def waiting(name: str) -> None:
        await flag.wait()
        note(f"{name} saw it")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(waiting(name))
        await asyncio.sleep(1)
        flag.set()
    flag.clear()
    note(str(flag.is_set()))


async def lock(note: Note) -> None:
    held = asyncio.Lock()

    async def holding(name: str, seconds: float) -> None:
        async with held:
            await after(note, seconds, name)

    tasks = [asyncio.create_task(holding(name, 2)) for name in "abcd"]
    await asyncio.sleep(1)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    note(str([task.cancelled() for task in tasks]))


async def queue(note: Note) -> None:
    items: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

    async def produce() -> None:
        for number in range(5):
            await items.put(number)
            note(f"put {number}")

    async def consume(name: str, seconds: float) -> None:
        while True:
            number = await items.get()
            await asyncio.sleep(seconds)
            note(f"{name} took {number}")
            items.task_done()

    consumers = [asyncio.create_task(consume("quick", 1)), asyncio.create_task(consume("slow", 2))]
    await produce()
    await items.join()
    for task in consumers:
        task.cancel()
    note(repr(await asyncio.gather(*consumers, return_exceptions=True)))
    first: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    for number in (3, 1, 2):
        first.put_nowait(number)
        last.put_nowait(number)
    note(str([(first.get_nowait(), last.get_nowait()) for _ in range(3)]))


async def semaphore(note: Note) -> None:
    places = asyncio.BoundedSemaphore(2)

    async def working(name: str) -> None:
        async with places:
            await after(note, 1, name)

    async with asyncio.TaskGroup() as group:
        for name in "abcde":
            group.create_task(working(name))
    try:
        places.release()
    except ValueError:
        note("once too often")


async def condition(note: Note) -> None:
    changed, stock = asyncio.Condition(), [0]

    async def buying(name: str, count: int) -> None:
        async with changed:
            await changed.wait_for(lambda: stock[0] >= count)
            stock[0] -= count
            note(f"{name} bought {count}, {stock[0]} left")

    async with asyncio.TaskGroup() as group:
        for name, count in (("a", 3), ("b", 1), ("c", 2)):
            group.create_task(buying(name, count))
        for _ in range(6):
            await asyncio.sleep(1)
            async with changed:
                stock[0] += 1
                changed.notify_all()


async def barrier(note: Note) -> None:
    meeting = asyncio.Barrier(3)

    async def arriving(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        place = await meeting.wait()
        note(f"{name} {place}")

    async with asyncio.TaskGroup() as group:
        for seconds, name in enumerate("abc"):
            group.create_task(arriving(name, seconds))
    alone = asyncio.create_task(arriving("d", 0))
    await asyncio.sleep(1)
    await meeting.abort()
    try:
        await alone
    except asyncio.BrokenBarrierError:
        note("broken")


async def shield(note: Note) -> None:
    inner = asyncio.create_task(after(note, 3, "inner"))

    async def outer() -> None:
        try:
            await asyncio.shield(inner)
        finally:
            note("outer left")

    task = asyncio.create_task(outer())
    await asyncio.sleep(1)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError as error:
        note(f"cancelled {error.args}")
    note(await inner)


async def shielded_cleanup(note: Note) -> None:
    async def cleaned() -> None:
        try:
            await after(note, 9, "work")
        finally:
            cleanup = asyncio.ensure_future(after(note, 2, "cleanup"))
            while not cleanup.done():
                try:
                    await asyncio.shield(cleanup)
                except asyncio.CancelledError:
                    note("asked again")

    task = asyncio.create_task(cleaned())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    note(f"{task.cancelled()} {task.cancelling()}")


async def uncancel(note: Note) -> None:
    async def stubborn() -> str:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(2):
            try:
                await after(note, 5, "stubborn")
            except asyncio.CancelledError:
                note(f"{task.cancelling()} then {task.uncancel()}")
        async with asyncio.timeout(5):
            return await after(note, 1, "at last")

    task = asyncio.create_task(stubborn())
    for message in ("one", "two"):
        await asyncio.sleep(1)
        note(str(task.cancel(message)))
    note(await task)
    note(str(task.cancel()))


async def cancelled_before_it_began(note: Note) -> None:
    task = asyncio.create_task(after(note, 1, "never"))
    task.cancel("early")
    try:
        await task
    except asyncio.CancelledError as error:
        note(f"{error.args} {task.cancelled()}")


async def callbacks(note: Note) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    loop.call_later(2, note, "later")
    loop.call_at(began + 1, note, "at")
    loop.call_soon(note, "soon")
    loop.call_later(3, note, "never").cancel()
    future: asyncio.Future[str] = loop.create_future()
    future.add_done_callback(lambda done: note(f"heard {done.result()}"))
    loop.call_later(1, future.set_result, "told")
    note(await future)
    await asyncio.sleep(3)


async def generators(note: Note) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        await asyncio.sleep(1)
        try:
            yield "inside"
        finally:
            await after(note, 1, "closed")

    async def ticking() -> AsyncIterator[int]:
        try:
            for number in range(9):
                await asyncio.sleep(1)
                yield number
        finally:
            note("ticked")

    async with opened() as word:
        note(word)
        ticks = ticking()
        async for number in ticks:
            note(str(number))
            if number == 2:
                break
        await ticks.aclose()  # type: ignore[attr-defined]


async def context_variables(note: Note) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def telling(name: str) -> None:
        who.set(name)
        await asyncio.sleep(1)
        note(who.get())

    who.set("main")
    await asyncio.gather(telling("a"), telling("b"))
    note(who.get())


PROGRAMS: dict[str, Program] = {
    program.__name__: program
    for program in (
        gather, wait, as_completed, timeout, wait_for, task_group, timeout_in_task_group, event, lock, queue,
        semaphore, condition, barrier, shield, shielded_cleanup, uncancel, cancelled_before_it_began, callbacks,
        generators, context_variables,
    )
}  # fmt: skip


async def story_of(name: str) -> list[Any]:
    """[seconds since the begin, what happened] in order, up to the end or to what ended it."""
    loop = asyncio.get_running_loop()
    began, story = loop.time(), list[Any]()

    def note(text: str) -> None:
        story.append([round(loop.time() - began, 2), text])

    try:
        await PROGRAMS[name](note)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # the story tells it
        note(f"ended by {type(error).__name__}")
    return list(story)  # what still runs has no part in it
