"""A worker process under the demonstration: started, killed without warning, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from examples.orders.evidence import BOOKS_FILE
from examples.orders.world import BOOKS

CHECKOUT = Path(__file__).parents[2]
_STOP_TIMEOUT_S = 15.0
_LOG_TAIL_LINES = 20


class WorkerEndedError(Exception):
    """A worker process ended by itself, which it never should."""


class WorkerProcess:
    """`weft worker FILE` as a child process. Its output goes to a file in `folder`."""

    def __init__(
        self, name: str, workflow_file: Path, options: Sequence[str], folder: Path
    ) -> None:
        self.name = name
        self.kills_ms: list[int] = []
        self._command = [sys.executable, "-m", "weft.cli", "worker", str(workflow_file), *options]
        self._output_file = folder / f"{name.replace(' ', '-')}.log"
        self._environment = {**os.environ, BOOKS: str(folder / BOOKS_FILE)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        with self._output_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=CHECKOUT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once, as a power cut would: kill -9."""
        assert self._process is not None, "started before"
        self.kills_ms.append(int(time.time() * 1000))
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Let it finish what it has begun."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def check_alive(self) -> None:
        """Raises WorkerEndedError, with the end of its output, when it has ended by itself."""
        if self._process is None or self._process.poll() is None:
            return
        output = self._output_file.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(output.splitlines()[-_LOG_TAIL_LINES:])
        raise WorkerEndedError(
            f"{self.name} ended by itself with exit status {self._process.returncode}. Its output:\n{tail}"
        )
