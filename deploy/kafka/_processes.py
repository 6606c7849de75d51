"""Processes by their ID, of which only those that are surely ours are ever stopped."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_POLL_S = 0.05
_detached: list[subprocess.Popen[bytes]] = []
_NEW_PROGRAM_PATIENCE_S = 2.0


def is_alive(pid: int) -> bool:
    """Whether the process runs. One that has ended and waits to be collected does not."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] != "Z"
    return True


def is_ours(pid: int, mark: str) -> bool:
    """Whether the process was started with `mark` on its command line.

    Process IDs are used again: after a restart of the machine a remembered one may belong to anybody.
    """
    deadline = time.monotonic() + _NEW_PROGRAM_PATIENCE_S
    while is_alive(pid):
        command_line = _command_line(pid)
        if command_line:
            return mark in command_line
        # It is just becoming another program (Java's launcher starts itself anew), or has no command line at all.
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return False


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    listing = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listing.stdout


def detach(process: subprocess.Popen[bytes]) -> None:
    """Let it outlive this interpreter: it is stopped by process ID later, by us or by somebody else.

    Kept, so that it is reaped when it ends before us, and counted as ended, or Python warns about it at its own end.
    """
    _detached.append(process)
    atexit.register(setattr, process, "returncode", 0)


def end_process(pid: int, *, first: signal.Signals, patience_s: float) -> None:
    """Send `first`, wait, and kill the process if it has not ended after `patience_s`."""
    _send(pid, first)
    if not _wait_for_end(pid, patience_s):
        _send(pid, signal.SIGKILL)
        _wait_for_end(pid, 10.0)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_for_end(pid: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
