"""Everything in docs/executors.md is run, as it stands there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, blocks

PAGE = (ROOT / "docs" / "executors.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
PRINTED = {
    "orders": ["running", "charged 4200, approved by Ada"],
    "log": ["42"],
    "encrypted": ["Hello, Ada!"],
    "named": [],
    "observed": ["greet-1 Hello, Ada!"],
}


def run(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_blocks_are_all_tested() -> None:
    assert sorted(BLOCKS) == sorted([*PRINTED, "contract"])
    assert PAGE.count("```") == 2 * len(BLOCKS)


@pytest.mark.requirement("R1-12", "R1-16", "R1-36")
@pytest.mark.parametrize("name", PRINTED)
def test_block_prints_what_it_should(name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BLOCKS[name], encoding="utf-8")
    assert run(tmp_path, "app.py") == PRINTED[name]


def test_store_of_ones_own_is_shown_to_keep_the_contract(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(BLOCKS["contract"], encoding="utf-8")
    assert " passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")[-1]
