"""The simulator, in the time that `make test` has for it: `make simulate RUNS=n` goes on for as long as one likes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.kit import simulate
from tests.simulation.mutants import MUTANTS
from tests.tidy.source import CHECKOUT

pytestmark = pytest.mark.simulation

FRESH_RUNS = 300
FRESH_S = 100.0
MUTANT_RUNS = 1000
FIXED_SEEDS = range(1, 41)


@pytest.mark.timeout(320)
def test_fixed_seeds_hold() -> None:
    status, summary, output = simulate(
        "--seed", str(FIXED_SEEDS.start), "--runs", str(len(FIXED_SEEDS))
    )
    assert status == 0, output
    assert summary["runs"] == len(FIXED_SEEDS)
    assert summary["failures"] == 0


@pytest.mark.timeout(320)
def test_fresh_seeds_hold() -> None:
    """Other seeds every time. One that fails is told, with the command that repeats it."""
    status, summary, output = simulate("--runs", str(FRESH_RUNS), "--seconds", str(FRESH_S))
    assert status == 0, output
    assert summary["runs"] >= FRESH_RUNS / 10
    assert summary["faults"] > summary["runs"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_broken_rule_is_found(mutant: str) -> None:
    status, summary, output = simulate(
        "--mutant",
        mutant,
        "--seed",
        "1",
        "--runs",
        str(MUTANT_RUNS),
        "--failures-max",
        "1",
        timeout_s=580,
    )
    assert status == 1, f"{mutant} was not found within {summary['runs']} runs"
    assert "make simulate SEED=" in output


def test_same_seed_is_the_same_run() -> None:
    """To the last byte that is written and the last microsecond: else a seed would repeat nothing."""
    command = "from tests.simulation.simulate import simulate; print(simulate(7).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", command],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
