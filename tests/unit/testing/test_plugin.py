"""What every pytest pays that finds Weft installed: next to nothing, as long as no test asks for `env`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LOADED = """
import sys
import {module}
print(*sorted(name for name in sys.modules if name.startswith({prefixes})))
"""
_TEST = """
import sys

def test_before():
    assert "weft.pytest_plugin" in sys.modules
    assert not [name for name in sys.modules if name.startswith(("weft.worker", "weft.testing"))]

def test_env(env):
    assert env.elapsed.total_seconds() == 0
    assert "confluent_kafka" not in sys.modules
"""


def loaded(module: str, *prefixes: str) -> list[str]:
    """Which modules with these prefixes are there in a new process that imports `module`."""
    code = _LOADED.format(module=module, prefixes=prefixes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_kit_imports_no_kafka_client_and_no_pytest() -> None:
    assert loaded("weft.testing", "confluent_kafka", "pytest", "sqlite3", "typer") == []


def test_plugin_imports_nothing_else_of_weft() -> None:
    assert loaded("weft.pytest_plugin", "weft.", "pydantic", "confluent_kafka") == [
        "weft.pytest_plugin"
    ]


def test_fixture_is_there_without_any_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, "test_mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
