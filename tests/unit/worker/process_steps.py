"""Activities for `test_activity_processes`: another process must find them, so they have a module of their own."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from weft import activity
from weft.errors import Failure

logger = logging.getLogger("steps")


@dataclass
class Order:
    id: str
    waits: timedelta


@activity.define(process=True)
def about(order: Order, times: int = 2) -> dict[str, Any]:
    """Which process runs it, and what it was given."""
    logger.info("order %s", order.id)
    logger.debug("nobody wants to know")
    info = activity.info()
    activity.heartbeat("half")
    ids = [info.workflow_id, info.run_id, info.activity, info.activity_id, info.attempt]
    seconds = order.waits.total_seconds() * times
    return {"pid": os.getpid(), "ids": ids, "seconds": seconds, "said": info.heartbeat_details}


@activity.define(process=True)
def twice(order: Order) -> Order:
    return Order(order.id * 2, order.waits * 2)


@activity.define(process=True)
def breaks(how: str) -> object:
    try:
        activity.heartbeat(f"before {how}")
        if how == "failure":
            raise Failure("no", type="Declined", details={"card": 7}, non_retryable=True)
        if how == "exit":
            sys.exit(4)
        if how == "interrupt":
            raise KeyboardInterrupt
        return {} if how != "result" else object()
    finally:
        activity.heartbeat(f"after {how}")


@activity.define(process=True)
def dies(how: str) -> None:
    if how == "exit":
        os._exit(3)
    ctypes.string_at(0)


@activity.define(process=True)
def hangs(note: Path) -> None:
    """Keeps a core busy, and has started another process; both would go on for long."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    part = note.with_suffix(".part")
    part.write_text(f"{os.getpid()} {child.pid}")
    part.rename(note)
    ends_s = time.monotonic() + 60.0
    while time.monotonic() < ends_s:
        pass


@activity.define(process=True)
def beats(count: int, pause_s: float, silent_s: float = 0.0) -> None:
    for number in range(count):
        activity.heartbeat(number)
        time.sleep(pause_s)
    time.sleep(silent_s)


def _shadowed() -> None: ...


shadowed = activity.define(process=True)(_shadowed)


def _shadowed() -> None: ...  # type: ignore[no-redef]  # another one of this name
