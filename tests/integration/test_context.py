"""What a workflow's context offers, on either log, with a worker that stops in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.serving import make_topics, serving
from weft import activity, workflow
from weft.client import Client
from weft.errors import WorkflowFailedError
from weft.log import Log
from weft.records import ActivityCompleted
from weft.workflow import Context


@pytest.fixture
def names(log: Log, namespace: str) -> str:
    make_topics(log, namespace)
    return namespace


@activity.define
async def work(step: str) -> str:
    return f"{step} done"


@workflow.define
async def stages(ctx: Context, count: int) -> None:
    for stage in range(count):
        ctx.set_status({"stage": stage, "of": count})
        await ctx.execute_activity(work, str(stage))
        await ctx.receive_signal("next")
    ctx.set_status("finished")


@pytest.mark.requirement("R1-26", "R3-8")
def test_custom_status_is_told_with_and_without_a_worker(log: Log, names: str) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [stages], [work], instance_id="w1"):
                handle = await client.start(stages, 2, id="stages", wait_s=30)
                await handle.signal("next")
                await _until_said(client, {"stage": 1, "of": 2})
            assert (await handle.describe()).custom_status == {"stage": 1, "of": 2}
            async with serving(log, names, [stages], [work], instance_id="w1"):
                await handle.signal("next")
                await handle.result(timeout=30)
            (summary,) = await client.list("completed")
            assert (summary.workflow_id, summary.custom_status) == ("stages", "finished")

    asyncio.run(run())


async def _until_said(client: Client, said: Any) -> None:
    async with asyncio.timeout(30):
        while (await client.handle("stages").describe()).custom_status != said:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # a step is durable a moment after its signal


@workflow.define(name="rounds")
async def rounds_before(ctx: Context) -> list[str]:
    steps = []
    for _ in range(2):
        await ctx.receive_signal("next")
        steps.append(await ctx.execute_activity(work, "old"))
    return steps


@workflow.define(name="rounds")
async def rounds_changed(ctx: Context) -> list[str]:
    steps = []
    for _ in range(2):
        await ctx.receive_signal("next")
        way = "new" if ctx.patched("newer") else "old"
        steps.append(await ctx.execute_activity(work, way))
    return steps


def test_change_is_deployed_under_runs_of_which_each_goes_one_way(log: Log, names: str) -> None:
    """Some have passed the place, some have not, some are new; then all are replayed once more, by another worker."""

    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [rounds_before], [work], instance_id="w1"):
                handles = {
                    name: await client.start(rounds_before, id=name, wait_s=30)
                    for name in ("passed", "waiting")
                }
                await handles["passed"].signal("next")
                await _until_done(client, "passed", 1)
            async with serving(log, names, [rounds_changed], [work], instance_id="w1"):
                handles["new"] = await client.start(rounds_changed, id="new", wait_s=30)
                for name in ("waiting", "new"):
                    await handles[name].signal("next")
                    await _until_done(client, name, 1)
            async with serving(log, names, [rounds_changed], [work], instance_id="w1"):
                for handle in handles.values():
                    await handle.signal("next")
                ways = {name: await handle.result(timeout=30) for name, handle in handles.items()}
            assert ways == {
                "passed": ["old done", "old done"],
                "waiting": ["new done", "new done"],
                "new": ["new done", "new done"],
            }
            patches = {name: (await handle.describe()).patches for name, handle in handles.items()}
            assert patches == {"passed": (), "waiting": ("newer",), "new": ("newer",)}

    asyncio.run(run())


@workflow.define
async def gate(ctx: Context, steps: int) -> Any:
    """Enough steps for several pages of history; what they gave is asked of it, before and after a takeover."""
    for number in range(steps):
        await ctx.execute_activity(work, f"{number:03d} " + "x" * 300)
    before = ctx.history.results(work)
    await ctx.receive_signal("go")
    return [before == ctx.history.results(work), before[-1][:3], ctx.history.called("charge")]


@pytest.mark.requirement("R3-26", "R3-29")
def test_run_looks_back_over_all_that_it_did_when_another_worker_has_it(
    log: Log, names: str
) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [gate], [work], instance_id="w1"):
                handle = await client.start(gate, 60, id="gate", wait_s=30)
                await _until_done(client, "gate", 60)
            async with serving(log, names, [gate], [work], instance_id="w1"):
                await handle.signal("go")
                assert await handle.result(timeout=30) == [True, "059", False]

    asyncio.run(run())


@workflow.define
async def cleaning(ctx: Context) -> None:
    try:
        async with ctx.cancel_scope() as scope:
            asyncio.get_running_loop().call_later(0.01, scope.cancel)
            await ctx.receive_signal("never")
        ctx.set_status({"cut short": scope.cancelled})
        await ctx.receive_signal("never")
    finally:
        async with ctx.cancel_scope(shield=True):
            await ctx.execute_activity(work, "first")
            await ctx.receive_signal("go on")
            await ctx.execute_activity(work, "second")


def test_shielded_cleanup_is_done_to_its_end_by_the_next_worker(log: Log, names: str) -> None:
    async def run() -> None:
        async with Client(log, namespace=names) as client:
            async with serving(log, names, [cleaning], [work], instance_id="w1"):
                handle = await client.start(cleaning, id="stages", wait_s=30)
                await _until_said(client, {"cut short": True})
                await handle.cancel()
                await _until_done(client, "stages", 1)
            async with serving(log, names, [cleaning], [work], instance_id="w1"):
                await handle.signal("go on")
                with pytest.raises(WorkflowFailedError):
                    await handle.result(timeout=30)
            assert await handle.status() == "cancelled"
            assert await _done_count(client, "stages") == 2

    asyncio.run(run())


async def _until_done(client: Client, id: str, count: int) -> None:
    async with asyncio.timeout(30):
        while await _done_count(client, id) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _done_count(client: Client, id: str) -> int:
    events = await client.handle(id).history()
    return sum(isinstance(event, ActivityCompleted) for event in events)
