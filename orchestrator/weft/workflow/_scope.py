"""Blocks of a task's code that are cancelled on their own, or not at all for as long as they last.

asyncio's rules hold: a cancellation is a request to the task, counted (`cancelling`, `uncancel`), and raised where the
task waits. A scope adds two things. `cancel()` is such a request that ends at the block's edge, as `asyncio.timeout`
does it without a clock. A shield holds back what is asked from outside until its block is over; what comes from
within (a `timeout` or a `TaskGroup` inside of it) goes through. Who asks from where is told by the context in which the
request is made: asyncio runs a callback in the context of the code that asked for it.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from weft.errors import UsageError
from weft.workflow._futures import WorkflowTask

_entered: ContextVar[tuple[CancelScope, ...]] = ContextVar("weft_cancel_scopes", default=())
"""The scopes around the code that runs, outermost first."""


class CancelScope:
    """Made by `Context.cancel_scope`; used once, as `async with ctx.cancel_scope() as scope`."""

    def __init__(self, *, shield: bool) -> None:
        self._shield = shield
        self._task: WorkflowTask[Any] | None = None
        self._chain: tuple[CancelScope, ...] = ()
        """This scope and those around it, outermost first."""
        self._cancelling = 0
        """How often the task was asked to end before the block began."""
        self._held: list[Any] = []
        """The messages of the requests that wait for the end of the block."""
        self._is_open = False
        self._cancel_called = False
        self._cancelled = False

    @property
    def cancel_called(self) -> bool:
        """Whether somebody asked the block to end."""
        return self._cancel_called

    @property
    def cancelled(self) -> bool:
        """Whether it ended by that: it was left where it waited, and its error went no further."""
        return self._cancelled

    def cancel(self, msg: str = "the scope was cancelled") -> None:
        """End the block where it waits, and all that it waits for; the code after it goes on.

        Anybody may ask, and once is enough. A scope that is shielded can be ended so, too, one inside of it that is
        shielded comes to its own end first. A block that is over is left alone.
        """
        if not self._is_open or self._cancel_called:
            return
        assert self._task is not None, "an open scope has its task"
        self._cancel_called = True
        _cancel_from(self._task, self._chain, msg)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if not isinstance(task, WorkflowTask) or self._task is not None:
            raise UsageError("a cancel scope is entered once, by a task of a workflow")
        self._task = task
        self._chain = (*_entered.get(), self)
        _entered.set(self._chain)
        self._cancelling = task.cancelling()
        self._is_open = True
        if self._shield:
            task.shields += (self,)
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Swallow the error of its own cancellation, then let through what was held back: it is raised here.

        After another error it is raised at the next wait instead: the error goes first.
        """
        task = self._leave()
        if not isinstance(error, Exception | asyncio.CancelledError | None):
            return False  # the code is dropped
        is_over = False
        if self._cancel_called:
            is_last = task.uncancel() <= self._cancelling
            self._cancelled = is_over = is_last and isinstance(error, asyncio.CancelledError)
            if is_last and not self._cancelled:
                await _forget_request(task)
        for msg in self._held:
            _cancel_from(task, self._chain[:-1], msg)
        if self._held and not isinstance(error, Exception):
            await asyncio.sleep(0)
        return is_over

    def _leave(self) -> WorkflowTask[Any]:
        assert self._task is not None, "left after it was entered"
        self._is_open = False
        _entered.set(self._chain[:-1])  # no reset: code that is dropped is not in its own context
        if self._shield:
            self._task.shields = self._task.shields[:-1]
        return self._task

    @property
    def holds_request(self) -> bool:
        """Whether it keeps a request until its end."""
        return bool(self._held)

    def holds_back(self, msg: Any) -> bool:
        """Whether it keeps this request until its end: one that comes from outside of the block."""
        is_outside = self not in _entered.get()
        if is_outside:
            self._held.append(msg)
        return is_outside


def _cancel_from(task: WorkflowTask[Any], chain: tuple[CancelScope, ...], msg: Any) -> None:
    """A request from within these scopes, wherever it is made."""
    here = _entered.set(chain)
    try:
        task.cancel(msg)
    finally:
        _entered.reset(here)


async def _forget_request(task: WorkflowTask[Any]) -> None:
    """The block ended by itself in the very step in which it was cancelled: nothing of that may reach what follows."""
    if getattr(task, "_must_cancel", False):  # from Python 3.13 on `uncancel` has done this
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return
