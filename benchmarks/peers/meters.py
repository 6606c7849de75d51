"""What the peers are measured with: CPU of whole process trees, marks of activities, percentiles, a grid in time.

Standard library only: every peer's own environment imports it.
"""

from __future__ import annotations

import cmath
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import processes

MARKS = "BENCH_MARKS"
"""Names the file in which slow activities note that they begin and end; also in benchmarks/workloads.py."""
GRID_S = 0.050
GRID_STRENGTH_MAX = 0.5
"""Above it, times lie on the grid. Times that do not come to about 1 over the root of their number."""


def marks_file() -> Path:
    return Path(os.environ[MARKS])


def mark(kind: str, name: str) -> None:
    """One line, whole also when the process is killed right after: `b` for a begin, `e` for an end."""
    marks = os.open(marks_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(marks, f"{kind} {name}\n".encode())
    os.close(marks)


def read_marks(file: Path, kind: str) -> Counter[str]:
    """How often each activity has begun (`b`) or ended (`e`)."""
    text = file.read_text() if file.exists() else ""
    lines = (line.split(" ", 1) for line in text.splitlines())
    return Counter(name for found, name in lines if found == kind)


def ended_count(file: Path) -> int:
    """How many times activities have ended; cheap, for whoever looks often."""
    return file.read_bytes().count(b"e ") if file.exists() else 0


def latencies(seconds: Sequence[float]) -> dict[str, object]:
    """Runs, median and 99th percentile in milliseconds, reckoned as benchmarks/run.py does."""
    times_ms = [one * 1000 for one in seconds]
    return {
        "runs": len(times_ms),
        "p50_ms": round(statistics.median(times_ms), 2),
        "p99_ms": round(statistics.quantiles(times_ms, n=100)[98], 2),
    }


def grid_strength(times_s: Sequence[float], period_s: float = GRID_S) -> float:
    """How far times keep to a grid: 1 when each is a whole number of periods from the others, near 0 by chance."""
    if not times_s:
        return 0.0
    phases = (math.tau * (one - times_s[0]) / period_s for one in times_s)
    return abs(sum(cmath.rect(1.0, phase) for phase in phases)) / len(times_s)


@dataclass(frozen=True)
class Process:
    parent: int
    cpu_s: float
    """User and system seconds of its own, and of its children that have ended and been waited for."""


def all_processes() -> dict[int, Process]:
    """Every process of this machine by its ID."""
    found: dict[int, Process] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        ticks = sum(int(field) for field in fields[11:15])
        found[int(folder.name)] = Process(int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))
    return found


def trees_cpu_s(roots: Mapping[str, int], running: Mapping[int, Process]) -> dict[str, float]:
    """CPU seconds of each named process and all below it, but for those below another named one."""
    children: dict[int, list[int]] = {}
    for pid, process in running.items():
        children.setdefault(process.parent, []).append(pid)
    apart = set(roots.values())

    def total(pid: int) -> float:
        own = running[pid].cpu_s if pid in running else 0.0
        return own + sum(total(child) for child in children.get(pid, ()) if child not in apart)

    return {name: total(pid) for name, pid in roots.items()}


class Meter:
    """Seconds, CPU seconds by named process tree, and how much of the machine others used, of a `with` block.

    `pids` is asked at both ends: a worker that is killed in between goes into what its parent has waited for.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self.seconds = 0.0
        self.cpu_s: dict[str, float] = {}
        self.others_cores = 0.0

    def __enter__(self) -> Self:
        self._cpu_before = self._cpu_now()
        self._busy_before_s = processes._busy_s()
        self._began_s = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began_s
        busy_s = processes._busy_s() - self._busy_before_s
        now = self._cpu_now()
        used = {name: now[name] - self._cpu_before.get(name, 0.0) for name in now}
        self.others_cores = round(max(0.0, busy_s - sum(used.values())) / self.seconds, 2)
        self.cpu_s = {name: round(seconds, 2) for name, seconds in used.items()}

    def _cpu_now(self) -> dict[str, float]:
        return trees_cpu_s(self._pids(), all_processes())
