"""The research pipeline in virtual time, against the model's stand-in; then for real, on the embedded log."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.model import client, rules
from examples.model.client import ModelUnavailable
from examples.research.workflow import (
    Report,
    Topic,
    research,
    search,
    synthesize,
    tell_reviewers,
)

from tests.support.serving import make_topics, serving
from weft.client import Client
from weft.errors import WorkflowFailedError
from weft.log import open_log
from weft.records import ActivityScheduled
from weft.testing import Environment, Handle, crash_everywhere

pytestmark = pytest.mark.usefixtures("model")

SURE = Topic("How high was the lighthouse of Alexandria?")
UNSURE = Topic("What makes the tide?")
DAY = timedelta(days=1)


@pytest.mark.requirement("R2-27", "R2-29", "R2-39")
def test_answer_is_published_without_a_person_when_the_model_is_sure(env: Environment) -> None:
    run = env.start(research, SURE)
    report = run.result()
    assert (report.status, report.confidence, report.reviewed_by) == (
        "published",
        0.95,
        "policy sure",
    )
    assert report.sources == ["encyclopedia", "papers", "news"]
    assert "a hundred metres" in report.answer
    assert env.calls(tell_reviewers) == []
    first = [event for event in run.history if isinstance(event, ActivityScheduled)][:4]
    assert [event.activity for event in first] == ["search", "search", "search", "synthesize"]
    assert [event.event_id for event in first[:3]] == [2, 3, 4], "all asked before any answers"


@pytest.mark.requirement("R2-31", "R2-39")
def test_person_decides_when_the_model_is_not_sure(env: Environment) -> None:
    run = env.start(research, UNSURE)
    run.signal("hitl-1", {"decision": "approve", "by": "Grace"}, after=2.5 * DAY)
    report = run.result()
    assert (report.status, report.confidence, report.reviewed_by) == ("published", 0.45, "Grace")
    assert report.sources == ["encyclopedia"]
    assert len(env.calls(tell_reviewers)) == 3, "reminded daily"


@pytest.mark.requirement("R2-39")
def test_answer_of_a_person_goes_before_that_of_the_model(env: Environment) -> None:
    run = env.start(research, UNSURE)
    said = {"decision": "modify", "by": "Grace", "modified": {"answer": "The moon, mostly."}}
    run.signal("hitl-1", said)
    report = run.result()
    assert (report.answer, report.status) == ("The moon, mostly.", "published")


def answer_in_order(env: Environment, _run: Handle[Any]) -> None:
    """By the same rules, without sockets: what is asked at once is answered in the same order each time."""
    env.fake(search, rules.found)
    env.fake(synthesize, lambda prompt: rules.summed_up(prompt)["content"])


def reject_then_approve(env: Environment, run: Handle[Any]) -> None:
    answer_in_order(env, run)
    feedback = {"decision": "reject", "by": "Grace", "feedback": "Mention the sun first."}
    run.signal("hitl-1", feedback, after=DAY)
    run.signal("hitl-2", {"decision": "approve", "by": "Ada"}, after=2 * DAY)


@pytest.mark.requirement("R1-28", "R2-39")
@pytest.mark.parametrize(
    "topic,play,status,confidence",
    [
        (SURE, answer_in_order, "published", 0.95),
        (UNSURE, reject_then_approve, "published", 0.65),
        (UNSURE, answer_in_order, "unreviewed", 0.45),
    ],
)
def test_research_ends_the_same_when_its_worker_crashes_anywhere(
    topic: Topic, play: Any, status: str, confidence: float
) -> None:
    report = crash_everywhere(research, topic, play=play)
    assert report is not None
    assert (report.status, report.confidence) == (status, confidence)


@pytest.mark.requirement("R2-39")
def test_rejection_with_feedback_gives_another_draft_and_the_last_one_counts(
    env: Environment,
) -> None:
    run = env.start(research, Topic("What is love?"))
    for number in (1, 2, 3):
        no = {"decision": "reject", "by": "Grace", "feedback": f"No. {number}"}
        run.signal(f"hitl-{number}", no)
    report = run.result()
    assert (report.status, report.reviewed_by) == ("rejected", "Grace")
    drafts = [call.arguments[0] for call in env.calls(synthesize)]
    assert [draft.count("A reviewer says") for draft in drafts] == [0, 1, 2]


@pytest.mark.requirement("R2-39")
def test_source_that_is_away_is_reported_and_the_others_count(env: Environment) -> None:
    report = env.start(research, Topic(SURE.question, ("papers", "gazette", "news"))).result()
    assert (report.sources, report.failed_sources) == (["papers", "news"], ["gazette"])
    assert report.confidence == 0.7
    assert [call.arguments[0] for call in env.calls(search)].count("gazette") == 4
    assert report.status == "unreviewed"


def test_draft_is_asked_for_again_when_the_model_answers_with_prose(env: Environment) -> None:
    good = '{"answer": "High.", "confidence": 7}'
    env.fake(synthesize, "Well, it depends.", '{"answer": 1}', good)
    report = env.start(research, SURE).result()
    assert (report.answer, report.confidence) == ("High.", 1.0)
    env.fake(synthesize, "Well, it depends.")
    with pytest.raises(WorkflowFailedError, match="no draft in 3 answers"):
        env.start(research, SURE).result()


def test_research_waits_for_a_model_that_is_overloaded(env: Environment) -> None:
    env.fake(synthesize, *[ModelUnavailable("429")] * 5, '{"answer": "High.", "confidence": 1}')
    assert env.start(research, SURE).result().answer == "High."
    assert [call.attempt for call in env.calls(synthesize)] == [1, 2, 3, 4, 5, 6]


def test_client_tells_what_may_be_tried_again_from_what_may_not(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(client.ModelUnavailable, match="answers 503"):
        asyncio.run(client.look_into("gazette", "tide"))
    monkeypatch.setenv("MODEL_URL", f"{model}/elsewhere")
    with pytest.raises(client.ModelRefused, match="answers 404") as refused:
        asyncio.run(client.ask("hello"))
    assert refused.value.non_retryable
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:1")
    with pytest.raises(client.ModelUnavailable, match=r"no answer from 127\.0\.0\.1:1"):
        asyncio.run(client.ask("hello"))


@pytest.mark.requirement("R2-2", "R2-31", "R2-39", "R2-42")
def test_open_review_outlives_its_worker_on_the_embedded_log(tmp_path: Path) -> None:
    activities: list[Any] = [search, synthesize, tell_reviewers]

    async def run() -> Report:
        with closing(open_log(embedded=tmp_path / "log.weft")) as log:
            make_topics(log, "research")
            async with Client(log, namespace="research") as asking:
                async with serving(log, "research", [research], activities, instance_id="w1"):
                    handle = await asking.start(research, UNSURE, id="tides", wait_s=30)
                    await until_in_review(handle)
                async with serving(log, "research", [research], activities, instance_id="w1"):
                    (question,) = await handle.query("questions")
                    said = {"request_id": question["request"]["id"], "decision": "approve"}
                    await handle.update("answer", {**said, "by": "Ada"})
                    return await handle.result(timeout=30)

    async def until_in_review(handle: Any) -> None:
        async with asyncio.timeout(30):
            while "in review" not in ((await handle.describe()).custom_status or ""):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    report = asyncio.run(run())
    assert (report.status, report.reviewed_by) == ("published", "Ada")
