"""Language models, tools and people as activities: called as plain functions, and by workflows."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.activity import ToolCall, human_activity, llm_activity, tool_activity
from weft.errors import ActivityError, Failure, WorkflowFailedError
from weft.hitl import InteractionRequest, InteractionResponse, Manager
from weft.testing import Environment


async def shout(prompt: str) -> str:
    """Say it louder."""
    return f"{prompt}!"


def whisper(prompt: str) -> str:
    return f"({prompt})"


class Model:
    """A client object, as libraries have them."""

    async def __call__(self, prompt: str) -> str:
        return f"model says {prompt}"

    async def ask(self, prompt: str) -> str:
        return f"asked {prompt}"


async def shout_in(language: str, prompt: str) -> str:
    return f"{prompt}! ({language})"


async def execute(name: str, args: dict[str, Any]) -> str:
    return f"{name} with {args}"


def execute_in_thread(name: str, args: dict[str, Any]) -> list[object]:
    return [name, args]


def failed(call: Callable[[], Any]) -> Failure:
    with pytest.raises(Failure) as caught:
        asyncio.run(call())
    return caught.value


@pytest.mark.requirement("R1-19")
def test_llm_activity_gives_what_the_model_answers(env: Environment) -> None:
    louder = llm_activity(shout)

    @workflow.define
    async def speak(ctx: workflow.Context, prompt: str) -> str:
        return await ctx.execute_activity(louder, prompt)

    assert asyncio.run(louder("hello")) == "hello!"
    assert env.start(speak, "hello").result() == "hello!"
    assert (louder.name, louder.__doc__) == ("shout", "Say it louder.")


@pytest.mark.requirement("R1-19")
@pytest.mark.parametrize(
    "invoker,name,answer",
    [
        (Model(), "llm_activity", "model says hello"),
        (Model().ask, "ask", "asked hello"),
        (functools.partial(shout_in, "en"), "llm_activity", "hello! (en)"),
    ],
)
def test_llm_activity_takes_whatever_can_be_awaited(invoker: Any, name: str, answer: str) -> None:
    ask = llm_activity(invoker)
    assert ask.name == name
    assert asyncio.run(ask("hello")) == answer


@pytest.mark.requirement("R1-19")
def test_llm_activity_runs_a_plain_invoker_in_a_thread(env: Environment) -> None:
    quieter = llm_activity(whisper)

    @workflow.define
    async def speak(ctx: workflow.Context) -> str:
        return await ctx.execute_activity(quieter, "hello")

    assert env.start(speak).result() == "(hello)"
    assert not quieter.is_async, "so workers run it in a thread"


@pytest.mark.requirement("R1-19")
@pytest.mark.parametrize("prompt,kind", [(42, "int"), (None, "null"), (["hello"], "list")])
def test_llm_activity_refuses_what_is_no_text_at_its_first_attempt(
    env: Environment, prompt: Any, kind: str
) -> None:
    louder = llm_activity(shout)
    text = f"workflow/llm_activity: expected string input, got {kind}"

    @workflow.define
    async def speak(ctx: workflow.Context, prompt: Any) -> str:
        return await ctx.execute_activity(louder, prompt)

    assert str(failed(lambda: louder(prompt))) == text
    with pytest.raises(WorkflowFailedError, match=text):
        env.start(speak, prompt).result()
    assert len(env.calls(louder)) == 1


def test_llm_activity_refuses_an_answer_that_is_no_text() -> None:
    ask: Any = llm_activity(lambda _: {"text": "hello"}, name="ask")  # type: ignore[arg-type]
    with pytest.raises(Failure, match="llm_activity: expected string result, got dict"):
        ask("hello")
    late: Any = llm_activity(lambda prompt: shout(f"{prompt}?"), name="late")
    with pytest.raises(Failure, match="expected string result, got coroutine"):
        late("hello")


@pytest.mark.requirement("R1-19")
def test_llm_activity_passes_the_models_error_on(env: Environment) -> None:
    class OverloadedError(Exception): ...

    async def overloaded(prompt: str) -> str:
        raise OverloadedError("too many requests")

    ask = llm_activity(overloaded).options(retry=activity.Retry(max_attempts=2))

    @workflow.define
    async def speak(ctx: workflow.Context) -> list[object]:
        try:
            await ctx.execute_activity(ask, "hello")
        except ActivityError as error:
            return [error.type, error.message, error.attempts]
        raise AssertionError

    with pytest.raises(OverloadedError):
        asyncio.run(ask("hello"))
    assert env.start(speak).result() == ["OverloadedError", "too many requests", 2]


@pytest.mark.requirement("R1-20")
@pytest.mark.parametrize(
    "call,result",
    [
        ({"name": "add", "args": {"a": 1}}, "add with {'a': 1}"),
        ({"name": "add", "args": {}}, "add with {}"),
        ({"name": "add"}, "add with {}"),
    ],
)
def test_tool_activity_runs_the_tool_with_its_arguments(
    env: Environment, call: ToolCall, result: str
) -> None:
    use = tool_activity(execute)

    @workflow.define
    async def work(ctx: workflow.Context, call: ToolCall) -> Any:
        return await ctx.execute_activity(use, call)

    assert asyncio.run(use(call)) == result
    assert env.start(work, call).result() == result
    assert use.name == "execute"
    in_thread = tool_activity(execute_in_thread, name="use")
    assert in_thread(call) == ["add", call.get("args", {})]
    assert (in_thread.name, in_thread.is_async) == ("use", False)


@pytest.mark.requirement("R1-20")
@pytest.mark.parametrize(
    "call,text",
    [
        (["add"], "workflow/tool_activity: expected dict[str, Any] input, got list"),
        (None, "workflow/tool_activity: expected dict[str, Any] input, got null"),
        ({"args": {"a": 1}}, "workflow/tool_activity: missing 'name' in input"),
        ({"name": ""}, "workflow/tool_activity: missing 'name' in input"),
        ({"name": 3}, "workflow/tool_activity: missing 'name' in input"),
        (
            {"name": "add", "args": [1]},
            "workflow/tool_activity: expected dict[str, Any] 'args' of 'add', got list",
        ),
    ],
)
def test_tool_activity_refuses_what_names_no_tool_at_its_first_attempt(
    env: Environment, call: Any, text: str
) -> None:
    use = tool_activity(execute)

    @workflow.define
    async def work(ctx: workflow.Context, call: Any) -> Any:
        return await ctx.execute_activity(use, call)

    assert str(failed(lambda: use(call))) == text
    run = env.start(work, call)
    with pytest.raises(WorkflowFailedError) as caught:
        run.result()
    assert text in str(caught.value)
    assert len(env.calls(use)) == 1


@pytest.mark.requirement("R1-20")
def test_tool_activity_passes_the_tools_error_on_and_refuses_a_coroutine() -> None:
    def broken(name: str, args: dict[str, Any]) -> Any:
        raise LookupError(f"no tool {name}")

    use = tool_activity(broken)
    with pytest.raises(LookupError, match="no tool add"):
        use({"name": "add"})
    late = tool_activity(lambda name, args: execute(name, dict(args)), name="late")
    with pytest.raises(Failure, match="expected a result, got coroutine"):
        late({"name": "add"})


APPROVE = InteractionResponse("approve", by="Grace")


@pytest.mark.requirement("R1-21")
def test_human_activity_waits_until_somebody_responds() -> None:
    manager = Manager()
    ask = human_activity(manager)

    async def run() -> InteractionResponse:
        asked = asyncio.create_task(ask(InteractionRequest("Delete it?", id="q-1")))
        await asyncio.sleep(0.02)
        assert not asked.done()
        assert [request.description for request in manager.open] == ["Delete it?"]
        threading.Thread(target=manager.respond, args=("q-1", APPROVE)).start()
        return await asked  # type: ignore[no-any-return]

    answer = asyncio.run(run())
    assert (answer.decision, answer.by, answer.request_id) == ("approve", "Grace", "q-1")
    assert manager.open == []


@pytest.mark.requirement("R1-21")
@pytest.mark.parametrize(
    "request_,text",
    [
        ("Delete it?", "workflow/human_activity: expected hitl.InteractionRequest, got str"),
        (None, "workflow/human_activity: expected hitl.InteractionRequest, got null"),
        ({"risk": "none"}, "got .* is not InteractionRequest: Invalid enum value 'none'"),
    ],
)
def test_human_activity_refuses_what_is_no_request(
    env: Environment, request_: Any, text: str
) -> None:
    ask = human_activity(Manager())

    @workflow.define
    async def work(ctx: workflow.Context, request: Any) -> Any:
        return await ctx.execute_activity(ask, request)

    with pytest.raises(Failure, match=text):
        asyncio.run(ask(request_))
    with pytest.raises(WorkflowFailedError, match=text):
        env.start(work, request_).result()


@pytest.mark.requirement("R1-21")
def test_human_activity_fails_once_when_nobody_answers_in_time(env: Environment) -> None:
    asked: list[str] = []
    manager = Manager(notify=lambda request: asked.append(request.id), timeout=0.05)
    ask = human_activity(manager)

    @workflow.define
    async def work(ctx: workflow.Context) -> list[object]:
        try:
            await ctx.execute_activity(ask, InteractionRequest("Delete it?"))
        except ActivityError as error:
            cause = error.__cause__
            assert isinstance(cause, ActivityError)
            return [error.type, error.message, cause.type]
        raise AssertionError

    run = env.start(work, id="w-1")
    text = 'workflow/human_activity: hitl/request: no answer to request "{}" within 0.05 s'
    question = f"w-1/{run.run_id}/1"
    assert run.result() == ["provider_unavailable", text.format(question), "TimeoutError"]
    assert asked == [question], "under the ID that every attempt has, and once"
    assert str(failed(lambda: ask(InteractionRequest("Delete it?")))) == text.format("hitl-1")


@pytest.mark.requirement("R1-21")
def test_human_activity_asks_the_same_question_again_when_its_worker_has_died() -> None:
    """Each worker has a manager of its own: what was open in the first is gone with it."""

    async def attempt(number: int) -> tuple[str, InteractionResponse]:
        manager = Manager()
        info = activity.ActivityInfo("w-1", "r-1", "publish", "ask", 4, number)
        token = activity.current.set(info)
        asked = asyncio.create_task(human_activity(manager)(InteractionRequest("Delete it?")))
        activity.current.reset(token)
        await asyncio.sleep(0)
        (question,) = manager.open
        manager.respond(question.id, APPROVE)
        return question.id, await asked

    questions = [asyncio.run(attempt(number)) for number in (1, 2)]
    assert [question for question, _ in questions] == ["w-1/r-1/4"] * 2
    assert questions[1][1].decision == "approve"


def test_human_activity_waits_longer_than_other_activities_do() -> None:
    ask = human_activity(Manager(), name="ask_the_boss")
    assert ask.name == "ask_the_boss"
    assert ask.timeouts.start_to_close == timedelta(days=30)
    assert ask.retry.max_attempts == 1
