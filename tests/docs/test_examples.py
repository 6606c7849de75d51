"""The commands in the examples' READMEs, run as they are typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.documents import ROOT, Shell
from tests.support.workers import wait_until

EXAMPLES = ROOT / "examples"


def commands(example: str) -> list[list[str]]:
    """The lines of the one block of shell commands that a README has."""
    text = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert text.count("```") == 2
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize(
    "example,result",
    [
        (
            "research",
            {"answer": "The moon, mostly.", "status": "published", "reviewed_by": "Grace"},
        ),
        (
            "onboarding",
            {"account": "ada-lovelace", "email": "ada@example.com", "reference": "ID-7"},
        ),
        ("documents", {"stopped": False, "failed": {}}),
        ("agent", {"rounds": 3}),
        ("fan_out", {"primes": 17984}),
        ("subscription", {"reason": "cancelled"}),
        ("trip", {"invoice": "invoice-Ada-2", "reason": ""}),
    ],
)
def test_example_runs_when_its_readme_is_typed(
    example: str, result: dict[str, object], tmp_path: Path
) -> None:
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    with ExitStack() as stack:
        typed = commands(example)
        model_url = ""
        if typed[0][-1] == "examples.model.server":
            model_url = stack.enter_context(_ModelServer(typed.pop(0)))
        shell = Shell(tmp_path, MODEL_URL=model_url)
        dev, *rest = typed
        assert dev == ["weft", "dev", f"examples/{example}/workflow.py"]
        stack.enter_context(shell.running(dev))
        wait_until((tmp_path / ".weft" / "dev.weft").exists, "weft dev has made its file")
        for words in rest[:-1]:
            if words[:2] == ["weft", "worker"]:
                stack.enter_context(shell.running(words))
            elif "query" in words:
                wait_until(lambda words=words: "hitl-1" in shell.run(words), "the question")
            else:
                shell.run(words)
        told = json.loads(shell.run(rest[-1]))
    assert {name: told[name] for name in result} == result


class _ModelServer:
    """As it is typed, on a free port."""

    def __init__(self, words: list[str]) -> None:
        assert words == ["python", "-m", "examples.model.server"]
        self._process = subprocess.Popen(
            [sys.executable, "-u", *words[1:], "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()[-1]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
