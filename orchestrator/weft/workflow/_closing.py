"""Throwing waiting code away: the log says how far it came, a replay continues it, and here it must do nothing more."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

_WAITS_MAX = 100


class _Abandoned(BaseException):
    """Thrown into code that is dropped.

    Not GeneratorExit, which is what `close()` throws: where coroutines await one another and the inner one waits in its
    `finally` block, `close()` gives it up half closed, and it complains to nobody when it is collected.
    """


def abandon(code: Coroutine[Any, Any, Any] | Generator[Any, Any, Any]) -> None:
    """End waiting code without running the rest of it. Its `finally` blocks run, but nothing is waited for there."""
    for _ in range(_WAITS_MAX):
        try:
            code.throw(_Abandoned())
        except BaseException:  # noqa: BLE001  # whatever user code raises while it is thrown away has no one to go to
            return
