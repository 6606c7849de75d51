"""Shapes of generator workflows: `x = yield ctx.call_activity(...)`."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from tests.property.corpus.activities import backwards
from tests.property.corpus.endings import nothing
from tests.property.corpus.shapes import Shape, charge, pick, refund, ship
from tests.support.runs import DAY_MS, DrivenRun
from weft import activity, workflow
from weft.errors import ActivityError, UsageError
from weft.workflow import GeneratorContext

Steps = Generator[Any, Any, Any]


@activity.define
async def tick() -> str:
    return "tock"


@workflow.define
def sequence(ctx: GeneratorContext, cents: int) -> Steps:
    paid = yield ctx.call_activity(charge, input=cents)
    shipped = yield ctx.call_activity("ship", input={"paid": paid})
    ticked = yield ctx.call_activity(tick)
    return [paid, shipped, ticked, ctx.instance_id]


def sequence_script(run: DrivenRun) -> None:
    assert (run.open, run.inputs) == (["charge"], [[500]])
    run.complete("charge", 501)
    assert (run.open, run.inputs) == (["ship"], [[{"paid": 501}]])
    run.complete("ship", "parcel-1")
    assert (run.open, run.inputs) == (["tick"], [[]])
    run.complete("tick", "tock")


@workflow.define
def timers(ctx: GeneratorContext) -> Steps:
    began = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(hours=1))
    yield ctx.create_timer(began + timedelta(days=2))
    yield ctx.create_timer((began + timedelta(days=3)).replace(tzinfo=None))
    yield ctx.create_timer(began - timedelta(days=1))
    return (ctx.current_utc_datetime - began).total_seconds()


def timers_script(run: DrivenRun) -> None:
    assert run.timers == [DAY_MS // 24]
    run.advance(timedelta(hours=1))
    assert run.timers == [2 * DAY_MS]
    run.advance(timedelta(days=2))
    assert run.timers == [3 * DAY_MS]
    run.advance(timedelta(days=2))


@workflow.define
def event(ctx: GeneratorContext) -> Steps:
    approval = yield ctx.wait_for_external_event("approval")
    try:
        yield ctx.wait_for_external_event("another", timeout=timedelta(days=1))
    except TimeoutError:
        return [approval, "no other"]
    return "another"


def event_script(run: DrivenRun) -> None:
    run.signal("approval", {"by": "Ada"})
    assert run.timers == [DAY_MS]
    run.advance(timedelta(days=1))


@workflow.define
def all_of_them(ctx: GeneratorContext, lines: list[int]) -> Steps:
    picks = [ctx.call_activity(pick, input=line) for line in lines]
    results = yield ctx.when_all(picks)
    return [results, [task.is_complete for task in picks], picks[0].get_result()]


def all_of_them_script(run: DrivenRun) -> None:
    assert run.inputs == [[7], [8], [9]], "all at once"
    backwards(run)


@workflow.define
def all_with_a_failure(ctx: GeneratorContext) -> Steps:
    try:
        yield ctx.when_all([ctx.call_activity(pick, input=line) for line in range(3)])
    except ActivityError as error:
        refunded = yield ctx.call_activity(refund, input=1)
        return [error.type, refunded]
    return "no failure"


def all_with_a_failure_script(run: DrivenRun) -> None:
    run.complete(1)
    run.fail_for_good(3, "OutOfStock")
    run.complete("refund", 1)


@workflow.define
def any_of_them(ctx: GeneratorContext) -> Steps:
    approval = ctx.wait_for_external_event("approval")
    deadline = ctx.create_timer(timedelta(hours=1))
    winner = yield ctx.when_any([approval, deadline])
    if winner == approval:
        deadline.cancel()
        return ["approved", winner.get_result()]
    return ["too late", deadline.is_complete]


def approved_script(run: DrivenRun) -> None:
    run.signal("approval", "yes")
    assert run.timers == []


def too_late_script(run: DrivenRun) -> None:
    run.advance(timedelta(hours=1))


@workflow.define
def all_in_time(ctx: GeneratorContext) -> Steps:
    """A fan-out with a time limit: one combination inside another."""
    everything = ctx.when_all([ctx.call_activity(pick, input=line) for line in range(3)])
    either = ctx.when_any(
        [ctx.wait_for_external_event("stop"), ctx.create_timer(timedelta(minutes=1))]
    )
    winner = yield ctx.when_any([everything, either])
    if winner is everything:
        return everything.get_result()
    everything.cancel()
    return "stopped"


def stopped_script(run: DrivenRun) -> None:
    run.complete(2)
    run.signal("stop")
    assert run.open == []


@workflow.define
def failing_activity(ctx: GeneratorContext) -> Steps:
    try:
        yield ctx.call_activity(charge, input=1)
    except ActivityError as error:
        return f"{error.type} after {error.attempts}"
    return "no failure"


def failing_activity_script(run: DrivenRun) -> None:
    for _ in range(3):
        run.fail("charge", "CardDeclined")
        run.advance(1000)


@workflow.define
def wrong_yield(ctx: GeneratorContext) -> Steps:
    told = ""
    try:
        yield 5
    except UsageError as error:
        told = str(error)
    assert "yielded 5" in told
    yield ctx.when_any([])


@workflow.define
def cleaning_up(ctx: GeneratorContext) -> Steps:
    try:
        yield ctx.call_activity(charge, input=1)
    finally:
        yield ctx.call_activity(refund, input=1)


def cleaning_up_script(run: DrivenRun) -> None:
    run.cancel("enough")
    assert run.open == ["refund"]
    run.complete("refund", 1)


@workflow.define
def delegating(ctx: GeneratorContext) -> Steps:
    """Generators may use one another."""
    first = yield from _pay_and_ship(ctx, 1)
    second = yield from _pay_and_ship(ctx, 2)
    return [first, second]


def _pay_and_ship(ctx: GeneratorContext, cents: int) -> Steps:
    paid = yield ctx.call_activity(charge, input=cents)
    return (yield ctx.call_activity(ship, input=paid))


def delegating_script(run: DrivenRun) -> None:
    for cents in (10, 20):
        run.complete("charge", cents)
        run.complete("ship", f"parcel of {cents}")


@workflow.define
def nothing_to_wait_for(ctx: GeneratorContext) -> Steps:
    return "at once"
    yield


SHAPES = [
    Shape(
        "a generator's sequence",
        sequence,
        sequence_script,
        value=500,
        result=[501, "parcel-1", "tock", "order-42"],
        requirements=("R2-19",),
    ),
    Shape(
        "a generator's timers",
        timers,
        timers_script,
        result=3 * 24 * 3600.0,
        requirements=("R2-18", "R2-20", "R2-26"),
    ),
    Shape(
        "a generator's external events",
        event,
        event_script,
        result=[{"by": "Ada"}, "no other"],
        requirements=("R2-11", "R2-21"),
    ),
    Shape(
        "when_all",
        all_of_them,
        all_of_them_script,
        value=[7, 8, 9],
        result=[[1, 2, 3], [True, True, True], 1],
        requirements=("R2-27", "R2-29"),
    ),
    Shape(
        "when_all with a failure",
        all_with_a_failure,
        all_with_a_failure_script,
        result=["OutOfStock", 1],
    ),
    Shape(
        "when_any, the first",
        any_of_them,
        approved_script,
        result=["approved", "yes"],
        requirements=("R2-28",),
    ),
    Shape(
        "when_any, the second",
        any_of_them,
        too_late_script,
        result=["too late", True],
        requirements=("R2-28",),
    ),
    Shape("when_all within when_any, all done", all_in_time, backwards, result=[1, 2, 3]),
    Shape("when_all within when_any, stopped", all_in_time, stopped_script, result="stopped"),
    Shape(
        "a generator's failing activity",
        failing_activity,
        failing_activity_script,
        result="CardDeclined after 3",
        requirements=("R2-33",),
    ),
    Shape("a generator's wrong yield", wrong_yield, nothing, status="failed", failure="UsageError"),
    Shape("a generator that cleans up", cleaning_up, cleaning_up_script, status="cancelled"),
    Shape(
        "generators in one another",
        delegating,
        delegating_script,
        result=["parcel of 10", "parcel of 20"],
    ),
    Shape("a generator without a wait", nothing_to_wait_for, nothing, result="at once"),
]
