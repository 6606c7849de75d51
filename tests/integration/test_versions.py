"""Versions of a workflow side by side, on either log, while workers come and go."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.serving import make_topics, serving
from weft import workflow
from weft.client import Client
from weft.log import Log
from weft.metrics import WorkerMetrics
from weft.workflow import Context


@workflow.define(name="fulfil", version="1")
async def fulfil_1(ctx: Context) -> str:
    await ctx.receive_signal("go")
    return ctx.info.version


@workflow.define(name="fulfil", version="2")
async def fulfil_2(ctx: Context) -> str:
    await ctx.sleep(0.01)
    await ctx.receive_signal("go")
    return ctx.info.version


@pytest.mark.requirement("R3-8")
def test_run_waits_for_its_version_in_sight_of_everybody_and_goes_on_when_it_comes(
    log: Log, namespace: str
) -> None:
    make_topics(log, namespace)

    async def run() -> None:
        async with Client(log, namespace=namespace) as client:
            async with serving(log, namespace, [fulfil_1], instance_id="w"):
                old = await client.start("fulfil", id="old", wait_s=30)
            metrics = WorkerMetrics()
            async with serving(log, namespace, [fulfil_2], instance_id="w", metrics=metrics):
                new = await client.start("fulfil", id="new", wait_s=30)
                for handle in (old, new):
                    await handle.signal("go", timeout_s=30)
                assert await new.result(timeout=30) == "2"
                (waiting,) = await client.list("blocked")
                assert (waiting.workflow_id, waiting.version) == ("old", "1")
                assert "no version 1 of workflow 'fulfil' (deployed here: 2)" in waiting.reason
                async with asyncio.timeout(10):
                    while _unmatched(metrics) != 1.0:  # noqa: ASYNC110  # reported now and then
                        await asyncio.sleep(0.05)
            both = [fulfil_2, fulfil_1]
            async with serving(log, namespace, both, instance_id="w", metrics=metrics):
                assert await old.result(timeout=30) == "1"
                pinned = await client.start("fulfil", id="pinned", version="1", wait_s=30)
                await pinned.signal("go", timeout_s=30)
                assert await pinned.result(timeout=30) == "1"
                async with asyncio.timeout(10):
                    while _unmatched(metrics) is not None:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

    asyncio.run(run())


def _unmatched(metrics: WorkerMetrics) -> float | None:
    labels = {"workflow": "fulfil", "version": "1"}
    return metrics.registry.get_sample_value("weft_workflows_unmatched", labels)
