"""Kill a worker between steps B and C, look at what is stored, and let another worker go on.

    python -m examples.crash.demo

Everything is as a user has it: `weft dev` in a process of its own on the embedded log, killed with -9; `weft history`
while nobody serves; `weft dev` once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from examples.crash.workflow import FOLDER

CHECKOUT = Path(__file__).parents[2]
WORKFLOW = Path(__file__).with_name("workflow.py")
PATIENCE_S = 60.0
_MOMENT_S = 0.7
"""After which a step's task is done with for good: until then it might be run again with the one that was under way."""
_SOON = {"WEFT_INSTANCE_ID": "crash", "WEFT_LEASE": "2s"}
"""The same name again: nobody has to make sure that the former worker is dead, whose lease is over in two seconds."""


class Shell:
    """Runs `weft` on one log; the steps note what they do in one file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "crash.weft"
        self.hold = folder / "hold"
        self._notes = folder / "notes"
        self._environment = {**os.environ, FOLDER: str(folder), **_SOON}

    def weft(self, *words: str) -> str:
        """A command, to its end. Raises CalledProcessError when it fails."""
        done = subprocess.run(
            self._command(*words), env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def served(self) -> subprocess.Popen[bytes]:
        """`weft dev`, until it is killed."""
        return subprocess.Popen(
            self._command("dev", str(WORKFLOW)),
            env=self._environment,
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ran(self) -> Counter[str]:
        """How often each step was run so far."""
        return Counter(self._notes.read_text().split()) if self._notes.exists() else Counter()

    def _command(self, *words: str) -> list[str]:
        command, *rest = words
        return [sys.executable, "-m", "weft.cli", command, "--file", str(self.log), *rest]


def demonstrate(folder: Path) -> Counter[str]:
    """Tell how it goes; returns how often each step was run."""
    shell = Shell(folder)
    shell.hold.touch()
    worker = shell.served()
    try:
        wait_for(shell.log.exists, "the log")
        shell.weft("start", "three_steps", "--id", "crash-1")
        wait_for(lambda: shell.ran()["C"] > 0, "step C to begin")
        time.sleep(_MOMENT_S)
        worker.kill()
        worker.wait()
        print("A and B are done, C has begun. The worker is dead (kill -9), and this is stored:\n")
        print(shell.weft("history", "crash-1"))
        shell.hold.unlink()
        worker = shell.served()
        print("Another worker replays it: A and B are not run again, C is.\n")
        print("result:", shell.weft("result", "crash-1"))
        print(shell.weft("history", "crash-1"))
    finally:
        worker.kill()
        worker.wait()
    ran = shell.ran()
    print("run:", ", ".join(f"{name} {count} x" for name, count in sorted(ran.items())))
    return ran


def wait_for(condition: object, what: str) -> None:
    """Raises TimeoutError when a callable does not come true."""
    assert callable(condition)
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.05)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="weft-crash-") as folder:
        demonstrate(Path(folder))


if __name__ == "__main__":
    main()
