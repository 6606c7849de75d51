"""Shapes of handlers: of signals and updates, before and after these came, at once and over a while."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DAY_MS, SECOND_MS, DrivenRun
from weft import workflow
from weft.errors import Failure, UpdateRejectedError
from weft.workflow import Context, GeneratorContext


@workflow.define
async def counted(ctx: Context) -> Any:
    """The handler comes after some of its signals."""
    lines: list[int] = []
    await ctx.execute_activity(charge, 1)

    @ctx.on_signal("line")
    def line(number: int) -> None:
        lines.append(number)

    assert lines == []
    await ctx.wait_condition(lambda: len(lines) >= 4)
    return lines


def counted_script(run: DrivenRun) -> None:
    run.signal("line", 1)
    run.signal("line", 2, id="s-2")
    run.complete("charge", 1)
    run.signal("line", 3)
    run.signal("line", 3, id="s-2")
    run.signal("line", 4)


@workflow.define
async def worked_on(ctx: Context) -> Any:
    """Handlers that take time run beside one another and beside the main code."""
    done: list[Any] = []

    @ctx.on_signal("item")
    async def item(number: int) -> None:
        await ctx.sleep(timedelta(seconds=number))
        done.append(await ctx.execute_activity(pick, number))

    await ctx.receive_signal("close")
    await ctx.wait_condition(ctx.all_handlers_finished)
    return done


def worked_on_script(run: DrivenRun) -> None:
    for number in (3, 1, 2):
        run.signal("item", number)
    run.advance(2 * SECOND_MS)
    run.signal("close")
    run.complete("pick", "one")
    run.advance(SECOND_MS)
    run.complete("pick", "two")
    assert run.status == "running"
    run.complete("pick", "three")


@workflow.define
async def ended_early(ctx: Context) -> Any:
    """The main code does not wait for its handlers."""

    @ctx.on_signal("item")
    async def item() -> None:
        await ctx.execute_activity(pick, 1)

    await ctx.sleep(1)
    return ctx.all_handlers_finished()


def ended_early_script(run: DrivenRun) -> None:
    run.signal("item")
    run.advance(SECOND_MS)


@workflow.define
async def failing_handler(ctx: Context, when: str) -> Any:
    """The main code is cancelled, and undoes what it did."""

    @ctx.on_signal("stop")
    async def stop(reason: str) -> None:
        if when == "later":
            await ctx.sleep(1)
        raise Failure(reason, type="Stopped")

    async with ctx.saga() as saga:
        saga.on_failure(refund, await ctx.execute_activity(charge, 7))
        await ctx.execute_activity(ship, "parcel")


def failing_script(run: DrivenRun) -> None:
    run.complete("charge", 7)
    run.signal("stop", "enough")
    run.advance(SECOND_MS)
    assert (run.status, run.open) == ("running", ["refund"])
    run.complete("refund", 7)
    assert run.failure.message == "enough"


def wrong_payload_script(run: DrivenRun) -> None:
    run.complete("charge", 7)
    run.signal("stop", ["no", "text"])
    run.complete("refund", 7)
    assert run.failure.message.startswith("signal 'stop': ")


def failing_cleanup_script(run: DrivenRun) -> None:
    run.complete("charge", 7)
    run.signal("stop", "enough")
    run.fail_for_good("refund")
    assert run.failure.cause is not None


def failing_first_script(run: DrivenRun) -> None:
    """Before the main code has done anything."""
    run.signal("stop", "at once")
    assert run.story[-2:] == ["ActivityCancelled", "WorkflowFailed"]


@workflow.define
async def replaced(ctx: Context) -> Any:
    """The last handler of a name is the one that is called."""
    seen: list[str] = []
    ctx.on_signal("word")(lambda word: seen.append(f"first {word}"))
    await ctx.wait_condition(lambda: seen)
    ctx.on_signal("word")(lambda word: seen.append(f"second {word}"))
    await ctx.wait_condition(lambda: len(seen) == 2)
    return seen


def replaced_script(run: DrivenRun) -> None:
    run.signal("word", "a")
    run.signal("word", "b")


@workflow.define
async def two_ways(ctx: Context, first: str) -> Any:
    if first == "received":
        waiting = ctx.receive_signal("word")
        ctx.on_signal("word")(lambda: None)
        return await waiting
    ctx.on_signal("word")(lambda: None)
    return await ctx.receive_signal("word")


@workflow.define
async def received_then_handled(ctx: Context) -> Any:
    """What waits no more stands in nobody's way."""
    seen = [await ctx.receive_signal("word")]
    ctx.on_signal("word")(seen.append)
    await ctx.wait_condition(lambda: len(seen) == 3)
    return seen


def received_then_handled_script(run: DrivenRun) -> None:
    for word in "abc":
        run.signal("word", word)


@workflow.define
def by_generators(ctx: GeneratorContext) -> Generator[Any, Any, Any]:
    picked: list[Any] = []

    @ctx.on_signal("item")
    def item(number: int) -> Generator[Any, Any, None]:
        picked.append((yield ctx.call_activity(pick, input=number)))

    yield ctx.create_timer(timedelta(days=1))
    return picked


def by_generators_script(run: DrivenRun) -> None:
    run.signal("item", 1)
    run.signal("item", 2)
    run.complete("pick", "one")
    run.complete("pick", "two")
    run.advance(DAY_MS)


@workflow.define
async def one_at_a_time(ctx: Context) -> Any:
    """A lock puts handlers in a row."""
    lock, done = asyncio.Lock(), []

    @ctx.on_signal("item")
    async def item(number: int) -> None:
        async with lock:
            done.append(await ctx.execute_activity(pick, number))

    await ctx.wait_condition(lambda: len(done) == 2)
    return done


