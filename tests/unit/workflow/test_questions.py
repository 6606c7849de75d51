"""People asked by a workflow, in virtual time: the question is in the run, whatever happens to workers."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.errors import UpdateRejectedError, WorkflowFailedError
from weft.hitl import InteractionRequest, InteractionResponse, Policy
from weft.testing import Environment, Handle, crash_everywhere
from weft.workflow import Questions

POLICIES = (Policy("publish", confidence_min=0.8, risk_max="irreversible", name="sure"),)
DAY = timedelta(days=1)


@activity.define(retry=activity.Retry(max_attempts=1))
async def tell(request: InteractionRequest) -> None: ...


@workflow.define
async def publish(ctx: workflow.Context, confidence: float) -> list[str]:
    people = Questions(ctx, notify=tell, policies=POLICIES, timeout=7 * DAY, remind_every=2 * DAY)
    request = InteractionRequest("Publish it?", tool_name="publish", confidence=confidence)
    try:
        answer = await people.ask(request)
    except TimeoutError as error:
        return [str(error)]
    return [answer.decision, answer.by, answer.request_id]


def answer_late(_env: Environment, run: Handle[Any]) -> None:
    run.signal("hitl-1", {"decision": "approve", "by": "Grace"}, after=5 * DAY)


@pytest.mark.requirement("R2-31")
def test_question_waits_for_days_and_reminds_until_it_is_answered(env: Environment) -> None:
    run = env.start(publish, 0.5)
    answer_late(env, run)
    assert run.result() == ["approve", "Grace", "hitl-1"]
    assert env.elapsed == 5 * DAY
    times = [call.time - env.calls(tell)[0].time for call in env.calls(tell)]
    assert times == [0 * DAY, 2 * DAY, 4 * DAY]
    (request,) = env.calls(tell)[0].arguments
    assert (request.id, request.description) == ("hitl-1", "Publish it?")
    assert run.untaken_signals == []


@pytest.mark.requirement("R1-28", "R2-31")
def test_question_is_asked_and_answered_the_same_when_its_worker_crashes_anywhere() -> None:
    assert crash_everywhere(publish, 0.5, play=answer_late) == ["approve", "Grace", "hitl-1"]


@pytest.mark.requirement("R2-31")
def test_nobody_is_asked_when_a_policy_approves(env: Environment) -> None:
    assert env.start(publish, 0.8).result() == ["approve", "policy sure", ""]
    assert env.calls(tell) == []
    assert env.elapsed == timedelta(0)


@pytest.mark.requirement("R2-31")
def test_question_ends_with_a_timeout_when_nobody_answers(env: Environment) -> None:
    assert env.start(publish, 0.5).result() == [
        "nobody answered question 'hitl-1' within 7 days, 0:00:00"
    ]
    assert env.elapsed == 7 * DAY


def test_what_is_no_answer_is_passed_over(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    run = env.start(publish, 0.5)
    run.signal("hitl-1", {"decision": "perhaps"}, after=DAY)
    run.signal("hitl-1", {"decision": "reject", "by": "Ada"}, after=2 * DAY)
    with caplog.at_level(logging.WARNING, "weft.workflow"):
        assert run.result() == ["reject", "Ada", "hitl-1"]
    assert "no answer to question 'hitl-1'" in caplog.text
    assert "perhaps" in caplog.text


def test_question_stays_open_when_nobody_can_be_told(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    env.fake(tell, ConnectionError("the chat is down"))
    run = env.start(publish, 0.5)
    answer_late(env, run)
    with caplog.at_level(logging.WARNING, "weft.workflow"):
        assert run.result() == ["approve", "Grace", "hitl-1"]
    assert "nobody could be told of question 'hitl-1'" in caplog.text


@pytest.mark.requirement("R2-31")
def test_update_answers_and_tells_that_it_was_taken(env: Environment) -> None:
    run = env.start(publish, 0.5)
    env.advance(DAY)
    answer = {"request_id": "hitl-1", "decision": "approve", "by": "Grace"}
    assert run.update("answer", answer, hint=InteractionResponse).by == "Grace"
    assert run.result() == ["approve", "Grace", "hitl-1"]
    assert env.elapsed == DAY


@pytest.mark.requirement("R1-28", "R2-31")
def test_update_answers_the_same_when_the_worker_crashes_anywhere() -> None:
    def play(_env: Environment, run: Handle[Any]) -> None:
        answer = {"request_id": "hitl-1", "decision": "reject", "by": "Ada"}
        run.update("answer", answer, wait="accepted", after=3 * DAY)

    assert crash_everywhere(publish, 0.5, play=play) == ["reject", "Ada", "hitl-1"]


@pytest.mark.requirement("R2-31")
@pytest.mark.parametrize(
    "answer,text",
    [
        ({"request_id": "hitl-9", "decision": "approve"}, r"'hitl-9' is not open \(open: hitl-1\)"),
        ({"decision": "approve"}, "question '' is not open"),
        ({"request_id": "hitl-1", "decision": "perhaps"}, "perhaps"),
    ],
)
def test_update_is_refused_when_it_answers_nothing(
    env: Environment, answer: dict[str, str], text: str
) -> None:
    run = env.start(publish, 0.5)
    with pytest.raises(UpdateRejectedError, match=text):
        run.update("answer", answer)
    assert [each["request"]["id"] for each in run.query("questions")] == ["hitl-1"]


def test_later_answer_by_the_other_way_answers_no_later_question(env: Environment) -> None:
    @workflow.define
    async def twice(ctx: workflow.Context) -> list[str]:
        people = Questions(ctx, timeout=5 * DAY)
        return [(await people.ask(InteractionRequest())).by for _ in range(2)]

    run = env.start(twice)
    run.update("answer", {"request_id": "hitl-1", "decision": "approve", "by": "Ada"})
    run.signal("hitl-1", {"decision": "approve", "by": "too late"})
    with pytest.raises(UpdateRejectedError, match="'hitl-1' is not open"):
        run.update("answer", {"request_id": "hitl-1", "decision": "approve"})
    run.signal("hitl-2", {"decision": "approve", "by": "Grace"})
    assert run.result() == ["Ada", "Grace"]
    assert run.untaken_signals == ["hitl-1"]


def test_late_answer_answers_nothing_in_the_next_run_of_a_chain(env: Environment) -> None:
    @workflow.define
    async def again(ctx: workflow.Context, by: str) -> list[str]:
        answer = await Questions(ctx, timeout=5 * DAY).ask(InteractionRequest())
        if not by:
            ctx.continue_as_new(answer.by)
        return [by, answer.by, answer.request_id]

    run = env.start(again, "")
    for name in ("Ada", "Ada once more"):
        run.signal("hitl-1", {"decision": "approve", "by": name}, after=DAY)
    run.signal("hitl-2-1", {"decision": "approve", "by": "Grace"}, after=2 * DAY)
    assert run.result() == ["Ada", "Grace", "hitl-2-1"]


def test_nobody_is_reminded_of_what_is_answered(env: Environment) -> None:
    @workflow.define
    async def patient(ctx: workflow.Context) -> None:
        await Questions(ctx, notify=tell, remind_every=DAY).ask(InteractionRequest())
        await ctx.sleep(10 * DAY)

    run = env.start(patient)
    run.signal("hitl-1", {"decision": "approve"}, after=1.5 * DAY)
    run.result()
    assert len(env.calls(tell)) == 2


def test_answer_is_taken_when_telling_takes_longer_than_it(env: Environment) -> None:
    env.fake(tell, takes=timedelta(minutes=9))
    run = env.start(publish, 0.5)
    run.signal("hitl-1", {"decision": "approve"}, after=timedelta(minutes=1))
    assert run.result() == ["approve", "", "hitl-1"]
    assert env.elapsed == timedelta(minutes=1)


@workflow.define
async def two_at_once(ctx: workflow.Context) -> list[str]:
    people = Questions(ctx)
    answers = await asyncio.gather(
        people.ask(InteractionRequest("Left?")),
        people.ask(InteractionRequest("Right?", id="right", timeout=DAY)),
    )
    return [answer.decision for answer in answers]


@pytest.mark.requirement("R2-31")
def test_query_tells_what_is_open_and_until_when(env: Environment) -> None:
    run = env.start(two_at_once)
    left, right = run.query("questions")
    assert (left["request"]["id"], left["request"]["description"]) == ("hitl-1", "Left?")
    assert left["due"] is None
    assert (right["request"]["id"], right["asked"]) == ("right", "2026-01-01T00:00:00Z")
    assert right["due"] == "2026-01-02T00:00:00Z"
    run.signal("right", {"decision": "reject"})
    assert [each["request"]["id"] for each in run.query("questions")] == ["hitl-1"]
    run.signal("hitl-1", {"decision": "approve"}, after=400 * DAY)
    assert run.result() == ["approve", "reject"]


def test_question_is_refused_when_its_id_was_asked_under_before(env: Environment) -> None:
    @workflow.define
    async def twice(ctx: workflow.Context) -> None:
        people = Questions(ctx, notify="tell_the_boss")
        for _ in range(2):
            await people.ask(InteractionRequest("Sure?", id="sure"))

    env.fake("tell_the_boss")
    run = env.start(twice)
    run.signal("sure", {"decision": "approve"})
    with pytest.raises(WorkflowFailedError, match="question 'sure' was asked before"):
        run.result()


def test_question_is_refused_when_it_cannot_be_written(env: Environment) -> None:
    @workflow.define
    async def unwritable(ctx: workflow.Context) -> None:
        await Questions(ctx).ask(InteractionRequest(input={"file": object()}))

    with pytest.raises(WorkflowFailedError, match="cannot be stored"):
        env.start(unwritable).result()


@pytest.mark.parametrize(
    "options,text",
    [
        ({"notify": len}, "notify is an activity, or the name of one"),
        ({"remind_every": 0}, "remind_every must be longer than zero"),
        ({"timeout": -1}, "timeout must be a finite duration"),
    ],
)
def test_questions_are_refused_when_an_option_is_wrong(
    env: Environment, options: dict[str, Any], text: str
) -> None:
    @workflow.define
    async def wrong(ctx: workflow.Context) -> None:
        Questions(ctx, **options)

    with pytest.raises(WorkflowFailedError, match=text):
        env.start(wrong).result()


def test_question_is_closed_when_the_workflow_is_cancelled_while_it_waits(env: Environment) -> None:
    run = env.start(publish, 0.5)
    run.cancel(after=DAY)
    assert run.wait() == "cancelled"
    env.advance(7 * DAY)
    assert len(env.calls(tell)) == 1, "and nobody is reminded any more"
