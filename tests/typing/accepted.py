"""What type checkers must accept without a word, with the types that they must see. Never run."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Generator
from datetime import timedelta
from typing import Any, NoReturn, TypedDict, assert_type

from pydantic import BaseModel

from weft import activity, workflow
from weft.activity import Activity, Retry, human_activity, llm_activity, tool_activity
from weft.client import Client, Handle
from weft.hitl import InteractionRequest, InteractionResponse, Manager
from weft.testing import Environment
from weft.testing import Handle as TestHandle
from weft.workflow import Workflow


class Order(BaseModel):
    id: str


@dataclasses.dataclass
class Receipt:
    cents: int


class Note(TypedDict):
    text: str


@activity.define
async def charge(order: Order, cents: int = 100) -> Receipt:
    return Receipt(cents)


@activity.define(process=True)
def crunch(size: int) -> float:
    return size / 2


@activity.define(retry=Retry(max_attempts=2), timeout=timedelta(seconds=3), inline=True)
def count(word: str) -> int:
    return len(word)


@activity.define
async def tick() -> None: ...


@workflow.define
async def fulfil(ctx: workflow.Context, order: Order) -> Receipt:
    return await ctx.execute_activity(charge, order)


@workflow.define(version="2")
async def nightly(ctx: workflow.Context) -> int:
    return await ctx.execute_activity(count, "word")


@workflow.define
async def noted(ctx: workflow.Context, note: Note) -> str | None:
    return note["text"]


@workflow.define
def taught(
    ctx: workflow.GeneratorContext, order: Order
) -> Generator[Any, Any, str]:  # Dapr's way of writing
    yield ctx.call_activity(charge, input=order)
    return order.id


def definitions() -> None:
    charging: Activity[[Order, int], Receipt] = charge
    counting: Activity[[str], int] = count
    wider: Activity[[str], object] = count
    same: Activity[[Order, int], Receipt] = charge.options(timeout=5)
    assert_type(fulfil, Workflow[Order, Receipt])
    assert_type(nightly, Workflow[None, int])
    assert_type(taught, Workflow[Order, str])


async def calls(ctx: workflow.Context, order: Order) -> None:
    assert_type(await ctx.execute_activity(charge, order), Receipt)
    assert_type(await ctx.execute_activity(charge, order, cents=5), Receipt)
    assert_type(await ctx.execute_activity(charge.options(queue="slow"), order), Receipt)
    assert_type(await ctx.execute_activity(count, "word"), int)
    assert_type(await ctx.execute_activity(tick), None)
    assert_type(await ctx.execute_activity(crunch, 5), float)
    assert_type(await ctx.execute_activity("charge", order, 7), Any)
    text: str = str(await ctx.execute_activity(count, "word"))
    wider: int | None = await ctx.execute_activity(count, text)
    both = await asyncio.gather(
        ctx.execute_activity(count, "a"), ctx.execute_activity(charge, order)
    )
    assert_type(both, tuple[int, Receipt])
    assert_type(wider, int | None)


async def children(ctx: workflow.Context, order: Order) -> None:
    assert_type(await ctx.execute_child(fulfil, order), Receipt)
    assert_type(await ctx.execute_child(fulfil.options(namespace="shop"), order), Receipt)
    assert_type(await ctx.execute_child(nightly), int)
    assert_type(str(await ctx.execute_child(nightly)), str)
    assert_type(await ctx.execute_child("fulfil", {"id": "x"}), Any)
    handle = await ctx.start_child(fulfil, order)
    assert_type(await handle, Receipt)
    await handle.signal("paid", Receipt(1))
    await ctx.signal("order-2", "paid", Receipt(1), namespace="shop")


async def signals(ctx: workflow.Context) -> None:
    assert_type(await ctx.receive_signal("paid", Receipt), Receipt)
    assert_type(await ctx.receive_signal("paid", Receipt, timeout=timedelta(days=1)), Receipt)
    assert_type(await ctx.receive_signal("paid", list[int]), list[int])
    assert_type(await ctx.receive_signal("paid", Receipt | None), Receipt | None)
    assert_type(await ctx.receive_signal("paid", Note), Note)
    assert_type(await ctx.receive_signal("paid"), Any)
    assert_type(ctx.signals("paid", Receipt), AsyncIterator[Receipt])
    async for receipt in ctx.signals("paid", Receipt):
        assert_type(receipt, Receipt)
    assert_type(ctx.history.results(count), list[int])

    @ctx.on_query("progress")
    def progress(part: str) -> int:
        return len(part)

    @ctx.on_update("add", validator=lambda value: None)
    async def add(count: int) -> str:
        return str(count)

    @ctx.on_signal("paid")
    async def paid(receipt: Receipt) -> None: ...

    assert_type(progress("x"), int)
    assert_type(await add(1), str)
    await ctx.publish("receipts", key="order-1", value=Receipt(1), headers={"kind": "receipt"})


@workflow.define
async def forever(ctx: workflow.Context, count: int) -> NoReturn:
    ctx.continue_as_new(count + 1)


async def ask_model(prompt: str) -> str:
    return prompt


def use_tool(name: str, args: dict[str, Any]) -> int:
    return len(name) + len(args)


async def agents(ctx: workflow.Context) -> None:
    assert_type(await ctx.execute_activity(llm_activity(ask_model), "hello"), str)
    assert_type(await ctx.execute_activity(llm_activity(str.upper, name="shout"), "hello"), str)
    use = tool_activity(use_tool).options(timeout=5)
    assert_type(await ctx.execute_activity(use, {"name": "add", "args": {"a": 1}}), Any)
    await ctx.execute_activity(use, {"name": "add"})
    ask = human_activity(Manager())
    request = InteractionRequest("Delete it?", tool_name="delete", risk="irreversible")
    assert_type(await ctx.execute_activity(ask, request), InteractionResponse)
    assert_type(await workflow.Questions(ctx, notify=ask).ask(request), InteractionResponse)


async def clients(client: Client, order: Order) -> None:
    handle = await client.start(fulfil, order, id="order-1", timeout=5.0, on_conflict="fail")
    assert_type(handle, Handle[Receipt])
    assert_type(await handle.result(), Receipt)
    assert_type(await client.execute(fulfil, order), Receipt)
    assert_type(await client.execute(nightly), int)
    assert_type(str(await client.execute(nightly)), str)
    assert_type(await client.execute("fulfil", {"id": "x"}), Any)
    assert_type(await client.start("fulfil"), Handle[Any])
    assert_type(client.handle("order-1", fulfil), Handle[Receipt])
    assert_type(await handle.query("progress", hint=int), int)
    assert_type(await handle.query("progress"), Any)
    assert_type(await handle.query("progress", "part", hint=int | None), int | None)
    await handle.signal("paid", Receipt(1), hint=Receipt)
    assert_type(await handle.update("add", 5, hint=str), str)
    assert_type(await handle.update("add", 5), Any)
    note: Note = {"text": "t"}
    await client.start(noted, note)


def environments(env: Environment, order: Order) -> None:
    run = env.start(fulfil, order)
    assert_type(run, TestHandle[Receipt])
    assert_type(run.result(), Receipt)
    assert_type(env.start(nightly).result(), int)
    assert_type(run.query("progress", hint=int), int)
    env.fake(charge, Receipt(1))


def plain_functions_stay_callable(order: Order) -> None:
    charge(order, 5)
    count("word")
