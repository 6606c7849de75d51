"""The workflows that are tortured. What each must return follows from its input alone; `cases.py` works it out.

Every activity notes that it is done in the file TORTURE_NOTES, so that those which ran twice can be counted.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError, ChildWorkflowError, Failure

NOTES = "TORTURE_NOTES"
HOPELESS_ATTEMPTS = 3
_PADDING = "x" * 300
_NEVER = "never"

Job = dict[str, Any]


def mix(value: int) -> int:
    """What an activity makes of a number."""
    return (value * 48_271 + 11) % (2**31 - 1)


def note_done() -> None:
    """One line, whole also when the process is killed right after."""
    info = activity.info()
    notes = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(notes, f"{info.idempotency_key} {info.attempt}\n".encode())
    os.close(notes)


@activity.define
async def advance(value: int, padding: str = "") -> int:
    await asyncio.sleep(0.02)
    note_done()
    return mix(value)


@activity.define
def advance_in_a_thread(value: int) -> int:
    note_done()
    return mix(value)


@activity.define(retry=Retry(max_attempts=10, initial_interval=0.05))
async def flaky(value: int, failures: int) -> int:
    """Fails so often, by its attempt's number."""
    note_done()
    if activity.info().attempt <= failures:
        raise Failure(f"attempt {activity.info().attempt}")
    return mix(value)


@activity.define(retry=Retry(max_attempts=HOPELESS_ATTEMPTS, initial_interval=0.05))
async def hopeless() -> None:
    note_done()
    raise Failure("never")


@activity.define
async def dawdle(seconds: float) -> None:
    await asyncio.sleep(seconds)
    note_done()


advance_here = advance.options(inline=True)


@workflow.define
async def chain(ctx: workflow.Context, job: Job) -> Job:
    """One activity after the other."""
    value = job["value"]
    for number in range(job["steps"]):
        step = advance_here if number in job["inline"] else advance
        value = await ctx.execute_activity(step, value)
    return {"nonce": job["nonce"], "value": value}


@workflow.define
async def fan_out(ctx: workflow.Context, job: Job) -> Job:
    """Many at once."""
    steps = [ctx.execute_activity(advance_in_a_thread, value) for value in job["values"]]
    return {"nonce": job["nonce"], "sum": sum(await asyncio.gather(*steps))}


@workflow.define
async def collect(ctx: workflow.Context, job: Job) -> Job:
    """So many signals, whatever their order."""
    numbers = [await ctx.receive_signal("number", int) for _ in range(job["count"])]
    return {"nonce": job["nonce"], "numbers": sorted(numbers)}


@workflow.define
async def naps(ctx: workflow.Context, job: Job) -> Job:
    """Timers, none of which may be early, and one that gives up waiting."""
    early = 0
    for seconds in job["naps"]:
        before = ctx.now()
        await asyncio.sleep(seconds)
        early += (ctx.now() - before).total_seconds() < seconds - 0.001  # whole milliseconds
    try:
        async with asyncio.timeout(0.2):
            await ctx.receive_signal(_NEVER)
        gave_up = False
    except TimeoutError:
        gave_up = True
    return {"nonce": job["nonce"], "naps": len(job["naps"]), "early": early, "gave_up": gave_up}


@workflow.define
async def stubborn(ctx: workflow.Context, job: Job) -> Job:
    """An activity that succeeds in the end, and one that never does."""
    value = await ctx.execute_activity(flaky, job["value"], job["failures"])
    try:
        await ctx.execute_activity(hopeless)
    except ActivityError as error:
        return {"nonce": job["nonce"], "value": value, "attempts": error.attempts}
    return {"nonce": job["nonce"], "value": value}


@workflow.define
async def tidy_up(ctx: workflow.Context, job: Job) -> Job:
    """Waits until it is cancelled, with an activity under way, and cleans up by another."""
    try:
        await asyncio.gather(
            ctx.execute_activity(dawdle, job["seconds"]), ctx.receive_signal(_NEVER)
        )
    except asyncio.CancelledError:
        await ctx.execute_activity(advance, 1)
        raise
    return job


@workflow.define
async def fail(ctx: workflow.Context, job: Job) -> Job:
    await ctx.execute_activity(advance, 1)
    raise Failure(str(job["nonce"]), type="Tortured")


