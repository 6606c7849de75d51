"""What a workflow's code says of itself while it runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from tests.unit.workflow.conftest import Drive
from weft import workflow
from weft.codec import decode_payload
from weft.records import CUSTOM_STATUS_BYTES_MAX
from weft.workflow import Context, GeneratorContext


class Stage(BaseModel):
    name: str
    percent: int


@workflow.define
async def stages(ctx: Context) -> None:
    ctx.set_status(Stage(name="picking", percent=0))
    await ctx.execute_activity("pick")
    ctx.set_status(Stage(name="packing", percent=30))
    ctx.set_status(Stage(name="packing", percent=40))
    await ctx.execute_activity("pack")
    ctx.set_status(None)


@workflow.define(name="stages")
async def silent_stages(ctx: Context) -> None:
    await ctx.execute_activity("pick")
    await ctx.execute_activity("pack")


@workflow.define
def old_school(ctx: GeneratorContext) -> Any:
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")


def said(run: Any) -> Any:
    return decode_payload(run.machine.custom_status)


def test_status_is_the_last_value_that_the_code_said(drive: Drive) -> None:
    run = drive(stages, crashed=True)
    assert said(run) == {"name": "picking", "percent": 0}
    run.complete("pick")
    assert said(run) == {"name": "packing", "percent": 40}
    run.complete("pack")
    assert said(run) is None
    assert run.status == "completed"


def test_status_costs_no_event_and_no_replay_compares_it(drive: Drive) -> None:
    run = drive(stages)
    run.complete("pick")
    assert run.story == [
        "WorkflowStarted", "ActivityScheduled", "ActivityCompleted", "ActivityScheduled",
    ]  # fmt: skip
    run.replay(silent_stages).close()


def test_status_has_daprs_name_in_a_generator_workflow(drive: Drive) -> None:
    assert said(drive(old_school)) == "waiting"


@pytest.mark.parametrize(
    "value,problem",
    [
        (
            "x" * CUSTOM_STATUS_BYTES_MAX,
            "a status takes 4,096 bytes of JSON, and this one has 4,098",
        ),
        (object(), "cannot be stored"),
        (float("nan"), "JSON has no such number"),
    ],
)
def test_status_is_refused_where_it_is_said(drive: Drive, value: object, problem: str) -> None:
    @workflow.define
    async def refused(ctx: Context) -> None:
        ctx.set_status("before")
        await asyncio.sleep(1)
        ctx.set_status(value)

    run = drive(refused, replayed=False)
    run.advance_to_next()
    assert run.failure.type == "UsageError"
    assert problem in run.failure.message
    assert said(run) == "before"


def test_status_takes_as_much_as_it_says(drive: Drive) -> None:
    @workflow.define
    async def full(ctx: Context) -> None:
        ctx.set_status("x" * (CUSTOM_STATUS_BYTES_MAX - 2))

    assert drive(full).status == "completed"
