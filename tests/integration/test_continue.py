"""Workflows that continue as new runs, on either log: signals that race with it, and clients that wait meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.serving import make_topics, serving
from weft import activity, workflow
from weft.client import Client
from weft.log import FROM_START, Log
from weft.topics import Namespace
from weft.workflow import Context

SIGNALS = 60


@activity.define
async def note(number: int) -> int:
    return number


@workflow.define
async def counting(ctx: Context, got: list[int]) -> list[int]:
    """Three numbers a run, until there are enough."""
    taken = 0
    while len(got) < SIGNALS:
        if taken == 3:
            await ctx.execute_activity(note, len(got))  # signals come meanwhile
            ctx.continue_as_new(got)
        got = [*got, await ctx.receive_signal("number", int)]
        taken += 1
    return got


@pytest.mark.requirement("R3-25")
def test_signals_are_taken_once_each_by_a_chain_and_its_result_is_told_to_all(
    log: Log, namespace: str
) -> None:
    make_topics(log, namespace)

    async def run() -> None:
        async with Client(log, namespace=namespace) as client:
            async with serving(log, namespace, [counting], [note], instance_id="w1"):
                first = await client.start(counting, [], id="a", wait_s=30)
                waiting = asyncio.create_task(first.result(timeout=60))
                half = range(SIGNALS // 2)
                await asyncio.gather(*(first.signal("number", n, id=f"n-{n}") for n in half))
            async with serving(log, namespace, [counting], [note], instance_id="w1"):
                for number in range(SIGNALS):  # the first half a second time
                    await first.signal("number", number, id=f"n-{number}", confirm=False)
                assert sorted(await waiting) == list(range(SIGNALS))
            assert sorted(await first.result(timeout=30)) == list(range(SIGNALS))
            described = await first.describe()
            assert described.run_id == f"{first.run_id}.20"
            assert (described.run_number, described.continued_from) == (20, f"{first.run_id}.19")
            assert await first.status() == "completed"
            async with serving(log, namespace, [counting], [note], instance_id="w1"):
                await first.purge(timeout_s=30)

    asyncio.run(run())
    assert _live_state(log, namespace) == []


def _live_state(log: Log, namespace: str) -> list[bytes]:
    """The keys of heads and pages that were not deleted."""
    live: dict[bytes, bytes] = {}
    reader = log.reader()
    try:
        state = {(Namespace(namespace).state, 0): FROM_START}
        for record in reader.read_to_end(state, 20.0, undecided_s=10.0):
            key = record.key or b""
            if record.value is None:
                live.pop(key, None)
            elif not key.startswith(b"\0"):
                live[key] = record.value
    finally:
        reader.close()
    return list(live)
