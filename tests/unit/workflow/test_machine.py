"""The machine: events in, commands out; beside others, thrown away, and inside of a program that uses asyncio."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from tests.support.runs import DrivenRun, place_of
from tests.unit.workflow.conftest import Drive
from weft import activity, workflow
from weft.codec import encode_payload
from weft.core import CompleteWorkflow, ScheduleActivity, StartTimer
from weft.errors import SignalPayloadError, TurnLimitError
from weft.records import (
    NULL,
    ActivityCompleted,
    ActivityDispatched,
    ActivityRetryScheduled,
    ChildCompleted,
    FailureInfo,
    Payload,
    SignalReceived,
    SignalWorkflow,
    TimerFired,
    WorkflowStarted,
)
from weft.workflow import Context, GeneratorContext, Machine, Workflow, _commands, _loop

NOW_MS = 1_700_000_000_000
STARTED = WorkflowStarted(1, NOW_MS, "run-1", "fulfil", input=encode_payload(5))


@activity.define(queue="slow", inline=True, timeout=9, retry=activity.Retry(max_attempts=7))
async def step(line: Any) -> Any:
    return line


@workflow.define
async def fulfil(ctx: Context, line: int) -> Any:
    done = await ctx.execute_activity(step, line)
    await asyncio.sleep(2)
    return done


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine(fulfil, "order-42")
    yield made
    made.close()


@workflow.define
async def waiting(ctx: Context, line: int) -> None:
    """Once for everything that there is to wait for."""
    await ctx.execute_activity(step, line)
    await ctx.sleep(2)
    await asyncio.sleep(2)
    await ctx.receive_signal("go")
    await ctx.execute_child("ship")


WAITED_FOR = (
    ActivityCompleted(3, NOW_MS, 1, "step", 1, NULL),
    TimerFired(5, NOW_MS, 2),
    TimerFired(7, NOW_MS, 3),
    SignalReceived(8, NOW_MS, "go"),
    ChildCompleted(10, NOW_MS, 4, "ship", "run-2", 1),
)


@pytest.fixture
def no_search_for_cycles() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_search_for_cycles")
@pytest.mark.parametrize("count", range(len(WAITED_FOR) + 1))
def test_machine_leaves_no_cycles_when_it_is_closed(count: int) -> None:
    """A hundred thousand runs that end together would be searched through again and again."""
    made = Machine(waiting, "order-42")
    for event in (STARTED, *WAITED_FOR[:count]):
        assert made.activate(event) or event.event_id == 7, "the code went on"
    main = made.main.task
    assert main is not None
    parts = [weakref.ref(part) for part in (made, made.loop, main)]
    made.close()
    del made, main
    assert [part() for part in parts] == [None, None, None]


def test_activation_returns_what_the_code_asked_for(machine: Machine) -> None:
    assert machine.activate(STARTED) == [
        ScheduleActivity(1, "step", encode_payload([5]), "slow", True, 9000, step.policy)
    ]
    completed = ActivityCompleted(3, NOW_MS + 10, 1, "step", 1, encode_payload("done"))
    assert machine.activate(completed) == [StartTimer(2, NOW_MS + 2010)]
    assert machine.activate(TimerFired(5, NOW_MS + 2010, 2)) == [
        CompleteWorkflow(encode_payload("done"))
    ]


def test_code_sees_nothing_of_events_that_are_not_activations(machine: Machine) -> None:
    machine.activate(STARTED)
    before = place_of(machine)
    failure = FailureInfo("Blip")
    assert machine.activate(ActivityRetryScheduled(3, NOW_MS, 1, "step", 1, NOW_MS, failure)) == []
    assert machine.activate(ActivityDispatched(4, NOW_MS, 1, 2)) == []
    assert place_of(machine) == before


def test_code_is_not_woken_by_what_it_does_not_wait_for(machine: Machine) -> None:
    machine.activate(STARTED)
    assert machine.activate(ActivityCompleted(3, NOW_MS, 9, "step", 1, NULL)) == []
    assert machine.activate(TimerFired(4, NOW_MS, 9)) == []
    assert list(machine.activities.open) == [1]


def test_code_is_not_woken_when_it_has_ended() -> None:
    @workflow.define
    async def short(ctx: Context) -> None: ...

    machine = Machine(short, "order-42")
    assert machine.activate(STARTED) == [CompleteWorkflow(NULL)]
    assert machine.activate(ActivityCompleted(3, NOW_MS, 1, "step", 1, NULL)) == []
    machine.close()


def test_time_stands_still_within_an_activation(drive: Drive) -> None:
    told: list[float] = []

    @workflow.define
    async def clock(ctx: Context) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            told.append(loop.time())
            await asyncio.sleep(0)
        await asyncio.sleep(60)
        told.append(loop.time())

    run = drive(clock, replayed=False)
    run.advance(60_500)
    assert told == [run.run.created_ms / 1000] * 3 + [(run.run.created_ms + 60_000) / 1000]


def test_code_can_tell_a_replay_from_the_first_time(drive: Drive) -> None:
    told: list[bool] = []

    @workflow.define
    async def logging(ctx: Context) -> None:
        told.append(ctx.is_replaying)
        await ctx.execute_activity(step, 1)
        told.append(ctx.is_replaying)
        await ctx.execute_activity(step, 2)
        told.append(ctx.is_replaying)

    run = drive(logging, replayed=False)
    run.complete("step")
    run.crash()
    run.complete("step")
    assert told == [False, False, True, True, False]


def test_replay_of_a_changed_result_type_is_the_codes_failure_and_not_the_engines(
    drive: Drive,
) -> None:
    @workflow.define
    async def typed(ctx: Context) -> Any:
        return await ctx.receive_signal("number", int)

    run = drive(typed)
    run.signal("number", "five")
    assert run.failure.type == "SignalPayloadError"
    assert "signal 'number'" in run.failure.message


class Age(BaseModel):
    years: int

    @field_validator("years")
    @classmethod
    def _known(cls, value: int) -> int:
        return {7: value}[value]


@pytest.mark.parametrize(
    ("hint", "payload", "why"),
    [
        (int, "five", """"five" is not int: Expected `int`, got `str`"""),
        (Age, {"years": "many"}, "is not Age: "),
        (Age, {"years": 8}, "KeyError: 8"),
    ],
    ids=["type", "model", "validator that breaks"],
)
def test_signal_that_does_not_fit_is_told_at_its_receive_call_and_may_be_caught(
    drive: Drive, hint: Any, payload: Any, why: str
) -> None:
    """Whoever can write to the topic may send anything: a workflow need not fail of it."""
    caught: list[SignalPayloadError] = []

    @workflow.define
    async def typed(ctx: Context) -> Any:
        try:
            await ctx.receive_signal("number", hint, timeout=60)
        except SignalPayloadError as error:
            caught.append(error)
        return await ctx.receive_signal("number")

    run = drive(typed, replayed=False)
    run.signal("number", payload, id="s-1")
    run.signal("number", 5)
    assert run.result == 5
    (error,) = caught
    assert str(error).startswith("signal 'number' with ID 's-1': ")
    assert why in str(error)
    assert (error.signal, error.signal_id, error.payload) == ("number", "s-1", payload)
    assert run.story[:3] == ["WorkflowStarted", "TimerStarted", "SignalReceived"]


def test_signal_that_nobody_can_read_is_told_at_its_receive_call(drive: Drive) -> None:
    """Payloads are carried unread: a number without end comes to light where it is received."""

    @workflow.define
    async def typed(ctx: Context) -> Any:
        try:
            return await ctx.receive_signal("number")
        except SignalPayloadError as error:
            return [error.signal_id, error.payload]

    run = drive(typed)
    run.give(SignalWorkflow("number", Payload(b"1e999"), "s-1"))
    assert run.result == ["s-1", None]


def test_signals_go_on_after_one_that_does_not_fit_when_they_are_asked_for_again(
    drive: Drive,
) -> None:
    @workflow.define
    async def collecting(ctx: Context) -> Any:
        numbers: list[int] = []
        while len(numbers) < 3:
            try:
                async for number in ctx.signals("number", int):
                    numbers.append(number)  # the error must not lose them
                    if len(numbers) == 3:
                        break
            except SignalPayloadError:
                numbers.append(-1)
        return numbers

    run = drive(collecting)
    for value in (1, "zwei", 3):
        run.signal("number", value)
    assert run.result == [1, -1, 3]


# Beside others.


@workflow.define
async def talkative(ctx: Context, name: str) -> Any:
    """Uses all that could be shared by mistake."""
    told = []
    for number in range(3):
        told.append(
            [name, asyncio.current_task() is not None, ctx.now().isoformat(), ctx.random().random()]
        )
        await asyncio.gather(ctx.execute_activity(step, number), asyncio.sleep(number))
    return told


def advance_once(run: DrivenRun) -> None:
    if run.open:
        run.complete("step")
    else:
        run.advance_to_next()


def outcome_of(run: DrivenRun) -> Any:
    while not run.run.ended:
        advance_once(run)
    return run.result


def test_machines_do_not_disturb_one_another_when_their_turns_alternate(drive: Drive) -> None:
    alone = [outcome_of(drive(talkative, name, run_id=name)) for name in ("a", "b")]
    together = [drive(talkative, name, run_id=name) for name in ("a", "b")]
    while not together[0].run.ended:
        for run in together:
            advance_once(run)
    assert [run.result for run in together] == alone


def test_runs_draw_different_numbers(drive: Drive) -> None:
    @workflow.define
    async def dice(ctx: Context) -> Any:
        return [ctx.random().random(), str(ctx.uuid4())]

    first, again, second = (drive(dice, run_id=run_id).result for run_id in ("r-1", "r-1", "r-2"))
    assert first == again
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_outer_asyncio_program_goes_on_undisturbed(drive: Drive) -> None:
    """A machine runs inside of a coroutine, as in a test or a tool; the outer loop and task stay what they were."""

    async def outer() -> list[Any]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        ticking = asyncio.create_task(tick())
        run = drive(talkative, "inner")
        while not run.run.ended:
            advance_once(run)
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
            await asyncio.sleep(0)
        run.close()
        assert asyncio.get_running_loop() is loop
        ticks = await ticking
        assert len(asyncio.all_tasks()) == 1
        return [run.result, ticks]

    async def tick() -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return 3

    result, ticks = asyncio.run(outer())
    assert ticks == 3
    assert result == outcome_of(drive(talkative, "inner"))


def test_outer_asyncio_program_keeps_its_async_generators_to_itself(drive: Drive) -> None:
    @workflow.define
    async def following(ctx: Context) -> Any:
        async for line in ctx.signals("line"):
            if line == 2:
                return line
        return None

    async def outer() -> tuple[Any, Any]:
        before = sys.get_asyncgen_hooks()
        run = drive(following)
        run.signal("line", 1)
        half = drive(following)
        half.signal("line", 1)
        half.close()
        run.signal("line", 2)
        run.close()
        gc.collect()
        await asyncio.sleep(0)
        assert sys.get_asyncgen_hooks() == before
        return run.result, len(asyncio.all_tasks())

    assert asyncio.run(outer()) == (2, 1)


def test_outer_asyncio_program_has_asyncios_own_as_completed() -> None:
    """Only on a workflow's loop are coroutines taken in the order given."""

    async def outer() -> set[int]:
        async def one(number: int) -> int:
            await asyncio.sleep(0)
            return number

        repeated = one(1)
        return {await each for each in asyncio.as_completed([repeated, one(2), repeated])}

    assert asyncio.run(outer()) == {1, 2}


