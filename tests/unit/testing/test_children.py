"""Children in virtual time: run, faked, crashed, and in other namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ChildWorkflowError, Failure, UsageError, WorkflowFailedError
from weft.records import ChildRetryScheduled
from weft.testing import CrashError, Environment, Handle, StuckError, crash_everywhere


@activity.define
async def weigh(parcel: str) -> int:
    return len(parcel)


@workflow.define
async def packing(ctx: workflow.Context, parcel: str) -> int:
    await ctx.sleep(timedelta(hours=1))
    return await ctx.execute_activity(weigh, parcel)


@workflow.define
async def shipping(ctx: workflow.Context, parcels: list[str]) -> int:
    """One child each, at the same time; one more in another namespace."""
    weights = await asyncio.gather(*(ctx.execute_child(packing, parcel) for parcel in parcels))
    last = await ctx.start_child(packing.options(namespace="billing", id="bill"), "bill")
    return sum(weights) + await last


@workflow.define
async def flaky(ctx: workflow.Context, number: int) -> int:
    raise ConnectionError(f"no {number}")


@workflow.define
async def trying(ctx: workflow.Context, number: int) -> str:
    retry = Retry(max_attempts=3, initial_interval=60, jitter=0, max_interval=600)
    try:
        return str(await ctx.execute_child(flaky.options(retry=retry), number))
    except ChildWorkflowError as error:
        return f"{error.type} after {error.attempts}"


@workflow.define
async def waiting(ctx: workflow.Context) -> str:
    return await ctx.receive_signal("word", str)


@workflow.define
async def talking(ctx: workflow.Context, word: str) -> str:
    child = await ctx.start_child(waiting)
    await child.signal("word", word)
    other = await ctx.start_child(waiting.options(id="other"))
    await ctx.signal("other", "word", word.upper())
    return f"{await child} {await other}"


@workflow.define
def generating(ctx: workflow.GeneratorContext, parcel: str) -> Generator[Any, Any, Any]:
    first = yield ctx.call_child_workflow(packing, input=parcel)
    second = yield ctx.call_child_workflow("packing", input=parcel, instance_id="named")
    return [first, second]


@pytest.mark.requirement("R3-15")
def test_children_run_in_virtual_time_and_in_other_namespaces(env: Environment) -> None:
    run = env.start(shipping, ["box", "crate"])
    assert [child.status for child in run.children] == ["running", "running"]
    assert run.result() == 3 + 5 + 4
    assert env.elapsed == timedelta(hours=2)
    assert env.handle("bill", namespace="billing").result() == 4
    with pytest.raises(Exception, match="no workflow 'bill'"):
        env.handle("bill")


def test_children_come_through_a_crash_at_every_event() -> None:
    assert crash_everywhere(shipping, ["box", "crate"]) == 12
    assert crash_everywhere(trying, 7) == "ConnectionError after 3"
    assert crash_everywhere(talking, "psst") == "psst PSST"
    assert crash_everywhere(generating, "box") == [3, 3]


@workflow.define
async def tidy(ctx: workflow.Context, name: str) -> str:
    """Waits for long, and cleans up when it is cancelled."""
    try:
        await ctx.sleep(timedelta(days=1))
    except asyncio.CancelledError:
        async with ctx.cancel_scope(shield=True):
            await ctx.execute_activity(weigh, f"{name} is tidied up")
        raise
    return name


@workflow.define
async def grouping(ctx: workflow.Context) -> list[str]:
    """Children in a group, of which one fails; one against the clock; one that is shielded; the first of three."""
    told: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                group.create_task(_run(ctx, tidy.options(id=name), name))
            group.create_task(_run(ctx, flaky.options(id="f"), 1))
    except* ChildWorkflowError as errors:
        told += [str(error.type) for error in errors.exceptions if isinstance(error, Failure)]
    try:
        async with asyncio.timeout(60):
            await ctx.execute_child(tidy.options(id="t"), "t")
    except TimeoutError:
        told.append("too long")
    kept = await ctx.start_child(packing.options(id="k"), "k")
    try:
        async with asyncio.timeout(60):
            await asyncio.shield(kept.result())
    except TimeoutError:
        told.append(f"shielded {await kept}")
    racers = [ctx.execute_child(tidy.options(id=f"r{n}"), f"r{n}") for n in range(2)]
    racers.append(ctx.execute_child(tidy.options(id="r2", timeout=30), "r2"))
    done, pending = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    told.append(f"{len(done)} of {len(racers)}")
    for racer in pending:
        racer.cancel()
    told += [str(type(racer.exception()).__name__) for racer in done]
    return told


async def _run(ctx: workflow.Context, child: workflow.Child[Any, Any], value: object) -> Any:
    return await ctx.execute_child(child, value)


GROUPED = ["ConnectionError", "too long", "shielded 1", "1 of 3", "ChildWorkflowError"]


def test_asyncio_with_children_comes_through_a_crash_at_every_event() -> None:
    assert crash_everywhere(grouping) == GROUPED


def test_children_that_are_not_waited_for_any_more_clean_up(env: Environment) -> None:
    run = env.start(grouping)
    assert run.result() == GROUPED
    env.advance(1)
    stands = {child.id: child.status for child in run.children}
    assert stands == {
        "a": "cancelled",
        "b": "cancelled",
        "f": "failed",
        "t": "cancelled",
        "k": "completed",
        "r0": "cancelled",
        "r1": "cancelled",
        "r2": "timed_out",
    }
    tidied = [call.arguments[0] for call in env.calls(weigh) if call.workflow_id != "k"]
    assert sorted(tidied) == [f"{name} is tidied up" for name in ("a", "b", "r0", "r1", "t")]


_kept: list[str] = []
"""What the process of a worker knows."""


@workflow.define
async def remembering(ctx: workflow.Context) -> int:
    """What it does follows from what its process has seen."""
    await ctx.sleep(1)
    await ctx.execute_activity(weigh, "".join(_kept))
    return 0


@workflow.define
async def outer(ctx: workflow.Context) -> str:
    await ctx.start_child(remembering.options(parent_close="abandon"))
    await ctx.sleep(10)
    return "done"


def test_crash_error_names_the_child_that_ends_otherwise() -> None:
    def play(env: Environment, _run: Handle[Any]) -> None:
        _kept[:] = ["here"]
        crashes = env._crashes
        assert crashes is not None

        def forget(workflow_id: str, run_id: str, first: int, last: int) -> bool:
            is_lost = crashes(workflow_id, run_id, first, last)
            if is_lost:
                _kept.clear()
            return is_lost

        env._crash_at(forget)

    with pytest.raises(CrashError, match=r"test/outer-1/0{7}1-1, which outer has started"):
        crash_everywhere(outer, play=play)


@pytest.mark.requirement("R3-17")
def test_child_is_run_again_in_virtual_time(env: Environment) -> None:
    run = env.start(trying, 7)
    assert run.result() == "ConnectionError after 3"
    assert env.elapsed == timedelta(seconds=60 + 120)
    assert sum(isinstance(event, ChildRetryScheduled) for event in run.history) == 2


def test_fake_takes_the_place_of_a_child(env: Environment) -> None:
    env.fake_child(packing, lambda parcel: 100 * len(parcel), takes=timedelta(days=1))
    run = env.start(shipping, ["box", "crate"])
    assert run.result() == 300 + 500 + 400
    assert env.elapsed == timedelta(days=2)
    assert [(call.input, call.namespace) for call in env.child_calls(packing)] == [
        ("box", "test"),
        ("crate", "test"),
        ("bill", "billing"),
    ]
    assert run.children == []
    assert env.calls() == []


def test_fakes_give_one_outcome_after_the_other(env: Environment) -> None:
    env.fake_child(flaky, ConnectionError("no"), 5)
    assert env.start(trying, 7).result() == "5"
    assert [call.attempt for call in env.child_calls("flaky")] == [1, 2]


def test_faked_child_ends_as_its_parent_wants(env: Environment) -> None:
    env.fake_child(waiting, "never", takes=timedelta(days=1000))
    run = env.start(talking, "psst")
    run.cancel(after=5)
    assert run.wait() == "cancelled"
    assert env.elapsed == timedelta(seconds=5)


@pytest.mark.parametrize(
    "outcomes,text",
    [(["three"], "gave what the workflow never does"), ([1, 2], "was started once more")],
)
def test_wrong_fake_of_a_child_fails_the_test(
    env: Environment, outcomes: list[Any], text: str
) -> None:
    env.fake_child(packing, *outcomes)
    with pytest.raises(UsageError, match=text):
        env.start(shipping, ["box", "crate"]).result()


def test_child_that_nobody_has_keeps_its_parent_waiting(env: Environment) -> None:
    @workflow.define
    async def calling(ctx: workflow.Context) -> Any:
        return await ctx.execute_child("elsewhere", 1)

    run = env.start(calling)
    with pytest.raises(StuckError):
        run.result()
    env.fake_child("elsewhere", "there")
    assert env.start(calling).result() == "there"


def test_child_called_by_its_name_is_found_when_it_is_served(env: Environment) -> None:
    @workflow.define
    async def calling(ctx: workflow.Context) -> Any:
        return await ctx.execute_child("packing", "box")

    env.serve(packing)
    assert env.start(calling).result() == 3


@pytest.mark.requirement("R3-16")
def test_end_of_a_parent_ends_its_children(env: Environment) -> None:
    run = env.start(shipping, ["box"])
    (child,) = run.children
    run.terminate("enough")
    assert child.status == "terminated"
    assert child.reason == f"its parent {run.id!r} was terminated"


def test_uncaught_failure_of_a_child_fails_its_parent_with_its_cause(env: Environment) -> None:
    @workflow.define
    async def careless(ctx: workflow.Context) -> int:
        return await ctx.execute_child(flaky, 3)

    with pytest.raises(WorkflowFailedError, match=r"failed with ConnectionError: no 3") as caught:
        env.start(careless).result()
    assert caught.value.type == "ConnectionError"


_KILL: Any = "kill"


@pytest.mark.parametrize(
    "what,text",
    [
        (lambda ctx: ctx.execute_child(weigh, "box"), "is no workflow"),
        (lambda ctx: ctx.execute_child(packing, 7), "packing, input"),
        (lambda ctx: ctx.execute_child(packing.options(id="\0"), "box"), "control characters"),
        (lambda ctx: ctx.execute_child(packing.options(parent_close=_KILL), "box"), "parent_close"),
        (lambda ctx: ctx.execute_child(packing.options(namespace="no way"), "box"), "namespace"),
        (lambda ctx: ctx.signal("", "word"), "must not be empty"),
        (lambda ctx: ctx.signal("other", ""), "needs a name"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused_at_once(
    env: Environment, what: Any, text: str
) -> None:
    @workflow.define
    async def asking(ctx: workflow.Context) -> str:
        try:
            await what(ctx)
        except UsageError as error:
            return str(error)
        return "taken"

    assert text in env.start(asking).result()
