"""The test kit's environment: production's behaviour, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.testing import flows
from tests.unit.testing.flows import CardDeclined, Receipt, charge, price, weigh
from weft import activity, workflow
from weft.errors import (
    AlreadyStartedError,
    RefusedError,
    UnknownWorkflowError,
    UpdateFailedError,
    UpdateRejectedError,
    UsageError,
    WorkflowFailedError,
)
from weft.records import ActivityStarted, TimerFired
from weft.testing import Environment, StuckError
from weft.testing import _environment as limits


def test_activities_run_for_real_when_they_have_no_fake(env: Environment) -> None:
    assert env.start(flows.buy, "lamp").result() == "100 4 40"
    assert sorted(call.activity for call in env.calls()) == ["charge", "price", "weigh"]


def test_no_thread_is_made_when_a_plain_activity_runs(env: Environment) -> None:
    @activity.define
    def where() -> str:
        return asyncio.run(_thread_name())

    @workflow.define
    async def ask(ctx: workflow.Context) -> str:
        return await ctx.execute_activity(where)

    assert env.start(ask).result() == threading.current_thread().name


async def _thread_name() -> str:
    return threading.current_thread().name


def test_month_passes_when_nothing_else_is_left_to_do(env: Environment) -> None:
    run = env.start(flows.approved, "lamp")
    assert env.now == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.result() == "nobody"
    assert env.elapsed == timedelta(days=32)


def test_signal_comes_at_its_virtual_time(env: Environment) -> None:
    env.fake(charge, Receipt("lamp", 7))
    run = env.start(flows.approved, "lamp", id="order-1")
    run.signal("approval", "Grace", after=timedelta(days=31))
    assert run.result() == "Grace 7"
    assert env.elapsed == timedelta(days=31)
    assert run.untaken_signals == []


def test_signal_that_nobody_takes_is_named(env: Environment) -> None:
    run = env.start(flows.patient)
    run.signal("word", "first")
    run.signal("word", "second")
    run.signal("other")
    assert run.result() == "first"
    assert run.untaken_signals == ["other", "word"]


def test_signal_is_received_once_when_it_is_sent_twice_under_one_id(env: Environment) -> None:
    run = env.start(flows.patient)
    run.signal("word", "first", id="s-1")
    run.signal("word", "again", id="s-1")
    assert run.result() == "first"
    assert run.untaken_signals == []


def test_signal_is_refused_when_the_run_has_ended(env: Environment) -> None:
    run = env.start(flows.buy, "lamp")
    run.signal("late", after=60)
    run.result()
    with pytest.raises(RefusedError, match=r"has ended \(completed\)"):
        run.signal("late")
    assert env.refused == []
    env.advance(60)
    assert "has ended (completed)" in env.refused[0]


@pytest.mark.requirement("R1-22", "R2-33")
def test_attempts_fail_and_are_tried_again_when_a_fake_raises(env: Environment) -> None:
    env.fake(charge, RuntimeError("down"), TimeoutError, Receipt("lamp", 5))
    assert env.start(flows.buy, "lamp").result() == "5 4 40"
    calls = env.calls(charge)
    assert [call.attempt for call in calls] == [1, 2, 3]
    assert {call.arguments for call in calls} == {("lamp",)}
    assert [call.time - calls[0].time for call in calls] == [
        timedelta(seconds=0),
        timedelta(seconds=1),
        timedelta(seconds=3),
    ]


def test_activity_fails_at_once_when_the_fake_raises_what_is_not_retried(env: Environment) -> None:
    env.fake(charge, CardDeclined("no money"))
    with pytest.raises(WorkflowFailedError, match="no money") as caught:
        env.start(flows.buy, "lamp", id="order-1").result()
    assert (caught.value.status, caught.value.type) == ("failed", "CardDeclined")
    assert len(env.calls(charge)) == 1


def test_fake_is_called_with_the_arguments_as_the_activity_would_get_them(env: Environment) -> None:
    async def later(order: str) -> Receipt:
        await asyncio.sleep(300)
        return Receipt(order, len(order) + activity.info().attempt)

    env.fake("charge", later)
    env.fake(weigh, 1000)
    env.fake(price)
    with pytest.raises(
        UsageError, match="price gave what the activity never does: null is not int"
    ):
        env.start(flows.buy, "lamp").result()
    assert env.elapsed == timedelta(minutes=5)


def test_what_a_fake_returns_is_what_the_workflow_gets(env: Environment) -> None:
    env.fake("charge", lambda order: Receipt(order, activity.info().attempt))
    env.fake(weigh, 1000)
    env.fake(price, 2, takes=timedelta(minutes=5))
    assert env.start(flows.buy, "lamp").result() == "1 1000 2"
    assert env.elapsed == timedelta(minutes=5)


def test_activity_without_a_definition_is_faked_by_its_name(env: Environment) -> None:
    @workflow.define
    async def elsewhere(ctx: workflow.Context) -> Any:
        return await ctx.execute_activity("translate", "lamp", "de")

    env.fake("translate", lambda word, language: f"{word} in {language}")
    assert env.start(elsewhere).result() == "lamp in de"


@pytest.mark.parametrize(
    "outcomes,problem",
    [
        (["no receipt"], r'charge gave what the activity never does: "no receipt" is not Receipt'),
        ([object()], "charge gave what the activity never does"),
        ([lambda: None], "charge was called with 1 arguments: too many positional arguments"),
        (
            [RuntimeError("a"), RuntimeError("b")],
            "charge has 2 outcomes, and was called once more",
        ),
    ],
)
def test_wrong_fake_fails_the_test_and_not_the_activity(
    env: Environment, outcomes: list[Any], problem: str
) -> None:
    env.fake(charge, *outcomes)
    with pytest.raises(UsageError, match=problem):
        env.start(flows.buy, "lamp").result()


def test_strict_environment_refuses_activities_without_a_fake() -> None:
    with Environment(strict=True) as env:
        with pytest.raises(
            UsageError, match="'charge' has no fake, and this environment is strict"
        ):
            env.start(flows.buy, "lamp").result()
        assert env.calls() == []


def test_activity_by_name_is_refused_when_nobody_knows_its_function(env: Environment) -> None:
    @workflow.define
    async def elsewhere(ctx: workflow.Context) -> Any:
        return await ctx.execute_activity("translate")

    with pytest.raises(UsageError, match=r"by its name alone.*env\.fake\('translate', RESULT\)"):
        env.start(elsewhere).result()


@pytest.mark.requirement("R2-33")
@pytest.mark.parametrize(
    "kind,ending,passed_s",
    [
        ("start", "TimeoutError after 3", 60 * 3 + 3),
        ("close", "TimeoutError after 1", 60),
        ("heartbeat", "HeartbeatTimeoutError after 3", 60 * 3 + 3),
    ],
)
def test_timeout_ends_what_takes_too_long(
    env: Environment, kind: str, ending: str, passed_s: int
) -> None:
    env.fake(charge, Receipt("", 1), takes=timedelta(hours=2))
    assert env.start(flows.bounded, kind).result() == ending
    assert env.elapsed == timedelta(seconds=passed_s)


def test_activity_that_takes_long_has_begun_in_time(env: Environment) -> None:
    env.fake(charge, Receipt("", 1), takes=timedelta(minutes=5))
    assert env.start(flows.bounded, "queue").result() == "in time"
    assert env.elapsed == timedelta(minutes=5)


def test_activity_that_beats_is_not_out_of_time(env: Environment) -> None:
    async def steady(order: str) -> Receipt:
        for step in range(10):
            await asyncio.sleep(50)
            activity.heartbeat(step)
        return Receipt(order, 1)

    env.fake(charge, steady)
    run = env.start(flows.bounded, "heartbeat")
    assert run.result() == "in time"
    assert any(isinstance(event, ActivityStarted) for event in run.history)


def test_cancelled_run_cleans_up_and_ends_cancelled(env: Environment) -> None:
    run = env.start(flows.cleaned)
    run.cancel("enough", after=timedelta(days=1))
    with pytest.raises(WorkflowFailedError, match="was cancelled: enough"):
        run.result()
    assert (run.status, run.reason) == ("cancelled", "enough")
    assert env.calls(weigh)[0].arguments == ("on the way out",)


def test_activity_is_interrupted_when_its_run_is_terminated(env: Environment) -> None:
    interrupted = []

    async def slow(order: str) -> Receipt:
        try:
            await asyncio.sleep(3600)
        finally:
            interrupted.append(env.elapsed)
        raise AssertionError("nobody waits for it")

    env.fake(charge, slow)
    run = env.start(flows.buy, "lamp")
    run.terminate("stop", after=60)
    assert run.wait() == "terminated"
    env.settle()
    assert interrupted == [timedelta(seconds=60)]


def test_run_times_out_as_a_whole(env: Environment) -> None:
    run = env.start(flows.cleaned, timeout=timedelta(days=365))
    assert run.wait() == "timed_out"
    assert env.elapsed == timedelta(days=365)


def test_suspended_run_goes_on_with_what_came_when_it_is_resumed(env: Environment) -> None:
    run = env.start(flows.approved, "lamp")
    run.suspend("on hold", after=timedelta(days=29))
    run.signal("approval", "Grace", after=timedelta(days=40))
    with pytest.raises(StuckError, match=r"is suspended.*run\.resume"):
        run.result()
    assert (run.status, run.reason) == ("suspended", "on hold")
    assert env.elapsed == timedelta(days=40)
    env.crash()
    run.resume(after=timedelta(days=1))
    assert run.result() == "Grace 100"
    assert env.elapsed == timedelta(days=41)


def test_query_is_answered_by_the_code_as_it_stands(env: Environment) -> None:
    run = env.start(flows.progressing, 3)
    assert run.query("done") == 0
    for number in range(1, 3):
        run.signal("next")
        assert run.query("done", hint=int) == number
    env.crash()
    assert run.query("done") == 2
    with pytest.raises(RefusedError, match=r"answers no query 'left' \(it answers: done\)"):
        run.query("left")
    run.signal("next")
    assert run.result() == 3


def test_result_names_the_signal_and_the_line_when_nobody_sends_it(env: Environment) -> None:
    run = env.start(flows.patient)
    with pytest.raises(StuckError, match=r"waits for signal 'word' \(.*flows\.py, line \d+\)"):
        run.result()
    run.signal("word", "there")
    assert run.result() == "there"


def test_handlers_of_signals_take_virtual_time(env: Environment) -> None:
    run = env.start(flows.collecting, 2)
    run.signal("order", "lamp", after=60)
    with pytest.raises(StuckError, match="waits for signal 'order' "):
        run.result()
    run.signal("order", "desk lamp", after=60)
    assert run.result() == [4, 9]
    assert env.elapsed == timedelta(days=2, seconds=120), (
        "the first day passed while it was waited for"
    )
    assert run.untaken_signals == []


def test_updates_are_answered_in_virtual_time(env: Environment) -> None:
    run = env.start(flows.basket)
    assert run.update("add", "lamp", hint=list[int]) == [4]
    assert env.elapsed == timedelta(days=1)
    assert run.update("add", "chair", id="u-1", wait="accepted") == "u-1"
    assert env.elapsed == timedelta(days=1)
    env.crash()
    assert run.update("add", "chair", id="u-1") == [4, 5]
    with pytest.raises(UpdateRejectedError, match="was rejected: too heavy") as rejected:
        run.update("add", "grand piano, black")
    assert rejected.value.type == "TooHeavy"
    run.update("add", "grand piano, black", after=60)
    with pytest.raises(UpdateFailedError, match="failed with CardDeclined: no money"):
        run.update("pay", 0)
    env.advance(60)
    assert "too heavy" in env.refused[0]
    assert run.update("add", "pen", id="u-2", wait="accepted") == "u-2"
    assert run.update("pay", 5) == "thanks"
    assert run.result() == 12
    assert run.update("add", "pen", id="u-2") == [4, 5, 3]
    with pytest.raises(RefusedError, match="has ended"):
        run.update("add", "pen", id="u-3")


def test_update_that_is_never_answered_says_what_its_run_waits_for(env: Environment) -> None:
    run = env.start(flows.basket)
    run.suspend()
    with pytest.raises(StuckError, match="is suspended"):
        run.update("add", "lamp", id="u-1")
    (kept,) = run.updates
    assert (kept.update_id, kept.update, kept.status) == ("u-1", "add", "kept")
    assert kept.since == env.now
    run.resume()
    (accepted,) = run.updates
    assert accepted == replace(kept, status="accepted")
    assert run.update("add", "lamp", id="u-1") == [4]
    assert run.updates == []
    run.update("add", "pen", id="u-2", wait="accepted")
    run.terminate()
    assert run.updates == []
    with pytest.raises(UpdateFailedError, match="has ended"):
        run.update("add", "pen", id="u-2")


def test_result_gives_up_when_a_workflow_goes_round_for_ever(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TURNS_MAX", 50)
    with pytest.raises(StuckError, match="no end to it: 50 turns"):
        env.start(flows.endless).result()


def test_time_passes_so_far_and_no_further(env: Environment) -> None:
    run = env.start(flows.endless)
    env.advance(timedelta(seconds=5))
    assert env.elapsed == timedelta(seconds=5)
    assert sum(isinstance(event, TimerFired) for event in run.history) == 5
    assert run.status == "running"


def test_two_workflows_share_one_time(env: Environment) -> None:
    first = env.start(flows.patient, id="first")
    second = env.start(flows.approved, "lamp", id="second")
    first.signal("word", "hello", after=timedelta(days=1))
    assert second.result() == "nobody"
    assert first.status == "completed"


def test_id_is_taken_as_long_as_its_run_is_open(env: Environment) -> None:
    run = env.start(flows.patient, id="one")
    with pytest.raises(AlreadyStartedError, match="'one' is running already"):
        env.start(flows.patient, id="one")
    run.terminate()
    assert env.start(flows.patient, id="one").status == "running"


def test_wrong_input_is_refused_where_it_enters(env: Environment) -> None:
    with pytest.raises(UsageError, match="needs the workflow itself, not 'buy'"):
        env.start("buy")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="workflow buy, input"):
        env.start(flows.buy, 7)  # type: ignore[misc]


def test_what_cannot_be_meant_is_refused(env: Environment) -> None:
    run = env.start(flows.patient)
    with pytest.raises(UsageError):
        run.signal("")
    with pytest.raises(UsageError, match="no duration"):
        env.advance(-1)
    with pytest.raises(UsageError, match="is no activity"):
        env.fake(7)  # type: ignore[arg-type]
    with pytest.raises(UnknownWorkflowError):
        env._owner.head("nobody")


@pytest.mark.requirement("R1-28")
def test_run_goes_on_when_its_worker_crashes(env: Environment) -> None:
    run = env.start(flows.approved, "lamp")
    env.advance(timedelta(days=10))
    env.crash()
    run.signal("approval", "Grace")
    env.crash()
    assert run.result() == "Grace 100"
    assert env.elapsed == timedelta(days=30)


def test_inline_activity_runs_again_when_the_worker_crashes_meanwhile(env: Environment) -> None:
    env.fake(price, 1, takes=60)
    run = env.start(flows.buy, "lamp")
    env.advance(30)
    env.crash()
    assert run.result() == "100 4 1"
    assert [call.attempt for call in env.calls(price)] == [1, 1]
    assert env.elapsed == timedelta(seconds=90)


def test_run_is_blocked_when_other_code_does_not_fit_and_goes_on_with_code_that_does(
    env: Environment,
) -> None:
    @workflow.define(name="approved")
    async def changed(ctx: workflow.Context, order: str) -> str:
        weight = await ctx.execute_activity(weigh, order)
        return str(weight)

    run = env.start(flows.approved, "lamp")
    env.deploy(changed)
    assert env.elapsed == timedelta(0)
    assert run.wait() == "blocked"
    assert env.elapsed == timedelta(days=30), "as in production: its code is not needed before"
    assert "the history has StartTimer number 1" in run.reason
    assert 'the code asked for ScheduleActivity "weigh"' in run.reason
    with pytest.raises(StuckError, match="is blocked: Replay of approved-1 differs"):
        run.result()
    run.signal("approval", "Grace")
    env.deploy(flows.approved)
    assert run.status == "completed"
    assert run.result() == "Grace 100"


async def _in_a_running_loop(env: Environment) -> str:
    run = env.start(flows.approved, "lamp")
    result = run.result()
    await asyncio.sleep(0)
    return result


def test_environment_works_in_an_async_test(env: Environment) -> None:
    assert asyncio.run(_in_a_running_loop(env)) == "nobody"


def test_real_time_passes_while_an_activity_waits_for_a_thread(env: Environment) -> None:
    release = threading.Event()

    async def in_a_thread(order: str) -> Receipt:
        asyncio.get_running_loop().call_later(0.02, release.set)
        assert await asyncio.to_thread(release.wait, 10)
        return Receipt(order, 1)

    env.fake(charge, in_a_thread)
    assert env.start(flows.bounded, "start").result() == "in time"
    assert timedelta(0) < env.elapsed < timedelta(minutes=1)


def test_long_history_is_whole_when_it_lies_in_pages(env: Environment) -> None:
    count = 400
    run = env.start(flows.long, count)
    assert run.result() == sum(range(count))
    assert env._owner.head(run.id).page_count > 0
    assert [event.event_id for event in run.history] == list(range(1, 2 * count + 3))


def test_status_of_its_own_is_told_as_it_stands(env: Environment) -> None:
    @workflow.define
    async def staged(ctx: workflow.Context) -> None:
        await ctx.sleep(60)
        ctx.set_status({"stage": 2})

    run = env.start(staged)
    assert run.custom_status is None
    run.result()
    assert run.custom_status == {"stage": 2}


def test_result_that_cannot_be_stored_is_said_to_be_the_workflows(env: Environment) -> None:
    @workflow.define
    async def odd(_: workflow.Context) -> Any:
        return threading.Lock()

    with pytest.raises(WorkflowFailedError, match=r"workflow odd, result: .*type lock cannot be"):
        env.start(odd).result()


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (
            lambda ctx: ctx.execute_activity(charge("lamp")),
            r"ctx\.execute_activity\(charge, \.\.\.\)",
        ),
        (lambda ctx: ctx.wait_condition(True), "wait_condition takes a function"),
        (lambda ctx: ctx.sleep("soon"), "sleep takes a timedelta, or seconds, not 'soon'"),
    ],
)
def test_slips_of_a_workflows_code_are_named(env: Environment, slip: Any, told: str) -> None:
    @workflow.define
    async def slips(ctx: workflow.Context) -> None:
        await slip(ctx)

    with pytest.raises(WorkflowFailedError, match=told):
        env.start(slips).result()
