"""A short torture, so that a long one holds: three brokers, five workers, all of them killed again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
MINUTES = float(os.environ.get("WEFT_TORTURE_MINUTES", "2"))
TIMEOUT_S = 400

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(TIMEOUT_S + 60 * MINUTES - 120)]


def test_nothing_is_lost_and_nothing_happens_twice_when_everything_is_killed_in_turn(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "tests.torture", "--minutes", str(MINUTES)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    sums = lines[-1]
    assert done.returncode == 0, sums
    assert sums["holds"]
    checks = {line["check"]: line["holds"] for line in lines if "check" in line}
    assert len(checks) == sums["checks"] > 10
    assert all(checks.values())
    # It has been a torture, and there was something to get wrong.
    assert min(sums["faults"].get(f"kill {role}", 0) for role in ("workflows", "activities")) > 0
    assert sum(sums["faults"].get(f"{how} broker", 0) for how in ("kill", "stop")) > 0
    assert min(sums["workloads"].values()) > 0
    assert min(sums[what] for what in ("updates", "children", "published", "continued_runs")) > 0
    assert sum(line.get("signals_carried", 0) for line in lines) > 0
    assert sums["signals"] > sums["duplicate_signals"] > 0
    assert sums["activities_run_again"] < sums["activities"]