def test_thread_is_left_without_a_running_loop(machine: Machine) -> None:
    machine.activate(STARTED)
    assert asyncio._get_running_loop() is None


def test_thread_is_left_without_a_running_loop_when_the_code_exits() -> None:
    @workflow.define
    async def leaving(ctx: Context) -> None:
        sys.exit(3)

    machine = Machine(leaving, "order-42")
    with pytest.raises(SystemExit):
        machine.activate(STARTED)
    assert asyncio._get_running_loop() is None
    machine.close()


# Thrown away.


async def _wait_again(ctx: Context, told: list[str]) -> None:
    try:
        await ctx.sleep(1)
        told.append("slept")
    finally:
        await ctx.execute_activity(step, "in a helper")
        told.append("helped")


def wait_in_finally(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    async def code(ctx: Context) -> None:
        try:
            await ctx.execute_activity(step, 1)
        finally:
            told.append("finally")
            try:
                await ctx.execute_activity(step, 2)
                told.append("went on")
            finally:
                await _wait_again(ctx, told)

    return code


def tasks_in_finally(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    async def code(ctx: Context) -> None:
        async def later(name: str) -> None:
            told.append(name)

        try:
            await ctx.receive_signal("never")
        finally:
            told.append("finally")
            asyncio.create_task(later("task"))  # noqa: RUF006
            await asyncio.gather(later("gathered"), later("gathered too"))
            told.append("went on")

    return code


def group(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    async def code(ctx: Context) -> None:
        async def child(name: str) -> None:
            try:
                await ctx.sleep(1)
            finally:
                told.append("finally")
                await _wait_again(ctx, told)
                told.append("went on")

        async with asyncio.TaskGroup() as tasks:
            for name in "abc":
                tasks.create_task(child(name))
            await ctx.execute_activity(step, 1)

    return code


def generator(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    def code(ctx: GeneratorContext) -> Any:
        try:
            yield ctx.call_activity(step, input=1)
        finally:
            told.append("finally")
            yield ctx.call_activity(step, input=2)
            told.append("went on")

    return code


def raising_in_finally(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    async def code(ctx: Context) -> None:
        try:
            await asyncio.gather(ctx.execute_activity(step, 1), _wait_again(ctx, told))
        finally:
            told.append("finally")
            raise ValueError("while it is thrown away")

    return code


def never_looked_at(told: list[str]) -> Workflow[None, Any]:
    @workflow.define
    async def code(ctx: Context) -> None:
        async def failing() -> None:
            raise ValueError("nobody looks")

        told.append("finally")
        background = asyncio.create_task(failing())
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(ValueError("nobody looks"))
        await ctx.execute_activity(step, 1)
        del background

    return code


CODES = [wait_in_finally, tasks_in_finally, group, generator, raising_in_finally, never_looked_at]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.__name__)
@pytest.mark.parametrize("inside", [False, True], ids=["in a thread", "in an asyncio program"])
def test_closed_machine_does_nothing_more_and_complains_to_nobody(
    code: Any, inside: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    async def close_inside() -> None:
        begin_and_close(code(told))
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    if inside:
        asyncio.run(close_inside())
    else:
        begin_and_close(code(told))
    gc.collect()
    assert set(told) == {"finally"}, "finally blocks run up to where they would wait"
    assert capfd.readouterr() == ("", "")


def begin_and_close(code: Workflow[Any, Any]) -> None:
    machine = Machine(code, "order-42")
    machine.activate(STARTED)
    machine.close()
    machine.close()
    assert machine.activate(TimerFired(3, NOW_MS, 1)) == []


def test_machine_may_be_closed_before_it_began() -> None:
    Machine(fulfil, "order-42").close()


# Code that does not come to rest.


def test_activation_is_refused_when_its_steps_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loop, "CALLBACKS_MAX", 1000)

    @workflow.define
    async def dozing(ctx: Context) -> None:
        while True:  # noqa: ASYNC110  # that is what it does
            await asyncio.sleep(0)

    machine = Machine(dozing, "order-42")
    with pytest.raises(TurnLimitError, match="took 1000 steps without waiting"):
        machine.activate(STARTED)
    machine.close()


def test_limit_of_steps_is_that_of_one_activation(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop, "CALLBACKS_MAX", 50)

    @workflow.define
    async def busy(ctx: Context) -> int:
        for _ in range(10):
            for _ in range(40):
                await asyncio.sleep(0)
            await ctx.sleep(1)
        return 10

    run = drive(busy)
    run.advance(10_000)
    assert run.result == 10


@pytest.mark.parametrize("swallows", [False, True])
def test_activation_is_refused_when_it_asks_for_too_much(
    monkeypatch: pytest.MonkeyPatch, *, swallows: bool
) -> None:
    """Whatever the code does with what is raised in it."""
    monkeypatch.setattr(_commands, "COMMANDS_MAX", 10)

    @workflow.define
    async def greedy(ctx: Context) -> str:
        try:
            while True:
                ctx.execute_activity(step, 1)
        except BaseException:
            if not swallows:
                raise
        return "enough"

    machine = Machine(greedy, "order-42")
    with pytest.raises(TurnLimitError, match="more than 10 activities and timers"):
        machine.activate(STARTED)
    machine.close()
