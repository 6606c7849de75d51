"""The API as type checkers see it: both must accept the one file, and reject the other's lines and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = Path("tests") / "typing"
ROOTS = ("orchestrator", "workers", "topics")
MYPY_LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)")

Problems = dict[str, dict[int, str]]
"""By file name, the first problem of each line."""


def mypy(folder: Path) -> Problems:
    """In a file that says what is wrong with it, mypy must look at what it would otherwise pass over."""
    files = [FOLDER / name for name in ("accepted.py", "rejected.py")]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(folder)]
    done = run([*command, *map(str, files)])
    assert not done.stderr, done.stderr
    problems: Problems = {}
    for line in done.stdout.splitlines():
        match = MYPY_LINE.match(line)
        if match:
            name = Path(match["file"]).name
            problems.setdefault(name, {}).setdefault(int(match["line"]), match["text"])
    return problems


def pyright(folder: Path) -> Problems:
    settings = folder / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": [str(CHECKOUT / FOLDER)],
                "extraPaths": [str(CHECKOUT), *(str(CHECKOUT / root) for root in ROOTS)],
                "typeCheckingMode": "standard",
                "pythonVersion": "3.11",
                "reportUnusedCoroutine": False,
                "reportUnusedExpression": False,
            }
        )
    )
    checker = Path(sysconfig.get_path("scripts")) / "basedpyright"
    python = ["--pythonpath", sys.executable]
    done = run([str(checker), "--project", str(settings), *python, "--outputjson"])
    problems: Problems = {}
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            problems.setdefault(Path(one["file"]).name, {}).setdefault(line, one["message"])
    return problems


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=110
    )


def wrong_lines() -> set[int]:
    lines = (CHECKOUT / FOLDER / "rejected.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("  # wrong")}


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_type_checker_accepts_what_is_right_and_rejects_what_is_wrong(
    checker: Callable[[Path], Problems], tmp_path: Path
) -> None:
    problems = checker(tmp_path)
    assert problems.get("accepted.py", {}) == {}
    rejected = problems.get("rejected.py", {})
    assert wrong_lines() - set(rejected) == set(), "these lines were accepted"
    assert set(rejected) - wrong_lines() == set(), rejected
