"""Worker processes for tests: started as a user starts them, killed as an operator never would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FLOWS = Path(__file__).with_name("flows.py")
_READY = "serving"


class WorkerProcess:
    """One `weft worker` process. `kill` is kill -9; `stop` is SIGTERM."""

    def __init__(
        self, *options: str, file: Path = FLOWS, env: dict[str, str] | None = None
    ) -> None:
        self._options = options
        self._file = file
        self._env = {**os.environ, **(env or {})}
        self.process = self._start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 30.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def restart(self) -> None:
        """A new process under the same options (the same instance ID, when that is one of them)."""
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "weft.cli", "worker", str(self._file), *self._options]
        return subprocess.Popen(command, env=self._env)


@contextmanager
def worker(
    *options: str, file: Path = FLOWS, env: dict[str, str] | None = None
) -> Iterator[WorkerProcess]:
    """A worker process that is gone afterwards, whatever the test did."""
    running = WorkerProcess(*options, file=file, env=env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def weft(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "weft.cli", *arguments]
    merged = {**os.environ, **(env or {})}
    return subprocess.run(
        command, capture_output=True, text=True, env=merged, timeout=60, check=False
    )


def wait_until(condition: object, what: str, timeout_s: float = 30.0) -> None:
    """Poll a callable until it is true. Fails with `what` when that takes too long."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.05)


def lines(path: Path) -> Sequence[str]:
    """What activities wrote to the file so far."""
    return path.read_text().splitlines() if path.exists() else []
