"""Documents whose blocks of code are run: `<!-- test: name -->` above a block is the name by which a test finds it."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent
_BLOCK = re.compile(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(text: str) -> dict[str, str]:
    """The code of each named block, by its name, in their order."""
    return dict(_BLOCK.findall(text))


def commands(block: str) -> list[list[str]]:
    """The shell lines of a block, without their comments."""
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def load(name: str, code: str, folder: Path) -> ModuleType:
    """A block as the module that a user has of it, in a file of that name; `sys.modules` keeps it."""
    file = folder / f"{name}.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"page_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def block(name: str) -> pytest.MarkDecorator:
    """The block that a test is about: its `page` (a fixture of tests/docs) is that block's module."""
    return pytest.mark.parametrize("page", [pytest.param(name, id=name)], indirect=True)


class Shell:
    """A folder and an environment in which a document's commands run as they are typed."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **env}
        if "WEFT_KAFKA" not in env:
            self.env.pop("WEFT_KAFKA", None)

    def run(self, words: list[str], status: int = 0) -> str:
        """What the command prints; it must end with this exit status."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, words: list[str]) -> Iterator[None]:
        """With a command that serves; it is stopped at the end."""
        process = subprocess.Popen(words, cwd=self.folder, env=self.env)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
