"""A reset on either log, by a client and over the worker that makes it: asked again, it is done once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.serving import make_topics, serving
from weft import activity, workflow
from weft.client import Client
from weft.errors import RefusedError, WorkflowFailedError
from weft.log import Log
from weft.records import WorkflowReset
from weft.workflow import Context

charged: list[int] = []


@activity.define
async def charge(cents: int) -> int:
    charged.append(cents)
    return cents


@workflow.define(name="paying")
async def mistaken(ctx: Context, cents: int) -> Any:
    paid = await ctx.execute_activity(charge, cents)
    raise ValueError(paid)


@workflow.define(name="paying")
async def mended(ctx: Context, cents: int) -> Any:
    paid = await ctx.execute_activity(charge, cents)
    return [paid, await ctx.receive_signal("address")]


@pytest.mark.requirement("R3-9")
def test_failed_run_continues_with_mended_code_and_the_next_worker_knows_of_it(
    log: Log, namespace: str
) -> None:
    make_topics(log, namespace)
    charged.clear()

    async def run() -> None:
        async with Client(log, namespace=namespace) as client:
            async with serving(log, namespace, [mistaken], [charge], instance_id="w1"):
                handle = await client.start(mistaken, 500, id="order-1", wait_s=30)
                with pytest.raises(WorkflowFailedError):
                    await handle.result(timeout=30)
            async with serving(log, namespace, [mended], [charge], instance_id="w1"):
                with pytest.raises(RefusedError, match="there is no event 9 to go back to"):
                    await handle.reset(9, timeout_s=30)
                run_id = await handle.reset(3, "it threw", timeout_s=30)
                assert run_id == f"{handle.run_id}.2"
                with pytest.raises(RefusedError, match=r"has a newer run, .*\.2"):
                    await handle.reset(3, run_id=handle.run_id, timeout_s=30)
            async with serving(log, namespace, [mended], [charge], instance_id="w1"):
                await handle.signal("address", "home")
                assert await handle.result(timeout=30) == [500, "home"]
            events = await handle.history()
            (said,) = [event for event in events if isinstance(event, WorkflowReset)]
            assert (said.from_run_id, said.to_event) == (handle.run_id, 3)

    asyncio.run(run())
    assert charged == [500]
