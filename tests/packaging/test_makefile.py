"""The Makefile's own behaviour; what its targets run has tests of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")


def make(*arguments: str, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    """A make of its own, also when the tests run under one: without what that hands down."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON"}
    env = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        ["make", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_has_one_line_for_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    lines = make().stdout.splitlines()
    assert [line.split()[1] for line in lines] == phony.split()
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("python", ["no-such-python", "false"])
def test_unfit_python_is_a_clear_error(python: str, tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    done = make("setup", f"PYTHON={python}", cwd=tmp_path)
    assert done.returncode != 0
    assert f"make: {python} is missing, or older than Python 3.11." in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_python_without_ensurepip_is_a_clear_error(tmp_path: Path) -> None:
    """As Debian's is, before python3-venv is installed."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    done = make("setup", f"PYTHON={python}", cwd=tmp_path)
    assert done.returncode != 0
    assert "ensurepip is missing (on Debian: apt-get install python3-venv)" in done.stderr


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "export", "cd"))]
    assert commands == ["exec make test"]
