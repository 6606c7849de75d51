"""What the peers are measured with."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from benchmarks.peers import meters
from benchmarks.peers.meters import Process


def test_marks_are_counted_by_activity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "marks"
    assert meters.read_marks(file, "e") == {}
    assert meters.ended_count(file) == 0
    monkeypatch.setenv(meters.MARKS, str(file))
    for kind, name in (("b", "1-0"), ("e", "1-0"), ("b", "1-1"), ("b", "1-0"), ("e", "1-0")):
        meters.mark(kind, name)
    assert meters.read_marks(file, "b") == {"1-0": 2, "1-1": 1}
    assert meters.read_marks(file, "e") == {"1-0": 2}
    assert meters.ended_count(file) == 2


def test_latencies_are_in_milliseconds() -> None:
    figures = meters.latencies([number / 1000 for number in range(1, 100)])
    assert figures == {"runs": 99, "p50_ms": 50.0, "p99_ms": 99.0}


@pytest.mark.parametrize(
    "step_s,is_on_grid",
    [(0.050, True), (0.100, True), (0.0521, False), (0.0087, False), (0.0125, False)],
)
def test_grid_is_found_when_times_are_whole_periods_apart(step_s: float, is_on_grid: bool) -> None:
    jitter_s = (0.0, 0.002, -0.001, 0.001)
    times_s = [1000.0 + number * step_s + jitter_s[number % 4] for number in range(400)]
    assert (meters.grid_strength(times_s) > meters.GRID_STRENGTH_MAX) is is_on_grid


def test_grid_of_no_times_is_none() -> None:
    assert meters.grid_strength([]) == 0.0


def test_trees_are_counted_up_to_the_roots_of_others() -> None:
    running = {
        1: Process(parent=0, cpu_s=100.0),
        10: Process(parent=1, cpu_s=1.0),
        11: Process(parent=10, cpu_s=2.0),
        12: Process(parent=11, cpu_s=4.0),
        20: Process(parent=10, cpu_s=8.0),
        21: Process(parent=20, cpu_s=16.0),
    }
    used = meters.trees_cpu_s({"client": 10, "server": 20, "gone": 99}, running)
    assert used == {"client": 7.0, "server": 24.0, "gone": 0.0}


def test_meter_finds_this_process_busy() -> None:
    with meters.Meter(lambda: {"own": os.getpid()}) as meter:
        until_s = time.process_time() + 0.1
        while time.process_time() < until_s:
            pass
    assert meter.seconds >= 0.05
    assert 0.05 <= meter.cpu_s["own"] <= meter.seconds + 0.05
