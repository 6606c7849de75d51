"""How tasks wait for news, and how brokers do things later."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from tests.simulation.scheduler import Process, Scheduler, Task


class Bell:
    """Tasks wait for it, whoever has news rings it. A ring that nobody waits for is forgotten."""

    __slots__ = ("_scheduler", "_tasks", "process")

    def __init__(self, scheduler: Scheduler, process: Process | None = None) -> None:
        self.process = process or scheduler.outside
        """Who waits here; its death lets others forget the bell."""
        self._scheduler = scheduler
        self._tasks: list[Task] = []

    def wait(self, timeout_s: float | None = None) -> None:
        """Until it is rung or the time is over. The caller looks itself for what has changed."""
        task = self._scheduler.current
        assert task is not None, "only a task can wait"
        self._tasks.append(task)
        try:
            self._scheduler.wait(timeout_s)
        finally:
            if task in self._tasks:
                self._tasks.remove(task)

    def wait_until(self, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Whether the condition held before the deadline; it is looked at after every ring."""
        while not condition():
            left_s = deadline_s - self._scheduler.now
            if left_s <= 0:
                return False
            self.wait(None if math.isinf(left_s) else left_s)
        return True

    def ring(self) -> None:
        if self._tasks:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                self._scheduler.wake(task)


class Timers:
    """Runs functions of the brokers when they are due, all in one task. They must not wait."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._bell = Bell(scheduler)
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._task = scheduler.spawn(scheduler.outside, self._run, "brokers")

    def after(self, delay_s: float, function: Callable[[], object]) -> None:
        self._count += 1
        entry = (self._scheduler.now + delay_s, self._count, function)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._bell.ring()

    def check(self) -> None:
        """Raises what a function raised: that is a mistake of the simulator itself."""
        if self._task.error is not None:
            raise self._task.error

    def _run(self) -> None:
        due = self._due
        while True:
            if not due:
                self._bell.wait()
            elif due[0][0] > self._scheduler.now:
                self._bell.wait(due[0][0] - self._scheduler.now)
            else:
                heapq.heappop(due)[2]()
