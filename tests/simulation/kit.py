"""Simulations for tests: in processes of their own, which leave nothing of their killed processes to this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.tidy.source import CHECKOUT


def simulate(*arguments: str, timeout_s: float = 300.0) -> tuple[int, dict[str, Any], str]:
    """Returns (exit status, summary, all output)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stdout


def scenario(mutant: str = "") -> str:
    """What the run of `scenarios.py` comes to, with this rule broken."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.scenarios", *filter(None, [mutant])],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()
