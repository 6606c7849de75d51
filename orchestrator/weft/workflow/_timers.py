"""Durable timers: those that a run's loop needs, and those that its code sleeps by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.core import CancelTimer, StartTimer
from weft.records import TimerFired
from weft.workflow._commands import Commands
from weft.workflow._futures import WorkflowFuture

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop


class DurableTimers:
    """Of one run. Its loop starts them as well: what `call_later` and `asyncio.timeout` wait for is durable."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.open: dict[int, Callable[[], None]] = {}
        """What each does when it fires, by number. Once the code is dropped, clear it: they hold each other."""

    def start_timer(self, due_ms: int, fire: Callable[[], None]) -> int:
        """Ask for a timer; returns its number."""
        number = self._commands.next_number("wait")
        if not self._commands.ended:
            self.open[number] = fire
            self._commands.ask(StartTimer(number, due_ms), number)
        return number

    def cancel_timer(self, timer_id: int) -> None:
        """Nobody waits for it any more."""
        if self.open.pop(timer_id, None) is not None:
            self._commands.withdraw_or_add(timer_id, CancelTimer(timer_id))

    def fired(self, event: TimerFired) -> None:
        """The history tells that it was due."""
        fire = self.open.pop(event.timer_id, None)
        if fire is not None:
            fire()


class TimerFuture(WorkflowFuture):
    """Done after a duration."""

    def __init__(self, timers: DurableTimers, loop: WorkflowLoop, seconds: float) -> None:
        super().__init__(loop=loop)
        self._timers = timers
        # No handle of the loop's: it would hold this future as this holds it, for Python's search for cycles to find.
        due_ms = loop.due_ms(loop.time() + seconds)
        self._timer_id = timers.start_timer(due_ms, self._fire_soon)

    def cancel(self, msg: Any | None = None) -> bool:
        self._timers.cancel_timer(self._timer_id)
        return super().cancel(msg)

    def _fire_soon(self) -> None:
        self.get_loop().call_soon(self._fire)

    def _fire(self) -> None:
        if not self.done():
            self.set_result(None)
