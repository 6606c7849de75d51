"""Versions side by side, in virtual time: who stays on which, who waits for one, and who is given the newest."""

from __future__ import annotations

from typing import Any

import pytest

from weft import workflow
from weft.errors import UsageError
from weft.records import WorkflowStarted
from weft.testing import Environment, StuckError, replay
from weft.workflow import Context


@workflow.define(name="fulfil", version="1")
async def fulfil_1(ctx: Context) -> list[str]:
    await ctx.receive_signal("go")
    return [ctx.info.version]


@workflow.define(name="fulfil", version="2")
async def fulfil_2(ctx: Context) -> list[str]:
    await ctx.sleep(10)
    await ctx.receive_signal("go")
    return [ctx.info.version]


@workflow.define(name="fulfil")
async def fulfil_plain(ctx: Context) -> list[str]:
    await ctx.receive_signal("go")
    return ["plain"]


def test_runs_stay_on_the_version_that_they_started_with() -> None:
    with Environment() as env:
        old = env.start(fulfil_1)
        env.deploy(fulfil_2)
        new = env.start(fulfil_2)
        for run in (old, new):
            run.signal("go", after=20)
        assert (old.result(), new.result()) == (["1"], ["2"])


def test_run_waits_visibly_for_its_version_and_goes_on_by_itself() -> None:
    with Environment() as env:
        run = env.start(fulfil_1)
        env.deploy(fulfil_2)
        env.withdraw(fulfil_1)
        run.signal("go")
        assert run.status == "blocked"
        assert "no version 1 of workflow 'fulfil' (deployed here: 2)" in run.reason
        with pytest.raises(StuckError, match="no version 1"):
            run.result()
        assert set(env._owner.partition.unmatched.values()) == {("fulfil", "1")}
        env.deploy(fulfil_1)
        assert run.result() == ["1"]
        assert env._owner.partition.unmatched == {}


def test_run_from_before_there_were_versions_goes_on_with_the_oldest() -> None:
    with Environment() as env:
        run = env.start(fulfil_plain)
        env.withdraw(fulfil_plain)
        env.deploy(fulfil_1, fulfil_2)
        run.signal("go")
        assert run.result() == ["1"]


def test_chain_goes_on_with_the_newest_version() -> None:
    @workflow.define(name="loop", version="1")
    async def loop_1(ctx: Context, seen: list[str]) -> list[str]:
        await ctx.sleep(10)
        if len(seen) < 4:
            ctx.continue_as_new([*seen, ctx.info.version])
        return seen

    @workflow.define(name="loop", version="2")
    async def loop_2(ctx: Context, seen: list[str]) -> list[str]:
        await ctx.sleep(20)
        if len(seen) < 4:
            ctx.continue_as_new([*seen, ctx.info.version])
        return seen

    with Environment() as env:
        run = env.start(loop_1, [])
        env.advance(15)
        env.deploy(loop_2)
        assert run.result() == ["1", "1", "2", "2"]


@workflow.define(name="leaf", version="1")
async def leaf_1(ctx: Context) -> str:
    return ctx.info.version


@workflow.define(name="leaf", version="2")
async def leaf_2(ctx: Context) -> str:
    await ctx.sleep(1)
    return ctx.info.version


@workflow.define
async def plain_leaf(_ctx: Context) -> str:
    return "plain"


@workflow.define(name="tree", version="1")
async def tree(ctx: Context) -> list[Any]:
    return [
        await ctx.execute_child(leaf_2),
        await ctx.execute_child(leaf_2.options(version="2")),
        await ctx.execute_child(plain_leaf),
    ]


def test_children_inherit_the_version_of_their_parent_where_they_have_it() -> None:
    with Environment() as env:
        env.deploy(leaf_1, leaf_2)
        assert env.start(tree).result() == ["1", "2", "plain"]


def test_replay_takes_the_version_of_the_history() -> None:
    with Environment() as env:
        run = env.start(fulfil_1)
        run.signal("go")
        run.result()
        events = run.history
    assert replay(events, [fulfil_1, fulfil_2]) == 1
    with pytest.raises(UsageError, match=r"in version '1', which is not there \(there is: '2'\)"):
        replay(events, fulfil_2)
    started = events[0]
    assert isinstance(started, WorkflowStarted)
    assert started.version == "1"
