"""Processes of their own on a test's log."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.log_contract.patience import PATIENCE_S

_CHILD = Path(__file__).with_name("child.py")


class Child:
    """A process of its own on the same log; see `child.py` for what it can do."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_CHILD), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def line(self, timeout_s: float = PATIENCE_S) -> str:
        """The next line that it prints."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"the child printed nothing for {timeout_s:g} s") from None

    def line_if_any(self) -> str:
        """The next line if there is one already, else nothing."""
        return "" if self._lines.empty() else self._lines.get()

    def wait_for(self, line: str) -> None:
        """Pass over lines until this one."""
        while self.line() != line:
            pass

    def kill(self) -> list[str]:
        """End it with -9; returns the lines that were not taken yet."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def stop(self) -> None:
        """Let it end properly, if it is still there."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join()
        self.process.stdout.close()
