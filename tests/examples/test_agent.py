"""The agent in virtual time, against the model's stand-in."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from examples.agent.workflow import Task, act, agent, look, tell_staff, think
from examples.model import rules

from weft.errors import WorkflowFailedError
from weft.testing import Environment, Handle, crash_everywhere

pytestmark = pytest.mark.usefixtures("model")

BROKEN = Task("order-7 arrived broken, I want my money back")
APPROVE = {"decision": "approve", "by": "Grace"}
DAY = timedelta(days=1)


def tools_called(env: Environment) -> list[str]:
    return [
        str(call.arguments[0]["name"]) for call in env.calls() if call.activity in {"look", "act"}
    ]


def contents(env: Environment) -> list[str]:
    """What the model was told of its calls, by its last thought."""
    (messages,) = env.calls(think)[-1].arguments
    return [message["content"] for message in messages if message["role"] == "tool"]


@pytest.mark.requirement("R1-19", "R1-20", "R2-31")
def test_agent_gives_money_back_once_a_person_has_approved(env: Environment) -> None:
    run = env.start(agent, BROKEN, id="care-1")
    env.advance(1)
    (question,) = run.query("questions")
    assert question["request"]["tool_name"] == "refund"
    assert question["request"]["input"] == {"order_id": "order-7"}
    run.signal("hitl-1", APPROVE, after=DAY)
    answer = run.result()
    assert "refunded" in answer.text
    assert (answer.rounds, tools_called(env)) == (3, ["look_up_order", "refund"])
    (refund,) = answer.refunds
    assert (refund["refunded"], refund["cents"]) == ("order-7", 4200)
    assert refund["key"].startswith(f"care-1/{run.run_id}/")
    assert env.elapsed >= DAY


@pytest.mark.requirement("R1-28", "R2-31")
@pytest.mark.parametrize("payload", [APPROVE, {"decision": "reject", "by": "Ada"}, None])
def test_agent_ends_the_same_when_its_worker_crashes_anywhere(payload: Any) -> None:
    def play(env: Environment, run: Handle[Any]) -> None:
        env.fake(think, rules.decide)  # by the same rules, but in no time
        if payload is not None:
            run.signal("hitl-1", payload, after=DAY)

    answer = crash_everywhere(agent, BROKEN, play=play)
    assert answer is not None
    assert len(answer.refunds) == (payload == APPROVE)


def test_person_changes_what_the_agent_does(env: Environment) -> None:
    run = env.start(agent, BROKEN)
    run.signal("hitl-1", {"decision": "modify", "by": "Grace", "modified": {"cents": 2000}})
    assert [refund["cents"] for refund in run.result().refunds] == [2000]


@pytest.mark.parametrize(
    "payload,told",
    [
        ({"decision": "reject", "by": "Grace", "feedback": "not ours"}, "rejects it: not ours"),
        (None, "nobody answered question 'hitl-1' within 2 days"),
    ],
)
def test_model_is_told_when_nobody_approves(env: Environment, payload: Any, told: str) -> None:
    run = env.start(agent, BROKEN)
    if payload is not None:
        run.signal("hitl-1", payload)
    answer = run.result()
    assert told in answer.text
    assert answer.refunds == []
    assert env.calls(act) == []


@pytest.mark.requirement("R3-29")
def test_refund_is_refused_until_the_order_was_looked_up_in_this_run(env: Environment) -> None:
    run = env.start(agent, Task("Give me my money back for order-7 at once!"))
    run.signal("hitl-1", APPROVE)
    answer = run.result()
    assert contents(env)[0] == "no: look the order up first"
    assert tools_called(env) == ["look_up_order", "refund"]
    assert (answer.rounds, len(answer.refunds)) == (4, 1)


@pytest.mark.requirement("R3-29")
def test_refund_is_refused_when_another_order_was_looked_up(env: Environment) -> None:
    def call(name: str, order_id: str) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps({"order_id": order_id})}
        return {"role": "assistant", "tool_calls": [{"id": "call", "function": function}]}

    done = {"role": "assistant", "content": "done"}
    env.fake(think, call("look_up_order", "order-8"), call("refund", "order-7"), done)
    answer = env.start(agent, BROKEN).result()
    assert answer.refunds == []
    assert contents(env)[1] == "no: look the order up first"


def test_nobody_is_asked_when_nothing_risky_is_done(env: Environment) -> None:
    answer = env.start(agent, Task("Where is order-8?")).result()
    assert '"item": "a chair"' in answer.text
    assert env.calls(tell_staff) == []
    assert env.start(agent, Task("Hello?")).result().text == "Which order is it about?"


def test_model_is_told_what_a_tool_fails_with(env: Environment) -> None:
    run = env.start(agent, Task("Where is order-9?", rounds_max=2))
    with pytest.raises(WorkflowFailedError, match="no answer in 2 rounds"):
        run.result()
    assert contents(env) == ["no: there is no order-9"]
    assert len(env.calls(look)) == 2, "asked again by the model, not by a retry"


@pytest.mark.parametrize(
    "name,arguments,told",
    [
        ("fly", "{}", "no: there is no tool fly"),
        ("look_up_order", "{", "no: Expecting property name"),
    ],
)
def test_model_is_told_when_its_call_cannot_be_made(
    env: Environment, name: str, arguments: str, told: str
) -> None:
    function = {"name": name, "arguments": arguments}
    wrong = {"role": "assistant", "tool_calls": [{"id": "call", "function": function}]}
    env.fake(think, wrong, {"role": "assistant", "content": "never mind"})
    assert env.start(agent, BROKEN).result().text == "never mind"
    assert contents(env)[0].startswith(told)


def test_agent_ends_when_it_never_knows_enough(env: Environment) -> None:
    run = env.start(agent, Task("Tell me of order-8 for ever", rounds_max=5))
    with pytest.raises(WorkflowFailedError, match="no answer in 5 rounds"):
        run.result()
    assert len(env.calls(think)) == 5
