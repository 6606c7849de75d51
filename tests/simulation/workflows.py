"""The workflows and activities of the simulation: small, each with a result that its user can foretell."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import ClassVar, TypedDict

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError, ChildWorkflowError, SignalNotDeliveredError

NEWS = "sim-news"
"""A topic of the users', with a partition count of its own."""
NEWS_PARTITIONS = 3
TOO_HIGH = 6
"""A number that a ledger lets pass and cannot enter."""
TOO_LARGE = 950_000
"""Bytes of a result that no record can take."""


class Odds:
    """What activities lean on for chance, and where they note that they ran. Set anew for every run."""

    random = Random(0)
    ran: ClassVar[Counter[str]] = Counter()
    """Attempts that were begun, by `run/activity/attempt`."""
    now: Callable[[], float] = time.time
    began_s: ClassVar[dict[str, float]] = {}
    """When an attempt was first begun, by `run/activity/attempt`."""
    climbed: ClassVar[dict[str, dict[int, int]]] = {}
    """From where attempts of `climb` began, by `run/activity` and attempt."""


def _note() -> None:
    info = activity.info()
    attempt = f"{info.run_id}/{info.activity_id}/{info.attempt}"
    Odds.ran[attempt] += 1
    Odds.began_s.setdefault(attempt, Odds.now())


async def _take_time(seconds_max: float) -> None:
    if Odds.random.random() < 0.5:
        await asyncio.sleep(Odds.random.random() * seconds_max)


_PATIENT = Retry(max_attempts=50, initial_interval=0.1, max_interval=2.0)
"""A worker that is killed fails no attempt, but a lease that ends does; nothing here may fail because of faults."""


@activity.define(retry=_PATIENT)
async def add(total: int, number: int) -> int:
    _note()
    await _take_time(0.3)
    return total + number


@activity.define(inline=True, retry=_PATIENT)
async def add_inline(total: int, number: int) -> int:
    _note()
    await _take_time(0.1)
    return total + number


@activity.define(inline=True, checkpoint=False, retry=_PATIENT)
async def add_together(total: int, number: int) -> int:
    _note()
    await _take_time(0.01)
    return total + number


@activity.define(retry=_PATIENT)
def add_in_thread(total: int, number: int) -> int:
    _note()
    return total + number


@activity.define(retry=Retry(max_attempts=5, initial_interval=0.2))
async def flaky(failures: int) -> int:
    """Fails as often as it is told to."""
    _note()
    if activity.info().attempt <= failures:
        raise ConnectionError(f"attempt {activity.info().attempt}")
    return activity.info().attempt


@activity.define(retry=_PATIENT)
async def fill(letter: str, size: int) -> str:
    _note()
    return letter * size


@activity.define(timeout=3.0, retry=Retry(max_attempts=2, initial_interval=0.1))
async def hang() -> None:
    """Never ends by itself."""
    _note()
    await asyncio.sleep(10_000)


@activity.define(retry=_PATIENT, heartbeat_timeout=5.0)
async def climb(steps: int) -> int:
    """Long enough to be leased; goes on where the last attempt said that it was."""
    _note()
    info = activity.info()
    first = info.heartbeat_details or 0
    Odds.climbed.setdefault(f"{info.run_id}/{info.activity_id}", {})[info.attempt] = first
    for step in range(first, steps):
        await asyncio.sleep(0.5)
        activity.heartbeat(step + 1)
    return steps


@workflow.define
async def chain(ctx: workflow.Context, length: int) -> int:
    total = 0
    for number in range(length):
        if number % 4 == 0:
            total = await ctx.execute_activity(add, total, number)
        elif length % 3 == 0:
            total = await ctx.execute_activity(add_together, total, number)
        elif number % 4 < 3:
            total = await ctx.execute_activity(add_inline, total, number)
        else:
            total = await ctx.execute_activity(add_in_thread, total, number)
        ctx.set_status({"done": number + 1, "of": length})
    return total


@workflow.define
async def fan_out(ctx: workflow.Context, width: int) -> int:
    results = await asyncio.gather(
        *(ctx.execute_activity(add if n % 2 else add_inline, n, 1) for n in range(width))
    )
    return sum(results)


