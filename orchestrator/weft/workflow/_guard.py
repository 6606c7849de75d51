"""Code that does not come to rest: how much one activation may do, and who watches the clock meanwhile.

Everything else that the owner serves waits while a workflow's code runs. Two limits are counted and are the same in
every replay; against a loop that does not even await, only another thread helps: a `Guard`, which the owner brings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

CALLBACKS_MAX = 1_000_000
"""Steps of tasks and other callbacks of one activation: about a second of `await asyncio.sleep(0)`."""
COMMANDS_MAX = 100_000
"""What one activation may ask for: all of it is written in one transaction."""


class TurnInterrupted(BaseException):  # no error: it ends code, as GeneratorExit does
    """Raised within code that went beyond a limit.

    No Exception, so that code which goes on after every error ends all the same.
    """


class Guard(Protocol):
    """Watches over the user code that a call runs."""

    interrupted_count: int
    """How many calls had to be interrupted so far."""
    has_thread: bool
    """The thread of these calls runs no event loop of its own, so that none has to be put back after each of them."""

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Raises TurnTimeoutError when the function had to be interrupted, and what it raises itself."""


class Unguarded:
    """Nobody watches: for tests, and where time does not pass."""

    interrupted_count = 0
    has_thread = False

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)


UNGUARDED = Unguarded()
