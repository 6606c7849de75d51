"""Handlers of signals: what their code may be, how they go with the main code, and what is told of them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.runs import SECOND_MS
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.codec import encode_payload
from weft.errors import UsageError
from weft.workflow import Context

pytestmark = pytest.mark.requirement("R1-5", "R3-8")


@activity.define
async def pick(line: Any) -> Any:
    return line


@dataclass
class Line:
    number: int


@workflow.define
async def taking(ctx: Context) -> Any:
    """Takes lines of a type of its own until it is told to stop."""
    lines: list[int] = []

    @dataclass
    class Stop:
        count: int

    stops: list[Stop] = []

    @ctx.on_signal("line")
    def line(one: Line) -> None:
        lines.append(one.number)

    @ctx.on_signal("stop")
    def stop(one: Stop) -> None:
        stops.append(one)

    @ctx.on_signal("bare")
    def bare() -> None:
        lines.append(0)

    @ctx.on_signal("default")
    def with_default(number: int = 9) -> None:
        lines.append(number)

    @ctx.on_signal("any")
    def anything(value: Any) -> None:
        if not isinstance(value, int):
            return
        lines.append(value)

    await ctx.wait_condition(lambda: stops and len(lines) == stops[0].count)
    return lines


def test_handler_is_given_its_hint_also_one_from_inside_of_the_workflow(drive: Drive) -> None:
    run = drive(taking)
    run.signal("line", {"number": 1})
    run.signal("bare")
    run.signal("any", "not a number")
    run.signal("any", 3)
    run.signal("default")
    run.signal("default", 8)
    run.signal("stop", {"count": 5})
    assert run.result == [1, 0, 3, 9, 8]


@pytest.mark.parametrize(
    ("name", "payload", "told"),
    [
        ("line", {"numer": 1}, "signal 'line' with ID 's-1': "),
        ("bare", 1, "signal 'bare' with ID 's-1': the handler of signal 'bare' takes no value"),
    ],
)
def test_payload_that_does_not_fit_fails_the_run_as_a_receive_call_does(
    drive: Drive, name: str, payload: object, told: str
) -> None:
    run = drive(taking)
    run.signal(name, payload, id="s-1")
    assert run.failure.type == "SignalPayloadError"
    assert run.failure.message.startswith(told)


async def _generator(_value: int) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda _one, _two: None, "takes 2 values; a signal has one at most"),
        (_generator, "is a generator"),
    ],
)
def test_function_that_cannot_be_a_handler_is_refused(
    drive: Drive, function: Any, why: str
) -> None:
    @workflow.define
    async def wrong(ctx: Context) -> None:
        ctx.on_signal("word")(function)

    run = drive(wrong)
    assert run.failure.type == "UsageError"
    assert f"the handler of signal 'word' {why}" in run.failure.message


def test_signals_have_one_way_to_go(drive: Drive) -> None:
    @workflow.define
    async def both(ctx: Context) -> Any:
        ctx.on_signal("word")(lambda: None)
        try:
            await ctx.receive_signal("word")
        except UsageError as error:
            return str(error)

    assert "each signal goes to one of them" in drive(both).result


@workflow.define
async def hasty(ctx: Context) -> None:
    @ctx.on_signal("item")
    async def item() -> None:
        await ctx.execute_activity(pick, 1)

    await ctx.sleep(1)


@pytest.mark.parametrize("came_count", [0, 2])
def test_end_before_the_handlers_is_warned_of_once(
    drive: Drive, caplog: pytest.LogCaptureFixture, came_count: int
) -> None:
    """Not in a replay."""
    run = drive(hasty, replayed=False)
    for _ in range(came_count):
        run.signal("item")
    with caplog.at_level(logging.WARNING, "weft.workflow"):
        run.advance(SECOND_MS)
        run.replay(hasty).close()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (1 if came_count else 0)
    assert all("the handler of signal 'item' (2)" in warning for warning in warnings)


def test_handler_that_is_cancelled_by_the_code_ends_quietly(drive: Drive) -> None:
    @workflow.define
    async def stopping(ctx: Context) -> Any:
        tasks: list[Any] = []

        @ctx.on_signal("item")
        async def item() -> None:
            tasks.append(asyncio.current_task())
            await ctx.sleep(60)

        await ctx.wait_condition(lambda: tasks)
        tasks[0].cancel()
        await ctx.wait_condition(ctx.all_handlers_finished)
        return "stopped"

    run = drive(stopping)
    run.signal("item")
    assert run.result == "stopped"


def test_cancelling_the_run_leaves_its_handlers_alone_until_it_ends(drive: Drive) -> None:
    @workflow.define
    async def cleaning(ctx: Context) -> Any:
        done: list[Any] = []

        @ctx.on_signal("item")
        async def item() -> None:
            done.append(await ctx.execute_activity(pick, 1))

        try:
            await ctx.sleep(60)
        except asyncio.CancelledError:
            await ctx.wait_condition(ctx.all_handlers_finished)
            ctx.set_status(done)
            raise

    run = drive(cleaning)
    run.signal("item")
    run.cancel()
    assert run.status == "running"
    run.complete("pick", "one")
    assert run.status == "cancelled"
    assert run.machine.custom_status == encode_payload(["one"])
