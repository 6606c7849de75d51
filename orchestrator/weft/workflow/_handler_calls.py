"""Calls of a workflow's handlers, of signals and updates: which are under way, and what the first that failed raised.

Each call of a handler of a signal or an update is a task of its own on the workflow's loop, begun in the order in which
they came. The main code and the handlers of signals belong together as the tasks of an `asyncio.TaskGroup` do: when one
fails, the main code is cancelled, cleans up, and the run fails with what the handler raised. (What an update's handler
raises goes to whoever sent the update.) When the main code ends first, the run has ended, and what its handlers still
wait for does not happen.
"""

from __future__ import annotations

from collections.abc import Callable


class HandlerCalls:
    """Of one run."""

    def __init__(self, cancel_main: Callable[[str], None]) -> None:
        """`cancel_main` asks the main code to end, and is told why."""
        self.failure: Exception | None = None
        """What the first handler that failed has raised."""
        self.under_way: dict[str, int] = {}
        """How often each handler was called and has not ended yet."""
        self._cancel_main = cancel_main

    @property
    def are_finished(self) -> bool:
        return not self.under_way

    def begin(self, what: str) -> None:
        """A call of this handler is owed to somebody."""
        self.under_way[what] = self.under_way.get(what, 0) + 1

    def end(self, what: str) -> None:
        """One call of it is over."""
        self.under_way[what] -= 1
        if not self.under_way[what]:
            del self.under_way[what]

    def fail(self, error: Exception) -> None:
        """A handler let this through: the run is to fail with it."""
        if self.failure is None:
            self.failure = error
            self._cancel_main(f"a handler failed with {type(error).__name__}: {error}")

    @property
    def names(self) -> str:
        """Of the handlers that are under way, each with how many calls of it are."""
        return ", ".join(f"{what} ({count})" for what, count in self.under_way.items())
