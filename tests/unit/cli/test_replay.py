"""`weft replay`: the gate before a deploy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.testing import flows
from weft.cli import app
from weft.testing import Environment

_OTHER = """
from weft import workflow

@workflow.define(name="buy")
async def buy(ctx: workflow.Context, order: str) -> str:
    await ctx.sleep(1)
    return order
"""
_SAME = "tests.unit.testing.flows"


@pytest.fixture
def histories(folder: Path, env: Environment) -> Path:
    """A folder with the histories of two runs."""
    (folder / "other.py").write_text(_OTHER)
    recorded = folder / "histories"
    recorded.mkdir()
    for order in ("lamp", "chair"):
        run = env.start(flows.buy, order, id=f"order-{order}")
        run.result()
        run.save_history(recorded / f"{order}.json")
    return recorded


def weft(*arguments: str) -> tuple[int, str, str]:
    """(status, output, errors) of a command."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_gate_opens_when_every_history_fits(histories: Path) -> None:
    status, output, _ = weft("replay", str(histories), "--workflows", _SAME)
    assert status == 0
    assert output.splitlines()[-1] == "2 replayed, all fit"
    assert "order-chair" in output


def test_gate_stays_shut_and_says_why_when_a_history_does_not_fit(histories: Path) -> None:
    file = str(histories / "lamp.json")
    status, output, _ = weft("replay", file, "--workflows", "other.py")
    assert status == 1
    assert output.splitlines()[-1] == "1 replayed, 1 differ"
    for part in (
        "histories/lamp.json: The history of order-lamp",
        "at event 2: the history has ScheduleActivity",
        "the code asked for StartTimer number 1",
        "other.py, line 6",
        "Workers with this code would block the run.",
    ):
        assert part in output


def test_programs_get_one_document(histories: Path) -> None:
    files = [str(histories / "lamp.json"), str(histories / "chair.json")]
    status, output, _ = weft("replay", *files, "--workflows", "other.py", "--json")
    assert status == 1
    document = json.loads(output)
    assert (document["replayed"], document["differing"]) == (2, 2)
    first = document["histories"][0]
    assert first | {"message": "", "run_id": "", "actual": ""} == {
        "file": files[0],
        "workflow_id": "order-lamp",
        "run_id": "",
        "workflow": "buy",
        "event_count": 8,
        "fits": False,
        "event_id": 2,
        "expected": 'ScheduleActivity "charge" (number 1)',
        "actual": "",
        "message": "",
    }


@pytest.mark.parametrize(
    "arguments,problem",
    [
        (["nothing.json", "--workflows", _SAME], "nothing.json cannot be read"),
        (["empty", "--workflows", _SAME], "There is no history to replay"),
        (["other.py", "--workflows", _SAME], "other.py is no JSON"),
        (["histories", "--workflows", "nobody.py"], "There is no file nobody.py"),
        (["histories", "--workflows", "hello.py"], "workflow 'buy', which is not there"),
    ],
)
def test_mistake_is_told_and_shuts_the_gate(
    histories: Path, folder: Path, arguments: list[str], problem: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "hello.py").write_text(_OTHER.replace("buy", "hello"))
    status, _, errors = weft("replay", *arguments)
    assert status == 1
    assert problem in errors
