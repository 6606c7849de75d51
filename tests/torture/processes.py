"""Worker processes that can be killed, frozen, thawed, replaced, and asked what they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.torture.flows import NOTES

CHECKOUT = Path(__file__).resolve().parents[2]
SESSION_TIMEOUT_S = 6.0
_DUMP_TIMEOUT_S = 20.0
_DUMP_POLL_S = 0.05
_LOG_TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Place:
    """Where workers find the log, and leave what they have to say."""

    address: str
    namespace: str
    folder: Path

    @property
    def notes(self) -> Path:
        return self.folder / "notes"


@dataclass
class Launched:
    """One process, from its start to its end.

    `fenced`: another one has been started under its instance ID while it was frozen. `has_twin`: it is such a one.
    """

    process: subprocess.Popen[bytes]
    log: Path
    dump: Path
    frozen: bool = False
    fenced: bool = False
    has_twin: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number is signal.SIGSTOP:
            self.frozen = True
        elif number is signal.SIGCONT:
            self.frozen = False

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def log_tail(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])

    def held(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What it has in memory. Raises AssertionError when it does not say so in time."""
        self.dump.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        deadline_s = time.monotonic() + _DUMP_TIMEOUT_S
        while not self.dump.exists():
            assert time.monotonic() < deadline_s, f"process {self.pid} did not write {self.dump}"
            time.sleep(_DUMP_POLL_S)
        found: dict[str, dict[str, dict[str, Any]]] = msgspec.json.decode(self.dump.read_bytes())
        return found


@dataclass
class Worker:
    """A place in the fleet: one process after the other, under one instance ID or several."""

    role: str
    name: str
    place: Place
    instance: int = 0
    launches: int = 0
    current: Launched | None = None
    zombies: list[Launched] = field(default_factory=list)
    """Frozen processes, and thawed ones, whose place another has taken."""

    @property
    def instance_id(self) -> str:
        return f"{self.name}-{self.instance}"

    def start(self, *, new_instance: bool = False) -> None:
        self.instance += new_instance
        self.launches += 1
        stem = f"{self.name}.{self.launches:03d}"
        log = self.place.folder / f"{stem}.log"
        dump = self.place.folder / f"{stem}.dump"
        command = [
            sys.executable, "-m", "tests.torture.child", self.role,
            "--kafka", self.place.address, "--namespace", self.place.namespace,
            "--instance-id", self.instance_id, "--dump", str(dump),
            "--session-timeout-s", str(SESSION_TIMEOUT_S),
        ]  # fmt: skip
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env={**os.environ, NOTES: str(self.place.notes)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        twins = [zombie for zombie in self.zombies if not zombie.has_ended()]
        self.current = Launched(process, log, dump, has_twin=bool(twins))

    def end(self) -> None:
        """All of its processes, at once."""
        for launched in (*self.zombies, *([self.current] if self.current else ())):
            if not launched.has_ended():
                launched.kill()
        self.zombies.clear()
        self.current = None
