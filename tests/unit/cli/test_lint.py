"""What `weft lint` prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from weft.cli import app

FLOW = """
from weft import workflow
from clock import stamp

@workflow.define
async def fulfil(ctx, order):
    return stamp(order)
"""
CLOCK = "import time\ndef stamp(order):\n    return time.time()\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a workflow whose helper reads the clock."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    (tmp_path / "clock.py").write_text(CLOCK, encoding="utf-8")
    return tmp_path


def weft(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.requirement("R2-14")
def test_findings_are_printed_with_their_place_chain_and_advice_and_end_with_1() -> None:
    answer = weft("lint", ".")
    finding, summary = answer.stdout.splitlines()
    assert finding == (
        "clock.py:3:12: WEFT101 [wall-clock] `time.time()` reads a clock, which shows another time in a replay: "
        "use ctx.now() (called by fulfil at line 7 of flow.py)"
    )
    assert summary == "1 finding: 1 workflow in 2 files"
    assert answer.exit_code == 1


def test_several_paths_are_looked_at_together() -> None:
    assert weft("lint", "flow.py", "clock.py").exit_code == 1
    alone = weft("lint", "flow.py")
    assert (alone.stdout, alone.exit_code) == ("no findings: 1 workflow in 1 file\n", 0)


def test_json_is_one_document() -> None:
    answer = weft("lint", ".", "--json")
    assert answer.stdout.count("\n") == 1
    assert json.loads(answer.stdout) == {
        "findings": [
            {
                "file": "clock.py",
                "line": 3,
                "column": 12,
                "code": "WEFT101",
                "name": "wall-clock",
                "message": "`time.time()` reads a clock, which shows another time in a replay",
                "advice": "use ctx.now()",
                "chain": [{"function": "fulfil", "file": "flow.py", "line": 7}],
            }
        ],
        "unreadable": [],
        "files": 2,
        "workflows": 1,
    }
    assert answer.exit_code == 1


def test_status_is_0_when_there_is_nothing_to_mend(folder: Path) -> None:
    (folder / "clock.py").write_text("def stamp(order):\n    return order\n", encoding="utf-8")
    answer = weft("lint", ".")
    assert (answer.stdout, answer.exit_code) == ("no findings: 1 workflow in 2 files\n", 0)


def test_status_is_2_when_a_file_is_no_python(folder: Path) -> None:
    (folder / "bad.py").write_text("def f(:\n", encoding="utf-8")
    answer = weft("lint", ".")
    lines = answer.stdout.splitlines()
    assert lines[0] == "bad.py:1: no valid Python: invalid syntax"
    assert lines[1].startswith("clock.py:3:12: WEFT101")
    assert lines[2] == "1 finding: 1 workflow in 2 files; 1 file could not be read"
    assert answer.exit_code == 2
    unreadable = json.loads(weft("lint", ".", "--json").stdout)["unreadable"]
    assert unreadable == [{"file": "bad.py", "line": 1, "why": "no valid Python: invalid syntax"}]


@pytest.mark.parametrize(
    "words,text",
    [
        (["nothing.py"], "There is no file or folder nothing.py."),
        (["empty"], "There are no Python files in empty."),
        ([], "Missing argument"),
        ([".", "--nonsense"], "No such option"),
    ],
)
def test_status_is_2_when_it_is_called_wrongly(folder: Path, words: list[str], text: str) -> None:
    (folder / "empty").mkdir()
    answer = weft("lint", *words)
    assert text in answer.stderr
    assert (answer.stdout, answer.exit_code) == ("", 2)
