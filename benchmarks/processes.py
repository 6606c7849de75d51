"""Worker processes and brokers under a benchmark, and what each of them used: CPU seconds, memory (Linux: /proc)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
READY_POLL_S = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_HTTP_TIMEOUT_S = 30.0

Process = subprocess.Popen[bytes]

_started: set[Process] = set()


class BenchmarkError(Exception):
    """A workload did not do what it is to measure; the text says what went otherwise."""


def start_worker(
    log_options: Sequence[str], *options: str, env: Mapping[str, str] | None = None
) -> Process:
    """One `weft worker` process over the benchmarks' workflows. `env` comes on top of the environment."""
    command = [sys.executable, "-m", "weft.cli", "worker", str(HERE / "workloads.py")]
    return start([*command, *log_options, *options], env)


def start(command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
    """A process whose CPU time counts as the benchmark's own. With WEFT_BENCH_VERBOSE it may say what it has to say."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("WEFT_BENCH_VERBOSE") else subprocess.DEVNULL,
    )
    _started.add(process)
    return process


def stop(processes: Iterable[Process]) -> None:
    """End workers by their process IDs: gently, then not."""
    chosen = list(processes)
    for process in chosen:
        process.send_signal(signal.SIGTERM)
    for process in chosen:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# What a worker says of itself.


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def is_ready(port: int) -> bool:
    """Whether the worker that serves its metrics here is ready; False also as long as nobody answers."""
    try:
        with urllib.request.urlopen(  # its scheme is fixed
            f"http://127.0.0.1:{port}/readyz", timeout=_HTTP_TIMEOUT_S
        ) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


async def wait_until_ready(worker: Process, port: int, timeout_s: float) -> None:
    """Raises BenchmarkError when the worker ends, or is not ready in time."""
    deadline_s = time.monotonic() + timeout_s
    while not await asyncio.to_thread(is_ready, port):
        if worker.poll() is not None:
            raise BenchmarkError(f"a worker ended with status {worker.returncode} as it started")
        if time.monotonic() > deadline_s:
            raise BenchmarkError(f"a worker was not ready after {timeout_s:.0f} s")
        await asyncio.sleep(READY_POLL_S)


def scrape(port: int) -> dict[str, float]:
    """A worker's metrics by name and labels, as Prometheus spells them."""
    address = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(address, timeout=_HTTP_TIMEOUT_S) as response:
        lines = response.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


async def wait_for_runs(port: int, count: int, timeout_s: float) -> None:
    """Wait until a worker has exactly so many open workflows. Raises BenchmarkError."""
    deadline_s = time.monotonic() + timeout_s
    running = -1
    while running != count:
        if time.monotonic() > deadline_s:
            raise BenchmarkError(
                f"there are {running} open workflows after {timeout_s:.0f} s, not {count}"
            )
        await asyncio.sleep(READY_POLL_S * 4)
        metrics = await asyncio.to_thread(scrape, port)
        running = int(metrics.get('weft_runs{status="running"}', 0))


# What processes use.


def memory_bytes(pid: int) -> tuple[int, int]:
    """(resident now, the most it ever was) of one process."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    now, most = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def cpu_s(pid: int, *, with_ended_children: bool = False) -> float:
    """User and system seconds of one process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    chosen = fields[11:15] if with_ended_children else fields[11:13]
    return sum(map(int, chosen)) / _TICKS_PER_S


@dataclass
class CpuMeter:
    """CPU seconds of named processes between `start` and `stop`, and what everybody else on the machine used."""

    pids: Mapping[str, int]
    broker_pid: int = 0
    others_s: float = field(default=0.0, init=False)

    def start(self) -> None:
        self._before = {name: cpu_s(pid) for name, pid in self.pids.items()}
        self._others_before = self._others_s()

    def stop(self) -> dict[str, float]:
        self.others_s = max(0.0, self._others_s() - self._others_before)
        return {name: round(cpu_s(pid) - self._before[name], 2) for name, pid in self.pids.items()}

    def _others_s(self) -> float:
        """Of the whole machine, less this process, what it started (also what has ended since), and the broker."""
        own_s = cpu_s(os.getpid(), with_ended_children=True)
        alive = {process.pid for process in _started if process.returncode is None}
        own_s += sum(cpu_s(pid) for pid in {*alive, self.broker_pid} - {0})
        return _busy_s() - own_s


def _busy_s() -> float:
    """CPU seconds that the whole machine has used since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    values = [int(value) for value in fields[1:9]]
    return (sum(values) - values[3] - values[4]) / _TICKS_PER_S