@workflow.define
async def inbox(ctx: workflow.Context, count: int) -> list[int]:
    """Takes so many signals and gives back what was in them, in their order. Tells how many it has."""
    numbers: list[int] = []

    @ctx.on_query("count")
    def tell() -> int:
        return len(numbers)

    for _ in range(count):
        numbers.append(await ctx.receive_signal("number", int))  # noqa: PERF401  # a query may ask meanwhile
    return numbers


@workflow.define
async def sleeper(ctx: workflow.Context, seconds: list[float]) -> list[float]:
    """How long each sleep took, by the clock of the owners."""

    async def sleep(duration: float) -> float:
        began = ctx.now()
        await asyncio.sleep(duration)
        return (ctx.now() - began).total_seconds()

    return list(await asyncio.gather(*(sleep(duration) for duration in seconds)))


@workflow.define
async def waiter(ctx: workflow.Context, patience: float) -> str:
    """Waits for a signal; gives up, or cleans up when it is cancelled."""
    try:
        return await ctx.receive_signal("go", str, timeout=patience)
    except TimeoutError:
        return "gave up"
    except asyncio.CancelledError:
        async with ctx.cancel_scope(shield=True):
            await ctx.execute_activity(add, 1, 1)
        raise


@workflow.define
async def racer(ctx: workflow.Context, seconds: float) -> str:
    """An activity against a timer: whichever loses is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            await ctx.execute_activity(hang)
    except TimeoutError:
        return "timer"
    except ActivityError as error:
        return error.type
    return "activity"


@workflow.define
async def climber(ctx: workflow.Context, plan: tuple[int, float]) -> int:
    """So many steps, unless patience is over before."""
    steps, patience = plan
    try:
        async with asyncio.timeout(patience):
            return await ctx.execute_activity(climb, steps)
    except TimeoutError:
        return -1


@workflow.define
async def late(ctx: workflow.Context, steps: int) -> str:
    """More than its time as a whole allows."""
    try:
        await ctx.execute_activity(climb.options(schedule_to_close=2.0), steps)
    except ActivityError as error:
        return error.type
    return "done"


@workflow.define
async def stubborn(ctx: workflow.Context, failures: int) -> str:
    try:
        attempt = await ctx.execute_activity(flaky, failures)
    except ActivityError as error:
        return error.type
    return str(attempt)


@workflow.define
async def long(ctx: workflow.Context, length: int) -> int:
    """A history of several pages."""
    size = 0
    for number in range(length):
        text = await ctx.execute_activity(fill, "x", 1500)
        size += len(text)
        if number % 7 == 0 and len(ctx.history.results(fill)) != number + 1:
            return -1
    return size


@workflow.define
async def oversized(ctx: workflow.Context, size: int) -> str:
    """What cannot be stored fails its activity, and nothing else."""
    try:
        text = await ctx.execute_activity(fill, "x", size)
    except ActivityError as error:
        return error.type
    return str(len(text))


@workflow.define
async def failing(ctx: workflow.Context, number: int) -> int:
    """Ends with an error of its own."""
    total = await ctx.execute_activity(add, number, 1)
    raise ArithmeticError(f"{total} is not a good number")


@workflow.define
async def novelty(ctx: workflow.Context, count: int) -> list[int]:
    """Not every worker has this one yet: there its runs are blocked, and what comes for them is kept."""
    return [await ctx.receive_signal("number", int) for _ in range(count)]


@workflow.define(name="patching")
async def patching_before(ctx: workflow.Context, length: int) -> list[int]:
    """The sum, and how many steps took the new way."""
    total = 0
    for number in range(length):
        total = await ctx.execute_activity(add, total, number)
    return [total, 0]


@workflow.define
async def patching(ctx: workflow.Context, length: int) -> list[int]:
    """Its change is deployed while runs of it are under way; each of them goes one way throughout."""
    total = patched_count = 0
    for number in range(length):
        if ctx.patched("inline"):
            total = await ctx.execute_activity(add_inline, total, number)
            patched_count += 1
        else:
            total = await ctx.execute_activity(add, total, number)
    return [total, patched_count]


@workflow.define
async def announcer(ctx: workflow.Context, count: int) -> int:
    """Says what it does on a topic: one record at first, and one or two with every step."""
    said = 0

    def say() -> asyncio.Future[None]:
        nonlocal said
        said += 1
        value = {"run": ctx.info.run_id, "number": said}
        return ctx.publish(
            NEWS, key=ctx.info.workflow_id, value=value, headers={"number": str(said)}
        )

    await say()
    for number in range(count):
        await ctx.execute_activity(add_inline if number % 3 else add, number, 1)
        if number % 2:
            say()  # with what follows in this step
        await say()
    return said


@workflow.define
async def ledger(ctx: workflow.Context) -> list[list[int]]:
    """Takes numbers as updates and as signals until it is closed; whether it lets one pass changes all the time."""
    entered: list[int] = []
    noted: list[int] = []

    def check(number: int) -> None:
        if number % 3 == len(entered) % 3:
            raise ValueError(f"no {number} after {len(entered)}")

    @ctx.on_update("enter", validator=check)
    async def enter(number: int) -> int:
        if number == TOO_HIGH:
            raise ArithmeticError(f"{number} is not a good number")
        entered.append(number)
        place = len(entered)
        return await ctx.execute_activity(add_inline if number % 2 else add, place, 0)

    @ctx.on_signal("note")
    async def note(number: int) -> None:
        noted.append(await ctx.execute_activity(add, number, 0))

    await ctx.receive_signal("close")
    await ctx.wait_condition(ctx.all_handlers_finished)
    return [entered, noted]


@workflow.define
async def leaf(ctx: workflow.Context, number: int) -> int:
    return await ctx.execute_activity(add, number, 1)


@workflow.define
async def family(ctx: workflow.Context, width: int) -> int:
    """Children at once, and one after them."""
    results = await asyncio.gather(*(ctx.execute_child(leaf, n) for n in range(width)))
    last = await ctx.start_child(leaf, sum(results))
    return await last


@workflow.define
async def insisting(ctx: workflow.Context, attempts: int) -> str:
    """A child that fails whenever it is run."""
    retry = Retry(max_attempts=attempts, initial_interval=0.5, max_interval=2.0)
    child = failing.options(retry=retry, id=f"{ctx.info.workflow_id}-child")
    try:
        await ctx.execute_child(child, attempts)
    except ChildWorkflowError as error:
        return f"{error.type} {error.attempts}"
    return "done"


@workflow.define
async def guardian(ctx: workflow.Context, plan: tuple[workflow.ParentClose, bool]) -> str:
    """Leaves a child behind when it ends; perhaps it has asked it to end before."""
    parent_close, gives_up = plan
    options = waiter.options(id=f"{ctx.info.workflow_id}-child", parent_close=parent_close)
    child = await ctx.start_child(options, 10_000.0)
    if gives_up:
        child.cancel("no longer wanted")
    return await ctx.receive_signal("go", str)


@workflow.define
async def teller(ctx: workflow.Context, plan: tuple[str, int]) -> int:
    """Signals another workflow so many times."""
    workflow_id, count = plan
    for number in range(count):
        await ctx.signal(workflow_id, "number", number)
    try:
        await ctx.signal(f"{workflow_id}-nobody", "number", 1)
    except SignalNotDeliveredError:
        return count
    return -1


class Relay(TypedDict):
    count: int
    each: int
    got: list[int]


@workflow.define
async def relay(ctx: workflow.Context, state: Relay) -> list[int]:
    """Takes so many signals, a few in each run of a chain, and gives back what was in them, in their order."""
    got = state["got"]
    while len(got) < state["count"]:
        if len(got) - len(state["got"]) == state["each"]:
            if len(got) % 2:
                ctx.receive_signal("number", int)  # which nobody looks at any more
            if len(got) % 3 == 0:
                await ctx.execute_activity(add_inline if len(got) % 2 else add, 1, 1)
            ctx.continue_as_new({**state, "got": got})
        got = [*got, await ctx.receive_signal("number", int)]
    return got


_ALWAYS = (
    ledger, announcer, relay, chain, fan_out, inbox, sleeper, waiter, racer, climber, late, stubborn, long, oversized,
    failing,
    family, leaf, insisting, guardian, teller,
)  # fmt: skip
OLD_WORKFLOWS = (*_ALWAYS, patching_before)
WORKFLOWS = (*_ALWAYS, patching, novelty)
ACTIVITIES = (add, add_inline, add_together, add_in_thread, flaky, fill, hang, climb)
