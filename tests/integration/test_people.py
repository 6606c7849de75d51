"""People asked by workflows and by activities, on either log, with workers that come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.serving import make_topics, serving, until
from weft import activity, workflow
from weft.activity import human_activity
from weft.client import Client, Handle
from weft.hitl import InteractionRequest, InteractionResponse, Manager
from weft.log import Log
from weft.workflow import Context, Questions

told: list[str] = []


@pytest.fixture
def names(log: Log, namespace: str) -> str:
    make_topics(log, namespace)
    told.clear()
    return namespace


@activity.define
async def tell(request: InteractionRequest) -> None:
    told.append(request.description)


@workflow.define
async def publish(ctx: Context, title: str) -> InteractionResponse:
    return await Questions(ctx, notify=tell).ask(InteractionRequest(f"Publish {title}?"))


@pytest.mark.requirement("R2-2", "R2-31", "R3-10")
def test_question_is_answered_while_nobody_serves_and_another_worker_hears_it(
    log: Log, names: str
) -> None:
    async def run() -> InteractionResponse:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [publish], [tell], instance_id="w1"):
                handle = await client.start(publish, "Moby-Dick", id="book-1", wait_s=30)
                await until(lambda: bool(told), "somebody to be told")
                (question,) = await handle.query("questions")
                assert question["request"]["id"] == "hitl-1"
            answering = asyncio.create_task(
                handle.signal("hitl-1", {"decision": "approve", "by": "Ada"}, timeout_s=60)
            )
            async with serving(log, names, [publish], [tell], instance_id="w1"):
                await answering
                return await handle.result(timeout=30)

    answer = asyncio.run(run())
    assert answer == InteractionResponse("approve", by="Ada", request_id="hitl-1")
    assert told == ["Publish Moby-Dick?"]


@pytest.mark.requirement("R1-21")
def test_human_activity_waits_in_its_worker_until_somebody_responds(log: Log, names: str) -> None:
    manager = Manager()
    ask = human_activity(manager)

    @workflow.define
    async def delete(ctx: Context) -> str:
        return (await ctx.execute_activity(ask, InteractionRequest("Delete it?"))).decision

    async def run() -> tuple[str, Handle[Any]]:
        async with (
            Client(log, namespace=names) as client,
            serving(log, names, [delete], [ask], instance_id="w1"),
        ):
            handle = await client.start(delete, id="delete-1", wait_s=30)
            await until(lambda: bool(manager.open), "the question")
            (request,) = manager.open
            assert request.id.startswith("delete-1/")
            manager.respond(request.id, InteractionResponse("reject"))
            return await handle.result(timeout=30), handle

    assert asyncio.run(run())[0] == "reject"
