"""Every block of docs/messages.md is run, in virtual time and with a crash at every event; the client's on a log."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import ROOT, block, blocks, load
from tests.support.serving import make_topics, serving
from weft.client import Client
from weft.errors import UpdateFailedError, UpdateRejectedError
from weft.log import open_log
from weft.testing import Environment, Handle, crash_everywhere

PAGE = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)

pytestmark = pytest.mark.requirement("R1-5", "R3-8")


def test_blocks_are_all_tested() -> None:
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert list(BLOCKS) == ["signals", "queries", "updates", "sending"]


@block("signals")
def test_handler_takes_what_comes_while_the_workflow_waits(page: Any) -> None:
    def play(_: Environment, run: Handle[Any]) -> None:
        run.signal("cancel_line", {"line": "ink", "reason": "too blue"})
        run.signal("cancel_line", {"line": "ink", "reason": "too blue"})
        run.signal("ship", after=60)

    assert crash_everywhere(page.pick, ["pen", "ink"], play=play) == ["pen"]


@block("queries")
def test_query_tells_what_there_is(page: Any, env: Environment) -> None:
    run = env.start(page.count)
    for word in ("a", "b"):
        run.signal("word", word)
    assert run.query("seen") == ["a", "b"]
    assert run.query("seen", 1, hint=list[str]) == ["b"]


@block("updates")
def test_update_is_checked_done_and_answered(page: Any) -> None:
    def play(_: Environment, run: Handle[Any]) -> None:
        assert [run.update("add_line", line) for line in ("pen", "ink", "nib")] == [1, 2, 3]
        with pytest.raises(UpdateRejectedError, match="three lines are the most"):
            run.update("add_line", "cap")
        assert run.update("pay") == "thanks"

    assert crash_everywhere(page.basket, play=play) == ["pen", "ink", "nib"]


@block("updates")
def test_update_that_fails_leaves_the_run_as_it_was(page: Any, env: Environment) -> None:
    run = env.start(page.basket)
    with pytest.raises(UpdateFailedError, match="nobody has one"):
        run.update("add_line", "unicorn")
    assert run.update("add_line", "pen") == 1


@block("updates")
def test_client_sends_updates(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sending = load("sending", BLOCKS["sending"], tmp_path)

    async def run(log: Any) -> list[str]:
        async with (
            Client(log) as client,
            serving(log, "default", [page.basket], [page.reserve], instance_id="w1"),
        ):
            lines: list[str] = await sending.shop(client)
            return lines

    with closing(open_log(embedded=tmp_path / "log.weft")) as log:
        make_topics(log, "default")
        assert asyncio.run(run(log)) == ["pen"]
    told = capsys.readouterr().out
    assert "the value of update 'add_line' does not fit" in told
    assert "LookupError nobody has one" in told
