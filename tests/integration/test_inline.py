"""Inline activities on both logs: each result is a checkpoint, unless its activity says that it need not be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from weft import activity, workflow
from weft.client import Client
from weft.log import Log, open_log
from weft.records import ActivityCompleted
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker
from weft.worker._commits import Commits as OwnersCommits

STEPS = 60


@activity.define(inline=True)
async def durable(number: int) -> int:
    return number + 1


@activity.define(inline=True, checkpoint=False)
async def repeatable(number: int) -> int:
    return number + 1


@workflow.define
async def careful(ctx: workflow.Context, steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await ctx.execute_activity(durable, number)
    return number


@workflow.define
async def quick(ctx: workflow.Context, steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await ctx.execute_activity(repeatable, number)
    return number


@workflow.define
async def mixed(ctx: workflow.Context, steps: int) -> int:
    """Every other step needs its checkpoint."""
    number = 0
    for step in range(steps):
        number = await ctx.execute_activity(durable if step % 2 else repeatable, number)
    return number


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Iterator[Log]:
    found = (
        open_log(kafka=request.getfixturevalue("kafka_address"))
        if request.param == "kafka"
        else open_log(embedded=tmp_path / "log.weft")
    )
    with closing(found):
        admin = found.admin()
        create(admin, catalogue(Namespace(namespace), partitions=1))
        admin.close()
        yield found


class Commits:
    """How many inline results each transaction brought to the log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: list[int] = []
        commit = OwnersCommits._commit

        def noting(commits: OwnersCommits, batch: object, member: object) -> None:
            values = [write[3] or b"" for write in batch.writes]  # type: ignore[attr-defined]
            commit(commits, batch, member)  # type: ignore[arg-type]
            kind = f'"type":"{ActivityCompleted.__name__}"'.encode()
            self.results.append(max((value.count(kind) for value in values), default=0))

        monkeypatch.setattr(OwnersCommits, "_commit", noting)

    def most_at_once(self) -> int:
        """Each head holds the whole history here: how much it grew by."""
        totals = [total for total in self.results if total]
        return max(later - former for former, later in zip([0, *totals], totals, strict=False))


async def run(log: Log, namespace: str, kind: workflow.Workflow[int, int]) -> int:
    worker = Worker(
        log,
        namespace=namespace,
        workflows=[careful, quick, mixed],
        activities=[durable, repeatable],
        queues=(),
        instance_id="w1",
    )
    serving = asyncio.create_task(worker.run())
    async with Client(log, namespace=namespace) as client:
        result = await client.execute(kind, STEPS, id="one", wait_s=30)
    worker.stop()
    await serving
    return result


def test_each_result_is_durable_before_the_next_step_runs(
    log: Log, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(monkeypatch)
    assert asyncio.run(run(log, namespace, careful)) == STEPS
    assert commits.most_at_once() == 1


def test_steps_without_checkpoints_are_committed_together(
    log: Log, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(monkeypatch)
    assert asyncio.run(run(log, namespace, quick)) == STEPS
    assert commits.most_at_once() > 2


def test_step_after_a_checkpoint_waits_whatever_kind_it_is(
    log: Log, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(monkeypatch)
    assert asyncio.run(run(log, namespace, mixed)) == STEPS
    assert commits.most_at_once() == 2
