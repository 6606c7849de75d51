"""One trace through the log: from a client's span to a run, its child in another namespace, and what that calls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.support.serving import make_topics, serving, until
from tests.unit.tracing.kit import Shown, Spans, context_of
from weft import activity, workflow
from weft.client import Client
from weft.log import Log
from weft.tracing import RunTracing, current_traceparent
from weft.workflow import Context


@activity.define
async def told_where() -> str:
    """Goes over a queue, to an activity worker: what it is told came with its task."""
    return current_traceparent()


@workflow.define
async def asks(ctx: Context, rounds: int) -> str:
    await ctx.receive_signal("go")
    if rounds:
        ctx.continue_as_new(rounds - 1)
    return await ctx.execute_activity(told_where)


@workflow.define
async def sends_far(ctx: Context, namespace: str) -> str:
    return await ctx.execute_child(asks.options(namespace=namespace, id="far"), 1)


def test_child_of_another_namespace_is_in_the_trace_of_the_client_when_workers_change(
    log: Log, namespace: str
) -> None:
    """Workers that trace nothing carry it on as well: the parent's, in its first life, is one of them."""
    spans = Spans()
    far = f"{namespace}-far"
    for one in (namespace, far):
        make_topics(log, one)

    async def workers(stack: AsyncExitStack, *observers: RunTracing) -> None:
        near = serving(log, namespace, [sends_far], instance_id="near", observers=observers)
        await stack.enter_async_context(near)
        other = serving(log, far, [asks], [told_where], instance_id="far", observers=observers)
        await stack.enter_async_context(other)

    async def run() -> str:
        tracing = RunTracing(spans.provider)
        async with (
            Client(log, namespace=namespace) as client,
            Client(log, namespace=far) as far_client,
        ):
            async with AsyncExitStack() as stack:
                await workers(stack)
                with spans.provider.get_tracer("user").start_as_current_span("request"):
                    handle = await client.start(sends_far, far, id="near", wait_s=30)
                child = far_client.handle("far")
                while not await far_client.list():  # noqa: ASYNC110  # it is on its way
                    await asyncio.sleep(0.05)
            async with AsyncExitStack() as stack:
                await workers(stack, tracing)
                await child.signal("go")
                await child.signal("go")
                told = await handle.result(timeout=30)
                await until(lambda: len(spans.all) >= 6, "all is told")
            return told

    told = asyncio.run(run())
    assert sorted(spans.tree()) == [
        Shown("activity told_where", "workflow asks", "OK"),
        Shown("attempt 1 of told_where", "activity told_where", "OK"),
        Shown("request", "", "UNSET"),
        Shown("workflow asks", "workflow sends_far", "OK"),
        Shown("workflow asks", "workflow sends_far", "OK"),
        Shown("workflow sends_far", "request", "OK"),
    ]
    (trace_id,) = spans.trace_ids()
    attempt = context_of(spans.named("attempt 1 of told_where")).span_id
    assert told == f"00-{trace_id:032x}-{attempt:016x}-01"