def one_at_a_time_script(run: DrivenRun) -> None:
    run.signal("item", 1)
    run.signal("item", 2)
    assert run.open == ["pick"]
    run.complete("pick", "one")
    run.complete("pick", "two")


@workflow.define
async def basket(ctx: Context) -> Any:
    """Takes lines as updates of every kind until it is paid."""
    lines: list[str] = []
    paid = False

    def check(line: str) -> None:
        if line in lines:
            raise ValueError(f"{line} is there already")

    @ctx.on_update("add", validator=check)
    async def add(line: str) -> int:
        lines.append(await ctx.execute_activity(pick, line))
        return len(lines)

    @ctx.on_update("drop")
    def drop(line: str) -> list[str]:
        lines.remove(line)
        return lines

    @ctx.on_update("pay")
    async def pay() -> str:
        nonlocal paid
        await ctx.sleep(1)
        paid = True
        return "thanks"

    await ctx.wait_condition(lambda: paid)
    await ctx.wait_condition(ctx.all_handlers_finished)
    return lines


def basket_script(run: DrivenRun) -> None:
    run.update("add", "pen", id="u-1")
    run.update("add", "ink", id="u-2")
    assert run.update("add", "ink", id="u-2").dropped
    run.complete(2, "ink")
    run.complete(1, "pen")
    assert (run.outcome("u-2"), run.outcome("u-1")) == (1, 2)
    count = len(run.events)
    with pytest.raises(UpdateRejectedError, match="ink is there already"):
        run.update("add", "ink", id="u-3")
    assert len(run.events) == count
    run.update("drop", "pen", id="u-4")
    assert run.outcome("u-4") == ["ink"]
    run.update("drop", "pen", id="u-5")
    assert (run.outcome("u-5").type, run.status) == ("ValueError", "running")
    run.update("pay", id="u-6")
    run.advance(SECOND_MS)
    assert run.outcome("u-6") == "thanks"


@workflow.define
async def hasty_basket(ctx: Context) -> Any:
    """Ends in the middle of an update."""

    @ctx.on_update("add")
    async def add(line: str) -> Any:
        return await ctx.execute_activity(pick, line)

    await ctx.receive_signal("close")
    return "closed"


def hasty_script(run: DrivenRun) -> None:
    run.update("add", "pen")
    run.signal("close")
    assert run.run.updates == {"u-1": 0}


@workflow.define
async def ended_by_update(ctx: Context) -> Any:
    """The answer comes before the end, in one step."""
    stopped: list[str] = []

    @ctx.on_update("stop")
    def stop(reason: str) -> str:
        stopped.append(reason)
        return f"stopped: {reason}"

    await ctx.wait_condition(lambda: stopped)
    return stopped[0]


def ended_by_update_script(run: DrivenRun) -> None:
    run.update("stop", "enough")
    assert run.outcome() == "stopped: enough"


@workflow.define
async def cancelled_within(ctx: Context) -> Any:
    """A handler that gives up its own activity has failed, and the run goes on."""

    @ctx.on_update("try")
    async def attempt() -> None:
        waiting = ctx.execute_activity(pick, 1)
        waiting.cancel()
        await waiting

    @ctx.on_update("tell")
    def tell() -> complex:
        """No JSON holds it."""
        return 1j

    return await ctx.receive_signal("close")


def cancelled_within_script(run: DrivenRun) -> None:
    run.update("try")
    assert run.outcome().type == "CancelledError"
    run.update("tell", id="u-2")
    assert run.outcome("u-2").type == "UsageError"
    run.signal("close", "closed")


def nothing(_run: DrivenRun) -> None:
    pass


R = ("R1-5", "R3-8")
SHAPES = [
    Shape(
        "a handler that comes after its signals",
        counted,
        counted_script,
        [1, 2, 3, 4],
        requirements=R,
    ),
    Shape("handlers that take time", worked_on, worked_on_script, ["one", "two", "three"]),
    Shape("an end that waits for no handler", ended_early, ended_early_script, False),
    *(
        Shape(
            f"a handler that fails {when}",
            failing_handler,
            failing_script,
            value=when,
            status="failed",
            failure="Stopped",
        )
        for when in ("at once", "later")
    ),
    Shape(
        "a signal that is not of the handler's hint",
        failing_handler,
        wrong_payload_script,
        value="",
        status="failed",
        failure="SignalPayloadError",
    ),
    Shape(
        "a cleanup that fails after a handler",
        failing_handler,
        failing_cleanup_script,
        value="",
        status="failed",
        failure="CompensationError",
    ),
    Shape(
        "a handler that fails first",
        failing_handler,
        failing_first_script,
        value="",
        status="failed",
        failure="Stopped",
    ),
    Shape("a handler in the place of another", replaced, replaced_script, ["first a", "second b"]),
    *(
        Shape(
            f"a signal with a handler that is {first} first",
            two_ways,
            nothing,
            value=first,
            status="failed",
            failure="UsageError",
        )
        for first in ("received", "handled")
    ),
    Shape(
        "a signal received, then handled",
        received_then_handled,
        received_then_handled_script,
        list("abc"),
    ),
    Shape("a handler that is a generator", by_generators, by_generators_script, ["one", "two"]),
    Shape("updates of every kind", basket, basket_script, ["ink"], requirements=R),
    Shape("an end in the middle of an update", hasty_basket, hasty_script, "closed"),
    Shape("an update that ends the run", ended_by_update, ended_by_update_script, "enough"),
    Shape("an update that fails by itself", cancelled_within, cancelled_within_script, "closed"),
    Shape("handlers behind a lock", one_at_a_time, one_at_a_time_script, ["one", "two"]),
]
