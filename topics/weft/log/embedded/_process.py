"""Who this process is, and whether another one is surely dead.

A member whose process is gone need not be waited for. But a process ID says something on its own host and in its
own container only, so a process is called dead only when it lived exactly there.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STATE_FIELD = 0
_STARTED_FIELD = 19
"""Counted from the field after the command's name in `/proc/ID/stat`."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from every other that had or will have the same ID."""

    host: str
    process_id: int
    started: str


def current_process() -> ProcessIdentity:
    """The process that calls (so also right after a fork)."""
    process_id = os.getpid()
    fields = _stat_fields(process_id)
    return ProcessIdentity(_host(), process_id, fields[_STARTED_FIELD] if fields else "")


def is_surely_dead(identity: ProcessIdentity) -> bool:
    """True only if that process certainly ended; False when it lives or nobody here can tell."""
    if os.name != "posix" or identity.host != _host():
        return False
    try:
        os.kill(identity.process_id, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    fields = _stat_fields(identity.process_id)
    if not fields:
        return False
    # A zombie was killed and only its parent has not asked yet; another start time is another process with the same ID.
    return fields[_STATE_FIELD] in ("Z", "X") or fields[_STARTED_FIELD] != identity.started


def _stat_fields(process_id: int) -> list[str]:
    try:
        text = (_PROC / str(process_id) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


@cache
def _host() -> str:
    return f"{platform.node()} {_boot_id()} {_process_namespace()}"


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _process_namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
