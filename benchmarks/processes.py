"""Worker processes and brokers under a benchmark, and the CPU seconds that each of them used (Linux: /proc)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def start_worker(
    log_options: Sequence[str], *options: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """One `weft worker` process over the benchmarks' workflows. `env` comes on top of the environment."""
    command = [sys.executable, "-m", "weft.cli", "worker", str(HERE / "workloads.py")]
    return subprocess.Popen(
        [*command, *log_options, *options],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("WEFT_BENCH_VERBOSE") else subprocess.DEVNULL,
    )


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End workers by their process IDs: gently, then not."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """User and system seconds of one process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@dataclass
class CpuMeter:
    """CPU seconds of named processes since `start`."""

    pids: dict[str, int]

    def start(self) -> None:
        self._before = {name: cpu_s(pid) for name, pid in self.pids.items()}
        self._others_before = _busy_s() - sum(self._before.values())

    def stop(self) -> dict[str, float]:
        now = {name: cpu_s(pid) for name, pid in self.pids.items()}
        self.others_s = max(0.0, _busy_s() - sum(now.values()) - self._others_before)
        return {name: round(now[name] - self._before[name], 2) for name in now}


def _busy_s() -> float:
    """CPU seconds that the whole machine has used since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    values = [int(value) for value in fields[1:9]]
    return (sum(values) - values[3] - values[4]) / _TICKS_PER_S
