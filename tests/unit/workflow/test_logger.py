"""What a workflow's code logs."""

from __future__ import annotations

import logging

import pytest

from tests.support.runs import RUN_ID, WORKFLOW_ID, DrivenRun
from weft import workflow
from weft.workflow import Context


@workflow.define
async def talkative(ctx: Context) -> None:
    ctx.logger.info("began with 100%")
    await ctx.receive_signal("go")
    ctx.logger.warning("went %s", "on", extra={"shelf": 7})


def test_line_is_logged_once_and_not_in_replays(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weft.workflow")
    with DrivenRun(talkative, replayed=False) as run:
        run.crash()
        run.signal("go")
        run.crash()
    assert [record.getMessage() for record in caplog.records] == [
        f"talkative {WORKFLOW_ID}: began with 100%",
        f"talkative {WORKFLOW_ID}: went on",
    ]
    told = vars(caplog.records[1])
    assert (told["workflow"], told["workflow_id"], told["run_id"], told["shelf"]) == (
        "talkative",
        WORKFLOW_ID,
        RUN_ID,
        7,
    )


def test_line_is_not_logged_below_the_loggers_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "weft.workflow")
    with DrivenRun(talkative, replayed=False) as run:
        run.signal("go")
    assert caplog.records == []
