"""An agent for customer care: the model decides what to do next, the workflow does it, and people say what it may.

python -m examples.model.server
weft dev examples/agent/workflow.py
weft start agent --input '{"text": "order-7 arrived broken, I want my money back"}' --id care-1
weft query care-1 questions
weft update care-1 answer --payload '{"request_id": "hitl-1", "decision": "approve", "by": "Grace"}'
weft result care-1
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from examples.agent import tools
from examples.model import client
from weft import activity, workflow
from weft.activity import Retry, tool_activity
from weft.errors import ActivityError, Failure
from weft.hitl import InteractionRequest, Policy
from weft.workflow import Questions

INSTRUCTIONS = "You care for a shop's customers. Look an order up before you do anything about it."
APPROVAL_TIMEOUT = timedelta(days=2)
POLICIES = (
    Policy("look_up_*", risk_max="read_only", name="looking"),
    Policy("refund", explicit=True),
)
"""Looking is free; giving money back needs a person, whoever is sure of it."""


@dataclass(frozen=True)
class Task:
    text: str
    rounds_max: int = 8


@dataclass(frozen=True)
class Answer:
    """`refunds` is what was really given back: by the run's history, not by what the model says."""

    text: str
    rounds: int
    refunds: list[dict[str, Any]]


@activity.define(retry=Retry(max_attempts=6), timeout=timedelta(minutes=2))
async def think(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's next message: an answer, or the tools that it wants."""
    return await client.chat(messages, tools.TOOLS)


look = tool_activity(tools.look)
act = tool_activity(tools.act).options(timeout=timedelta(seconds=30))


@activity.define
async def tell_staff(request: InteractionRequest) -> None:
    print(f"{activity.info().workflow_id}: {request.description} [{request.id}]")


@workflow.define
async def agent(ctx: workflow.Context, task: Task) -> Answer:
    people = Questions(ctx, notify=tell_staff, policies=POLICIES, timeout=APPROVAL_TIMEOUT)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": task.text},
    ]
    for number in range(1, task.rounds_max + 1):
        ctx.set_status(f"round {number}")
        reply = await ctx.execute_activity(think, messages)
        messages.append(reply)
        calls = reply.get("tool_calls") or []
        if not calls:
            return Answer(str(reply["content"]), number, ctx.history.results(act))
        messages += await asyncio.gather(*(called(ctx, people, call) for call in calls))
    raise Failure(f"no answer in {task.rounds_max} rounds", type="RoundsExceeded")


async def called(ctx: workflow.Context, people: Questions, call: dict[str, Any]) -> dict[str, Any]:
    """What the model is told of a call: the tool's result, or why there is none. Nothing of it ends the run."""
    name = call["function"]["name"]
    try:
        arguments = json.loads(call["function"]["arguments"])
        content = await used(ctx, people, name, arguments)
    except (ValueError, TimeoutError, ActivityError) as error:
        content = f"no: {error}"
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


async def used(
    ctx: workflow.Context, people: Questions, name: str, arguments: dict[str, Any]
) -> str:
    if name not in tools.RISKS:
        return f"no: there is no tool {name}"
    if name == "refund" and not is_looked_up(ctx, arguments.get("order_id")):
        return "no: look the order up first"
    request = InteractionRequest(
        f"May the agent {name} with {arguments}?",
        tool_name=name,
        input=arguments,
        risk=tools.RISKS[name],
    )
    answer = await people.ask(request)
    if answer.decision == "reject":
        return f"no: {answer.by} rejects it: {answer.feedback}"
    if answer.decision == "modify" and answer.modified is not None:
        arguments = {**arguments, **answer.modified}
    tool = look if tools.RISKS[name] == "read_only" else act
    return json.dumps(await ctx.execute_activity(tool, {"name": name, "args": arguments}))


def is_looked_up(ctx: workflow.Context, order_id: object) -> bool:
    """A rule that no model can talk its way around: the run's own history says what was done in it."""
    return ctx.history.called(look) and any(
        found["order_id"] == order_id for found in ctx.history.results(look)
    )
