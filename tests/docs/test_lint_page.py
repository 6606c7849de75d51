"""The page about the linter says what the linter does, and no code in our documents has a finding."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, Shell, blocks
from weft.lint import RULES, lint

PAGE = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
HOOK = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def weft(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    shell = Shell(folder)
    return subprocess.run(
        [Path(sys.executable).parent / "weft", *words],
        cwd=folder,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BLOCKS["broken"], encoding="utf-8")
    words = BLOCKS["run"].partition("#")[0].split()
    done = weft(tmp_path, *words[1:])
    assert (words[0], done.stdout, done.returncode) == ("weft", BLOCKS["output"], 1)
    assert not done.stderr


def test_mended_example_has_no_finding(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BLOCKS["mended"], encoding="utf-8")
    done = weft(tmp_path, "lint", "shop.py")
    assert (done.stdout, done.returncode) == ("no findings: 1 workflow in 1 file\n", 0)


def test_page_has_every_rule_and_only_these() -> None:
    table = dict(re.findall(r"^\| (WEFT\d+) \| ([\w-]+) \|", PAGE, re.MULTILINE))
    assert table == {code: rule.name for code, rule in RULES.items()}


def test_hook_of_the_page_is_there_and_runs(tmp_path: Path) -> None:
    (hook,) = re.findall(r"- id: (\S+)", BLOCKS["hook"])
    assert re.findall(r"^- id: (\S+)$", HOOK, re.MULTILINE) == [hook]
    keys = dict(re.findall(r"^  (\w+): (.+)$", HOOK, re.MULTILINE))
    assert (keys["types"], keys["pass_filenames"]) == ("[python]", "false")
    assert (keys["language"], keys["require_serial"]) == ("python", "true")
    words = [*keys["entry"].split(), *json.loads(keys["args"])]
    (tmp_path / "shop.py").write_text(BLOCKS["broken"], encoding="utf-8")
    assert weft(tmp_path, *words[1:]).returncode == 1
    (tmp_path / "shop.py").write_text(BLOCKS["mended"], encoding="utf-8")
    assert weft(tmp_path, *words[1:]).returncode == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_a_document_has_no_finding(document: Path, tmp_path: Path) -> None:
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"(?:<!-- test: (\w+) -->\n)?```python\n(.*?)```", text, re.DOTALL)
    for number, (name, block) in enumerate(blocks):
        if name != "broken":
            (tmp_path / f"block_{number}.py").write_text(block, encoding="utf-8")
    workflows = sum(block.count("@workflow.define") for _, block in blocks)
    if workflows:
        report = lint([tmp_path])
        assert (report.findings, report.unreadable) == ([], [])
        assert report.workflows == workflows - (document.name == "lint.md")


def test_examples_have_no_finding() -> None:
    report = lint([ROOT / "examples"])
    assert (report.findings, report.unreadable) == ([], [])
    assert report.workflows >= 2
