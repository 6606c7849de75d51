"""Time that does not pass by itself: an event loop, and the host that production code asks for clocks and threads.

When nothing is left to be done at this moment, the clock jumps to the next moment at which something is. Only while an
activity waits for the real world (a socket, a thread of the loop's executor) does time run as fast as outside.
"""

from __future__ import annotations

import asyncio
import heapq
import queue
import selectors
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime
from typing import Any

from weft.host import Host, JobQueue, Thread

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When every environment begins: tests that print times print the same ones each time."""
_START_MS = round(START.timestamp() * 1000)
_BASE_S = 1000.0
"""What the loop's clock shows then. Not 0, which production code takes for "not yet"."""
_RESOLUTION_S = 1e-4
"""Less than the millisecond in which Weft counts, more than what floats lose in years."""
_SELF_PIPE_COUNT = 1


class _JumpingSelector(selectors.DefaultSelector):
    """Waits by moving the clock of its loop."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        has_io = len(self.get_map()) > _SELF_PIPE_COUNT or self.loop.in_threads_count > 0
        if has_io and self.loop.is_at_work():
            began_s = self.loop.real_s()
            found = super().select(timeout)
            self.loop.now_s += self.loop.real_s() - began_s
        elif timeout is None or not self.loop.may_jump:
            self.loop.is_idle = True
            self.loop.stop()
        else:
            self.loop.now_s += timeout
        return found


class _Timer(asyncio.TimerHandle):
    """Timers of one moment fire in the order in which they were set: a heap alone keeps none among equals.

    Much happens at one moment here, and a crash leaves other timers in the heap than a run without it does.
    """

    __slots__ = ("number",)
    number: int
    _scheduled: bool

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _Timer) and other.when() == self.when():
            return self.number < other.number
        return bool(super().__lt__(other))  # type: ignore[operator]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs activities and fires timers; `run` returns when it is stopped, or when nothing will ever happen."""

    def __init__(self) -> None:
        self.now_s = _BASE_S
        self.in_threads_count = 0
        self.is_at_work: Callable[[], bool] = lambda: False
        """Whether any activity runs: a connection that one has left open keeps nobody waiting."""
        self.is_idle = False
        self.may_jump = True
        self._timer_count = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = _RESOLUTION_S
        self.real_s: Callable[[], float] = super().time

    def time(self) -> float:
        return self.now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As the library's own does, with timers that are in order."""
        inner: Any = self  # its heap has no public name
        inner._check_closed()
        timer = _Timer(when, callback, args, self, context)
        self._timer_count += 1
        timer.number = self._timer_count
        heapq.heappush(inner._scheduled, timer)
        timer._scheduled = True
        return timer

    @property
    def now_ms(self) -> int:
        """The time of the virtual world, in ms since the epoch."""
        return _START_MS + round((self.now_s - _BASE_S) * 1000)

    def at(self, time_ms: int) -> float:
        """A moment in ms since the epoch, by this loop's clock."""
        return _BASE_S + (time_ms - _START_MS) / 1000

    def run(self, *, may_jump: bool = True) -> bool:
        """Until somebody stops it; False when it stopped because nothing is left that could happen.

        Without `may_jump`, what would need time does not happen either. Works also while another loop runs in this
        thread: a test may be `async`.
        """
        self.is_idle = False
        self.may_jump = may_jump
        outer = events._get_running_loop()
        events._set_running_loop(None)
        try:
            self.run_forever()
        finally:
            events._set_running_loop(outer)
        return not self.is_idle

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Time is real until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self.in_threads_count += 1
        future.add_done_callback(self._out_of_thread)
        return future

    def _out_of_thread(self, _future: object) -> None:
        self.in_threads_count -= 1


class _LoopThread:
    """What takes a thread's place: its function runs on the loop, in one go."""

    def __init__(
        self, loop: VirtualLoop, target: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._loop = loop
        self._target = target
        self._args = args

    def start(self) -> None:
        self._loop.call_soon(self._run)

    def join(self, timeout: float | None = None) -> None:
        """It has run, or will with the loop."""

    def is_alive(self) -> bool:
        return False

    def _run(self) -> None:
        # As in a thread: a plain function may call `asyncio.run`.
        events._set_running_loop(None)
        try:
            self._target(*self._args)
        finally:
            events._set_running_loop(self._loop)


class _LoopQueue:
    """What a thread's queue is when nobody else puts anything into it while it is read."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002  # as it is
        if not self._items:
            raise queue.Empty
        return self._items.popleft()


class VirtualHost(Host):
    """A machine with one thread, the loop's clock, and no chance: retries wait exactly their interval."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.token_count = 0

    def time(self) -> float:
        return self._loop.now_ms / 1000

    def monotonic(self) -> float:
        return self._loop.now_s

    def thread(self, target: Callable[..., object], name: str, *args: object) -> Thread:
        return _LoopThread(self._loop, target, args)

    def job_queue(self) -> JobQueue:
        return _LoopQueue()

    def random(self) -> float:
        return 0.5

    def token(self) -> str:
        self.token_count += 1
        return f"{self.token_count:016x}"