@workflow.define
async def endless(ctx: workflow.Context, job: Job) -> Job:
    """Ends by force or when its time is over."""
    await ctx.execute_activity(advance, 1)
    await ctx.receive_signal(_NEVER)
    return job


@workflow.define
async def long(ctx: workflow.Context, job: Job) -> Job:
    """Enough history for several pages."""
    value = job["value"]
    for _ in range(job["rounds"]):
        steps = [
            ctx.execute_activity(advance_here, value + number, _PADDING) for number in range(4)
        ]
        value = max(await asyncio.gather(*steps))
    return {"nonce": job["nonce"], "value": value}


@workflow.define
async def account(ctx: workflow.Context, job: Job) -> Job:
    """Sums up entries for as long as it takes; `close` says how many there are."""
    total = count = 0
    closing = ctx.receive_signal("close", int)
    entry = ctx.receive_signal("entry", int)
    while not (closing.done() and count == closing.result()):
        waiting = [entry] if closing.done() else [entry, closing]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if entry.done():
            total, count = total + entry.result(), count + 1
            entry = ctx.receive_signal("entry", int)
    return {"nonce": job["nonce"], "count": count, "total": total}


@workflow.define
async def family(ctx: workflow.Context, job: Job) -> Job:
    """Children at once, some of which never complete; each counts when it ends, and should once."""
    counted: Job = {}
    total = 0

    async def count(child: Job) -> None:
        nonlocal total
        result = await ctx.execute_child(chain.options(id=child["nonce"]), child)
        counted[result["nonce"]] = result["value"]
        total += result["value"]

    async def count_failed(nonce: str) -> None:
        retry = Retry(max_attempts=HOPELESS_ATTEMPTS, initial_interval=0.05)
        try:
            await ctx.execute_child(fail.options(id=nonce, retry=retry), {"nonce": nonce})
        except ChildWorkflowError as error:
            counted[nonce] = -error.attempts

    await asyncio.gather(*map(count, job["children"]), *map(count_failed, job["failing"]))
    return {"nonce": job["nonce"], "counted": counted, "total": total}


@workflow.define
async def tally(ctx: workflow.Context, job: Job) -> Job:
    """Takes numbers as updates until it is closed; each is told its place, and what an activity has made of it."""
    entered: list[int] = []

    def check(number: int) -> None:
        if number < 0:
            raise ValueError(f"{number} is below zero")

    @ctx.on_update("enter", validator=check)
    async def enter(number: int) -> Job:
        entered.append(number)
        place = len(entered)
        step = advance_here if number % 2 else advance
        return {"place": place, "value": await ctx.execute_activity(step, number)}

    await ctx.receive_signal("close", int)
    await ctx.wait_condition(ctx.all_handlers_finished)
    return {"nonce": job["nonce"], "entered": sorted(entered)}


@workflow.define
async def announce(ctx: workflow.Context, job: Job) -> Job:
    """Publishes what each step gave, under a key of its own; the last leaves with the run's end."""
    value = job["value"]
    for number in range(job["steps"]):
        step = advance_here if number % 2 else advance
        value = await ctx.execute_activity(step, value)
        said = ctx.publish(job["topic"], key=f"{job['nonce']}/{number}", value=value)
        if number % 3 == 0:
            await said
    return {"nonce": job["nonce"], "value": value}


@workflow.define
async def relay(ctx: workflow.Context, job: Job) -> Job:
    """Takes so many signals, a few in each run of a chain; those that come between go on to the next run untaken."""
    taken = min(job["each"], job["count"] - len(job["numbers"]))
    new = [await ctx.receive_signal("number", int) for _ in range(taken)]
    numbers = job["numbers"] + new
    if len(numbers) < job["count"]:
        if len(numbers) % 2:
            ctx.execute_activity(dawdle, 0.5)  # whose end is of no interest to the next run
        await ctx.execute_activity(dawdle, 0.2)
        ctx.continue_as_new({**job, "numbers": numbers, "runs": job["runs"] + 1})
    return {"nonce": job["nonce"], "numbers": sorted(numbers), "runs": job["runs"]}


WORKFLOWS = [
    chain, fan_out, collect, naps, stubborn, tidy_up, fail, endless, long, account,
    family, tally, announce, relay,
]  # fmt: skip
ACTIVITIES: list[activity.Activity[..., Any]] = [
    advance,
    advance_in_a_thread,
    flaky,
    hopeless,
    dawdle,
]
