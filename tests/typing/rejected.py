"""What type checkers must reject: every line with `# wrong`, and no other. Never run."""

from __future__ import annotations

from datetime import timedelta

from tests.typing.accepted import (
    Order,
    Receipt,
    ask_model,
    charge,
    count,
    fulfil,
    nightly,
    use_tool,
)
from weft import activity, workflow
from weft.activity import Retry, human_activity, llm_activity, tool_activity
from weft.client import Client
from weft.hitl import InteractionRequest, Manager, Policy
from weft.testing import Environment


async def calls(ctx: workflow.Context, order: Order) -> None:
    await ctx.execute_activity(charge, "order")  # wrong
    await ctx.execute_activity(charge, order, cents="5")  # wrong
    await ctx.execute_activity(charge, order, amount=5)  # wrong
    await ctx.execute_activity(charge)  # wrong
    await ctx.execute_activity(count, "a", "b")  # wrong
    await ctx.execute_activity(lambda: 1)  # wrong
    receipt: str = await ctx.execute_activity(charge, order)  # wrong
    number: int = await ctx.execute_activity(charge.options(queue="x"), order)  # wrong
    charge.options(timeout="5 s")  # wrong
    charge.options(attempts=5)  # wrong
    await ctx.sleep("5 s")  # wrong
    del receipt, number


async def agents(ctx: workflow.Context) -> None:
    llm_activity(use_tool)  # wrong
    tool_activity(ask_model)  # wrong
    human_activity(ask_model)  # wrong
    await ctx.execute_activity(llm_activity(ask_model), 5)  # wrong
    use = tool_activity(use_tool)
    await ctx.execute_activity(use, "add")  # wrong
    await ctx.execute_activity(use, {"args": {}})  # wrong
    await ctx.execute_activity(human_activity(Manager()), "Delete it?")  # wrong
    InteractionRequest(risk="none")  # wrong
    Policy(risk_max="none")  # wrong


async def children(ctx: workflow.Context, order: Order) -> None:
    await ctx.execute_child(fulfil, "order")  # wrong
    await ctx.execute_child(fulfil)  # wrong
    await ctx.execute_child(nightly, 5)  # wrong
    await ctx.execute_child(charge, order)  # wrong
    fulfil.options(parent_close="kill")  # wrong
    text: str = await ctx.execute_child(fulfil, order)  # wrong
    handle = await ctx.start_child(fulfil, order)
    number: int = await handle  # wrong
    await ctx.signal(5, "paid")  # wrong
    del text, number


async def signals(ctx: workflow.Context) -> None:
    paid: str = await ctx.receive_signal("paid", Receipt)  # wrong
    await ctx.receive_signal(Receipt)  # wrong
    await ctx.receive_signal("paid", Receipt, timeout="1d")  # wrong
    async for receipt in ctx.signals("paid", Receipt):
        receipt.euros  # wrong
    words: list[str] = ctx.history.results(count)  # wrong
    ctx.on_query(5)  # wrong
    ctx.on_update("add", validator=5)  # wrong
    await ctx.publish("receipts", key="order-1")  # wrong
    await ctx.publish("receipts", key=5, value=Receipt(1))  # wrong
    del paid, words


async def clients(client: Client, order: Order) -> None:
    await client.start(fulfil, "order")  # wrong
    await client.start(fulfil)  # wrong
    await client.start(nightly, 5)  # wrong
    await client.start(fulfil, order, on_conflict="retry")  # wrong
    await client.start(fulfil, order, timeout="5 s")  # wrong
    await client.start(fulfil, order, identity="x")  # wrong
    await client.start(charge, order)  # wrong
    text: str = await client.execute(fulfil, order)  # wrong
    handle = await client.start(fulfil, order)
    number: int = await handle.result()  # wrong
    other: int = await client.handle("order-1", fulfil).result()  # wrong
    progress: str = await handle.query("progress", hint=int)  # wrong
    added: int = await handle.update("add", 5, hint=str)  # wrong
    await handle.update("add", 5, wait="done")  # wrong
    del text, number, other, progress, added


def environments(env: Environment, order: Order) -> None:
    result: str = env.start(fulfil, order).result()  # wrong
    env.start(fulfil, "order")  # wrong
    env.start(fulfil)  # wrong
    env.fake(5, None)  # wrong
    env.advance("1d")  # wrong
    del result


def definitions() -> None:
    activity.define(5)  # wrong
    activity.define(retry=3)  # wrong
    activity.define(timeout="5 s")  # wrong
    activity.define(process=2)  # wrong
    Retry(max_attempts="3")  # wrong
    Retry(initial_interval="100ms")  # wrong
    activity.define(heartbeat_timeout=timedelta(seconds=1), queues=["x"])  # wrong


@workflow.define  # wrong
async def two_inputs(ctx: workflow.Context, order: Order, more: int) -> None: ...


@workflow.define  # wrong
def plain(ctx: workflow.Context, order: Order) -> int:
    return 5
