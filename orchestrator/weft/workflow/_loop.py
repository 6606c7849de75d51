"""A deterministic asyncio event loop: ordinary tasks and futures, durable time, no I/O.

Workflow code runs on it as asyncio code runs on any loop, so `gather`, `wait`, `timeout`, `TaskGroup`, `Event`, `Queue`
and task cancellation are the standard library's own. Two things differ: time is the history's (`time()` stands still
within an activation), and `call_at` asks for a durable timer. Callbacks run in the order in which they were scheduled,
until none is left, and tasks and futures have the same hashes in every replay (asyncio keeps them in sets, and a set's
order follows its members' hashes); that alone makes a replay take the same path.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar
from zlib import crc32

from weft.determinism import judge
from weft.errors import DeterminismError, TurnLimitError
from weft.workflow._closing import abandon
from weft.workflow._futures import WorkflowFuture, WorkflowTask
from weft.workflow._guard import CALLBACKS_MAX

T = TypeVar("T")

get_running = events._get_running_loop
set_running = events._set_running_loop


class Timers(Protocol):
    """Who makes a loop's timers durable."""

    def start_timer(self, due_ms: int, fire: Callable[[], None]) -> int:
        """Ask for a timer; returns its ID."""

    def cancel_timer(self, timer_id: int) -> None: ...


class _NoTimers:
    """Of a loop that is closed: nothing is asked for any more."""

    def start_timer(self, due_ms: int, fire: Callable[[], None]) -> int:
        return 0

    def cancel_timer(self, timer_id: int) -> None:
        pass


_NO_TIMERS = _NoTimers()
_NO_HOOKS = (None, None)


def leave_loop() -> None:
    """After turns in a thread that runs no event loop of its own: workflows' loops do not run any more."""
    set_running(None)


class DurableTimerHandle(asyncio.TimerHandle):
    """What `call_later` and `call_at` return: cancelling it cancels the durable timer."""

    timer_id = 0


class WorkflowLoop(asyncio.AbstractEventLoop):
    """One per run. `now_ms` is set by whoever activates it."""

    def __init__(self, timers: Timers, *, has_thread: bool = False) -> None:
        """`has_thread`: no other kind of loop runs in its thread. Then it stays the running one until `leave_loop`."""
        self.now_ms = 0
        self._has_thread = has_thread
        self._timers = timers
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self.last_hash = 0

    def seed(self, run_id: str) -> None:
        """Let the hashes of tasks and futures follow from the run (asyncio has the tasks of all runs in one set)."""
        self.last_hash = crc32(run_id.encode())

    def run_ready(self) -> None:
        """Run callbacks until none is left. A loop that already runs in this thread notices nothing.

        Raises TurnLimitError when there is no end to them.
        """
        if self._has_thread:
            set_running(self)
            self._run_ready()
            return
        outer, hooks = get_running(), sys.get_asyncgen_hooks()
        set_running(self)
        if (
            hooks != _NO_HOOKS
        ):  # looked at first: to set them is announced to audit hooks, which is slow
            sys.set_asyncgen_hooks(None, None)
        try:
            self._run_ready()
        finally:
            if hooks != _NO_HOOKS:
                sys.set_asyncgen_hooks(*hooks)
            set_running(outer)

    def _run_ready(self) -> None:
        ready = self._ready
        count = 0
        while ready:
            if count >= CALLBACKS_MAX:
                raise TurnLimitError(
                    f"The workflow's code took {CALLBACKS_MAX} steps without waiting for anything that takes time: "
                    "`asyncio.sleep(0)` in a loop does not. Wait for an activity, a timer or a signal."
                )
            count += 1
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def forget_done(self) -> bool:
        """Drop the tasks that are done. Returns whether there is more: something for `discard` to end."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return bool(self._tasks or self._ready)

    def part(self) -> None:
        """Once it is closed, forget who makes its timers durable: they hold each other."""
        self._timers = _NO_TIMERS

    def discard(self) -> None:
        """Forget everything: end what still waits, without letting it do anything more.

        This loop counts as the running one meanwhile: a task that a `finally` block makes is dropped here with the
        others, instead of running on the thread's own loop.
        """
        if not self._tasks:
            self._ready.clear()
            return
        outer, hooks = get_running(), sys.get_asyncgen_hooks()
        if isinstance(outer, WorkflowLoop):
            outer = None  # interrupted before it could be set back, or not left yet
        set_running(self)
        sys.set_asyncgen_hooks(None, None)
        try:
            while self._tasks:
                task = self._tasks.pop(0)
                coroutine = task.get_coro()
                if not task.done() and coroutine is not None:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    # As the task itself: `asyncio.timeout` in a `finally` block refuses to work outside of one.
                    asyncio.tasks._enter_task(self, task)
                    try:
                        abandon(coroutine)
                    finally:
                        asyncio.tasks._leave_task(self, task)
                    _stop_waiting(task)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            set_running(outer)
        self._ready.clear()

    # What tasks, futures and the asyncio library use of a loop.

    def time(self) -> float:
        return self.now_ms / 1000

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = DurableTimerHandle(when, callback, args, self, context)
        handle.timer_id = self._timers.start_timer(
            self.due_ms(when), lambda: self._ready.append(handle)
        )
        return handle

    def due_ms(self, when: float) -> int:
        """When a timer is due that is to fire at `when`, by this loop's clock in seconds. Never in the past."""
        return max(round(when * 1000), self.now_ms)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DurableTimerHandle):
            self._timers.cancel_timer(handle.timer_id)

    def create_future(self) -> asyncio.Future[Any]:
        return WorkflowFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = WorkflowTask(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 64 and len(self._tasks) % 64 == 0:
            self._tasks = [task for task in self._tasks if not task.done()]
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A background task or callback failed and nobody looked; asyncio only logs that, and so do we (not at all)."""

    async def shutdown_asyncgens(self) -> None:
        return None


def _refused(name: str) -> Callable[..., Any]:
    """What stands for a method that a loop without threads, files and network cannot have."""

    def refuse(*_: object, **__: object) -> Any:
        judge(f"asyncio.AbstractEventLoop.{name}")
        raise DeterminismError(f"{name}() of the event loop is not possible in a workflow.")

    refuse.__name__, refuse.__qualname__ = name, f"WorkflowLoop.{name}"
    return refuse


for _name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction):
    if not _name.startswith("_") and _name not in vars(WorkflowLoop):
        setattr(WorkflowLoop, _name, _refused(_name))


def _stop_waiting(task: asyncio.Task[Any]) -> None:
    """Of a dropped task: it and what it waited for hold each other, for Python's search for cycles to find."""
    waited_for = getattr(task, "_fut_waiter", None)
    if isinstance(waited_for, asyncio.Future):
        for callback, _ in waited_for._callbacks or ():
            waited_for.remove_done_callback(callback)


_asyncio_as_completed = asyncio.as_completed


def _as_completed(fs: Any, *, timeout: float | None = None) -> Any:
    """What asyncio has; on a workflow's loop the tasks are made in the order given.

    asyncio puts what it is given into a set and makes tasks of the coroutines in the set's order, which no replay
    repeats. A coroutine's hash is its address; that of a workflow's task is not.
    """
    if isinstance(get_running(), WorkflowLoop):
        fs = [asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(fs)]
    return _asyncio_as_completed(fs, timeout=timeout)


asyncio.as_completed = asyncio.tasks.as_completed = _as_completed
