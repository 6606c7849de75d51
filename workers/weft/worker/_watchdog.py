"""Interrupts a workflow's code that keeps its owner's thread to itself.

The code runs in the owner's thread, and while it does nothing else is served. A thread of the watchdog's own looks a
few times a second whether the owner is still in the same call, and after `limit_s` raises `TurnInterrupted` in it:
CPython does that between two bytecodes (`PyThreadState_SetAsyncExc`), so a call into C that does not come back cannot
be interrupted. Code that swallows the exception gets it again with every look.

It must hit nothing but the guarded call, so the rules are strict:

- The watchdog says `_is_raising` before it looks whether the call `_is_open`, and takes that back once it has raised.
  The owner closes the call by one plain store, which no exception can split from the call's end, and then waits until
  nobody is raising: from there on nothing more comes, and what came and did not hit yet is cleared.
- Between the store and the clearing an exception may still hit, at most twice: what was pending at the store, and
  what the watchdog was just raising. So the clearing is tried three times.
- No lock: an exception that hits right after one was taken would leave it taken for good.
- Time is counted in the watchdog's own looks, not by a clock: a process that was stopped, or a machine that slept,
  has not run the code meanwhile.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections.abc import Callable

from weft.errors import TurnTimeoutError
from weft.host import HOST, Host, Thread
from weft.workflow import TurnInterrupted, running_line

logger = logging.getLogger("weft.worker")

_SETTLE_S = 0.0005
_LOOKS_A_LIMIT = 20
_LOOK_S_MAX = 0.25
_CALM_LOOKS = 4
"""How many looks it waits for a moment in which the innermost code is the user's: not in the middle of a library that
holds a lock, of logging or importing for instance."""

_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.c_void_p)


class TurnWatchdog:
    """Guards the calls of the thread that calls `start`. Implements `weft.workflow.Guard`."""

    has_thread = True

    def __init__(self, limit_s: float, host: Host = HOST) -> None:
        self.interrupted_count = 0
        self._limit_s = limit_s
        self._look_s = min(limit_s / _LOOKS_A_LIMIT, _LOOK_S_MAX)
        self._looks_max = max(1, round(limit_s / self._look_s))
        self._host = host
        self._is_open = False
        self._is_raising = False
        self._number = 0
        """Of the guarded call."""
        self._line: str | None = None
        """Where the code of this call was when it was interrupted first."""
        self._owner = 0
        self._stopping = host.event()
        self._thread: Thread = host.thread(self._watch, "weft-watchdog")

    def start(self) -> None:
        self._owner = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Raises TurnTimeoutError when the function had to be interrupted, and what it raises itself."""
        problem: BaseException | None = None
        self._number += 1
        try:
            self._is_open = True
            function(*arguments)
        except BaseException as error:  # noqa: BLE001  # raised again below, once the call is closed
            self._is_open = False
            problem = error
        self._is_open = False
        # Here an exception may still hit; see above. No call may stand outside of these.
        try:
            self._settle()
        except TurnInterrupted:
            try:
                self._settle()
            except TurnInterrupted:
                self._settle()
        if self._line is not None:
            self._raise_timeout()
        if problem is not None:
            raise problem

    def _settle(self) -> None:
        while self._is_raising:
            self._host.sleep(_SETTLE_S)
        if self._line is not None:
            _set_exception(self._owner, None)

    def _raise_timeout(self) -> None:
        line, self._line = self._line, None
        self.interrupted_count += 1
        where = f" ({line})" if line else ""
        raise TurnTimeoutError(
            f"The workflow's code did not come to an `await` for {self._limit_s:g} s{where}, and was interrupted: "
            "everything else on its partitions waited for it. Move long work into an activity, and wait by `await`; "
            "with such code deployed the run continues by itself."
        )

    # In the watchdog's thread.

    def _watch(self) -> None:
        number, looks = 0, 0
        while not self._stopping.wait(self._look_s):
            if not self._is_open or self._number != number:
                number, looks = self._number, 0
                continue
            looks += 1
            if looks >= self._looks_max:
                self._interrupt(number, patiently=looks < self._looks_max + _CALM_LOOKS)

    def _interrupt(self, number: int, *, patiently: bool) -> None:
        frame = sys._current_frames().get(self._owner)
        line = running_line(frame)
        if patiently and running_line(frame, innermost=True) == "":
            return
        self._is_raising = True
        try:
            if self._is_open and self._number == number:
                if self._line is None:
                    self._line = line
                _set_exception(self._owner, id(TurnInterrupted))
        finally:
            self._is_raising = False
