"""Which line of the user's code a coroutine stands at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_NOT_THE_USERS = (str(Path(asyncio.__file__).parent), str(Path(__file__).parent))


def innermost_line(coroutine: Any) -> str:
    """`orders.py, line 42`: the deepest suspended frame outside of asyncio and of this package."""
    found = ""
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(
            coroutine, "gi_frame", None
        )
        if frame is not None and not frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            found = f"{frame.f_code.co_filename}, line {frame.f_lineno}"
        elif frame is not None and "generator" in frame.f_locals:
            found = innermost_line(frame.f_locals["generator"]) or found
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return found


def first_line(function: Callable[..., Any]) -> str:
    """Where a function begins; empty for what has no code of its own."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code is not None else ""
