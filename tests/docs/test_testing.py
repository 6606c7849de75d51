"""Everything in docs/testing.md is run, as it stands there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, Shell, blocks, commands
from tests.support.workers import wait_until

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
TESTS = ("first", "fakes", "children", "crash", "replay")


def test_blocks_are_all_tested() -> None:
    assert list(BLOCKS) == ["shop", "first", "fakes", "children", "crash", "gate", "replay"]
    assert PAGE.count("```") == 2 * len(BLOCKS)


@pytest.mark.requirement("R2-42")
def test_page_runs_as_it_is_typed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BLOCKS["shop"], encoding="utf-8")
    code = "\n".join(BLOCKS[name] for name in TESTS)
    (tmp_path / "test_shop.py").write_text(code, encoding="utf-8")
    shell = Shell(tmp_path)
    make, download, gate = commands(BLOCKS["gate"])
    with shell.running(["weft", "dev", "shop.py"]):
        wait_until((tmp_path / ".weft" / "dev.weft").exists, "weft dev has made its file")
        order = '{"id": "order-1", "cents": 4200}'
        shell.run(["weft", "start", "fulfil", "--input", order, "--id", "order-1"])
        shell.run(make)
        assert "of order-1 written to" in shell.run(download)
        assert shell.run(gate).splitlines()[-1] == "1 replayed, all fit"
    passed = shell.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"])
    assert f"{code.count('def test_')} passed" in passed
