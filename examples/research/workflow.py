"""Research: ask several sources at once, let a model sum up what they say, and ask a person when it is not sure.

python -m examples.model.server
weft dev examples/research/workflow.py
weft start research --input '{"question": "How high was the lighthouse of Alexandria?"}' --id lighthouse --wait
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

from examples.model import client
from weft import activity, workflow
from weft.activity import Retry, llm_activity
from weft.errors import ActivityError, Failure
from weft.hitl import InteractionRequest, InteractionResponse, Policy
from weft.workflow import Questions

CONFIDENCE_MIN = 0.8
"""Below it, a person looks at the answer before it is given."""
DRAFTS_MAX = 3
REVIEW_TIMEOUT = timedelta(days=3)
REMIND_EVERY = timedelta(days=1)

POLICIES = (Policy("publish", confidence_min=CONFIDENCE_MIN, risk_max="irreversible", name="sure"),)


@dataclass(frozen=True)
class Topic:
    question: str
    sources: tuple[str, ...] = ("encyclopedia", "papers", "news")


@dataclass(frozen=True)
class Draft:
    """What the model is asked to give, as JSON."""

    answer: str
    confidence: float


@dataclass(frozen=True)
class Report:
    """`status` is `published`, `rejected` (by a person) or `unreviewed` (nobody looked at it in time)."""

    question: str
    answer: str
    confidence: float
    status: str
    reviewed_by: str = ""
    sources: list[str] = field(default_factory=list)
    failed_sources: list[str] = field(default_factory=list)


@activity.define(retry=Retry(max_attempts=4), timeout=timedelta(seconds=90))
async def search(source: str, question: str) -> str:
    return await client.look_into(source, question)


synthesize = llm_activity(client.ask, name="synthesize").options(
    retry=Retry(max_attempts=6, max_interval=timedelta(minutes=1)), timeout=timedelta(minutes=2)
)


@activity.define
async def tell_reviewers(request: InteractionRequest) -> None:
    """Here it would be a message to a chat; the answer comes by `weft update`, or from any Kafka producer."""
    print(f"{activity.info().workflow_id}: {request.description} [{request.id}]")


@workflow.define
async def research(ctx: workflow.Context, topic: Topic) -> Report:
    people = Questions(
        ctx,
        notify=tell_reviewers,
        policies=POLICIES,
        timeout=REVIEW_TIMEOUT,
        remind_every=REMIND_EVERY,
    )
    ctx.set_status("searching")
    findings, failed = await searched(ctx, topic)
    feedback: list[str] = []
    while True:
        ctx.set_status("writing")
        draft = await written(ctx, topic, findings, feedback)
        ctx.set_status({"in review": draft.answer, "confidence": draft.confidence})
        try:
            review = await people.ask(review_request(topic, draft))
        except TimeoutError:
            ctx.set_status("nobody reviewed it")
            return reported(topic, draft, None, findings, failed)
        if review.decision == "reject" and review.feedback and len(feedback) < DRAFTS_MAX - 1:
            feedback.append(review.feedback)
            continue
        ctx.set_status(f"reviewed by {review.by}")
        return reported(topic, draft, review, findings, failed)


async def searched(ctx: workflow.Context, topic: Topic) -> tuple[dict[str, str], list[str]]:
    """What the sources say, all asked at once; those that could not be had are no reason to give up."""
    results = await asyncio.gather(
        *(ctx.execute_activity(search, source, topic.question) for source in topic.sources),
        return_exceptions=True,
    )
    findings: dict[str, str] = {}
    failed: list[str] = []
    for source, result in zip(topic.sources, results, strict=True):
        if isinstance(result, ActivityError):
            failed.append(source)
        elif isinstance(result, BaseException):
            raise result
        elif result:
            findings[source] = result
    return findings, failed


async def written(
    ctx: workflow.Context, topic: Topic, findings: dict[str, str], feedback: list[str]
) -> Draft:
    """A draft. A model may answer with anything: what is no draft is asked for again, which is one more activity."""
    prompt = "\n".join(
        [
            f"Answer this question by what was found: {topic.question}",
            *(f"- [{source}] {text}" for source, text in findings.items()),
            *(f"A reviewer says: {each}" for each in feedback),
            'Answer in JSON: {"answer": text, "confidence": 0 to 1}',
        ]
    )
    for _ in range(DRAFTS_MAX):
        draft = read_draft(await ctx.execute_activity(synthesize, prompt))
        if draft is not None:
            return draft
    raise Failure(f"the model gave no draft in {DRAFTS_MAX} answers", type="NoDraft")


def read_draft(text: str) -> Draft | None:
    try:
        value = json.loads(text)
        return Draft(str(value["answer"]), min(1.0, max(0.0, float(value["confidence"]))))
    except (ValueError, TypeError, KeyError):
        return None


def review_request(topic: Topic, draft: Draft) -> InteractionRequest:
    return InteractionRequest(
        f"Is this right? {topic.question} {draft.answer}",
        tool_name="publish",
        input={"answer": draft.answer},
        confidence=draft.confidence,
    )


def reported(
    topic: Topic,
    draft: Draft,
    review: InteractionResponse | None,
    findings: dict[str, str],
    failed: list[str],
) -> Report:
    answer, status, reviewed_by = draft.answer, "unreviewed", ""
    if review is not None:
        status = "rejected" if review.decision == "reject" else "published"
        reviewed_by = review.by
        if review.decision == "modify" and review.modified is not None:
            answer = str(review.modified.get("answer", answer))
    return Report(
        topic.question, answer, draft.confidence, status, reviewed_by, list(findings), failed
    )
