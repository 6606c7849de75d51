"""The host that production code runs on in a simulation: virtual clocks, threads that are tasks, event loops too."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tests.simulation.scheduler import Process, Scheduler, Task
from weft.host import Host, JobQueue, Thread

_ROUND_S = 2e-6
EPOCH_S = 1_800_000_000.0
"""Where the wall clocks begin."""


class SimulatedEvent:
    """Implements `weft.host.Event`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        deadline_s = None if timeout is None else scheduler.now + timeout
        while not self._set and (deadline_s is None or scheduler.now < deadline_s):
            assert scheduler.current is not None, "only a task can wait"
            self._waiting.append(scheduler.current)
            scheduler.wait(None if deadline_s is None else deadline_s - scheduler.now)
        return self._set


class SimulatedThread:
    """Implements `weft.host.Thread`."""

    def __init__(
        self, process: Process, scheduler: Scheduler, target: Callable[[], object], name: str
    ) -> None:
        self._process = process
        self._scheduler = scheduler
        self._target = target
        self._name = name
        self.task: Task | None = None
        self._ended = SimulatedEvent(scheduler)

    def start(self) -> None:
        self.task = self._scheduler.spawn(self._process, self._target, self._name)
        self.task.on_done.append(self._ended.set)

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return self.task is not None and not self.task.done


class SimulatedQueue:
    """Implements `weft.host.JobQueue`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._items: deque[Any] = deque()
        self._filled = SimulatedEvent(scheduler)
        self._scheduler = scheduler

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._filled.set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        deadline_s = None if timeout is None else self._scheduler.now + timeout
        while not self._items:
            self._filled.clear()
            left_s = None if deadline_s is None else deadline_s - self._scheduler.now
            if not block or (left_s is not None and left_s <= 0):
                raise queue.Empty
            self._filled.wait(left_s)
        return self._items.popleft()


class _Selector:
    """What a loop waits in: nothing ever comes over a socket here, only time passes and other tasks wake it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def select(self, timeout: float | None) -> list[Any]:
        # A round of a real loop takes time; one that took none could go round for ever at one moment.
        self._scheduler.wait(timeout if timeout is None else max(timeout, _ROUND_S))
        return []

    def close(self) -> None:
        pass


class SimulatedLoop(asyncio.BaseEventLoop):
    """An asyncio loop in a task of its own. Other tasks reach it by `call_soon_threadsafe`, as threads would."""

    def __init__(self, process: Process, scheduler: Scheduler) -> None:
        super().__init__()
        self._process = process
        self._scheduler = scheduler
        self._selector = _Selector(scheduler)
        self._task: Task | None = None
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._scheduler.now

    def run_forever(self) -> None:
        self._task = self._scheduler.current
        try:
            super().run_forever()
        finally:
            self._task = None

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def call() -> None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = (func(*args), None)
            except Exception as error:  # noqa: BLE001  # it is the future's
                outcome = (None, error)
            if not self.is_closed():
                self.call_soon_threadsafe(settle, *outcome)

        self._scheduler.spawn(self._process, call, "executor")
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody awaited in a killed process is nobody's business."""
        if self._process.alive:
            super().call_exception_handler(context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's own
        """There is none."""

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        if self._task is not None:
            self._scheduler.wake(self._task)


class SimulatedHost(Host):
    """One process's view of its machine. `clock_offset_s` is how wrong its wall clock is."""

    def __init__(
        self, process: Process, scheduler: Scheduler, *, clock_offset_s: float = 0.0
    ) -> None:
        self.process = process
        self.clock_offset_s = clock_offset_s
        self._scheduler = scheduler

    def time(self) -> float:
        return EPOCH_S + self._scheduler.now + self.clock_offset_s

    def monotonic(self) -> float:
        return self._scheduler.now

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self._scheduler)

    def thread(self, target: Callable[..., object], name: str, *args: object) -> Thread:
        def call() -> None:
            Context().run(target, *args)

        return SimulatedThread(self.process, self._scheduler, call, name)

    def job_queue(self) -> JobQueue:
        return SimulatedQueue(self._scheduler)

    def event_loop(self) -> SimulatedLoop:
        return SimulatedLoop(self.process, self._scheduler)

    def random(self) -> float:
        return self._scheduler.random.random()

    def token(self) -> str:
        return f"{self._scheduler.random.getrandbits(64):016x}"

    def run(self, main: Callable[[], Any], name: str) -> Task:
        """A task that runs a coroutine function as `asyncio.run` would, on a loop of its own."""

        def call() -> None:
            loop = self.event_loop()
            try:
                loop.run_until_complete(main())
            finally:
                if self.process.alive:
                    loop.run_until_complete(loop.shutdown_asyncgens())
                    loop.close()

        return self._scheduler.spawn(self.process, call, name)
