"""Which line of the user's code stands where: in a coroutine that waits, in a thread that runs, in an exception."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any

from weft.determinism import is_users


def innermost_line(coroutine: Any) -> str:
    """`orders.py, line 42`: the deepest suspended frame outside of the standard library and of Weft."""
    found = ""
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(
            coroutine, "gi_frame", None
        )
        if frame is not None and is_users(frame):
            found = _line(frame.f_code.co_filename, frame.f_lineno)
        elif frame is not None and "generator" in frame.f_locals:
            found = innermost_line(frame.f_locals["generator"]) or found
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return found


def running_line(frame: FrameType | None, *, innermost: bool = False) -> str:
    """Where the user's code is that a running thread is in; empty when it is in none.

    `innermost`: also empty when that code has called into the standard library or Weft.
    """
    if innermost and frame is not None and not is_users(frame):
        return ""
    while frame is not None:
        if is_users(frame):
            return _line(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def raised_line(error: BaseException) -> str:
    """The deepest line of the user's code that an exception came through; empty when it came through none."""
    found, traceback = "", error.__traceback__
    while traceback is not None:
        if is_users(traceback.tb_frame):
            found = _line(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def first_line(function: Callable[..., Any]) -> str:
    """Where a function begins; empty for what has no code of its own."""
    code = getattr(function, "__code__", None)
    return _line(code.co_filename, code.co_firstlineno) if code is not None else ""


def _line(file: str, number: int) -> str:
    return f"{file}, line {number}"
