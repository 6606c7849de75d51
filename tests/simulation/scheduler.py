"""One thread, one virtual clock, one seed: everything that runs in a simulation takes its turns here.

A `Task` stands for a thread of a simulated process. It runs until it waits; then the clock jumps to whatever is due
next. Production code runs unchanged in a task, because whatever it waits for (a log call, an event, a sleep) ends in
`Scheduler.wait`. Tasks are greenlets: a switch happens there and nowhere else, so a run is repeated by its seed.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from random import Random

import greenlet

SWITCHES_MAX = 3_000_000
"""Of one run: beyond it, tasks wake one another for nothing."""
_JITTER_S = 1e-6
"""Wakes that are due together come in an order that the seed decides."""


class ProcessKilledError(BaseException):
    """Raised wherever a killed process waits, and by everything that it then still tries: kill -9 has no `finally`."""


class Process:
    """What is killed, stopped (SIGSTOP) and continued together: some tasks, and a name for reports."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self._scheduler = scheduler
        self._held: list[tuple[Task, int]] = []
        self.tasks: dict[Task, None] = {}
        """In the order of their birth: a set would have one of its own in each run of the same seed."""
        scheduler.note_process(self)

    def kill(self) -> None:
        """At once and for good. A task of the process that calls this is ended by its next `wait` or `check`."""
        if not self.alive:
            return
        self.alive = False
        self.stopped = False
        for task in list(self.tasks):
            self._scheduler.wake(task)

    def stop(self) -> None:
        """None of its tasks runs until `go_on`; its clocks do."""
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        held, self._held = self._held, []
        for task, ticket in held:
            self._scheduler.plan(task, self._scheduler.now, ticket)

    def hold(self, task: Task, ticket: int) -> None:
        self._held.append((task, ticket))

    def check(self) -> None:
        """Raises ProcessKilledError in a process that was killed."""
        if not self.alive:
            raise ProcessKilledError(self.name)


class Task:
    """One thread of a process."""

    def __init__(self, process: Process, target: Callable[[], object], name: str) -> None:
        self.process = process
        self.name = name
        self.done = False
        self.error: BaseException | None = None
        """What ended it, if that was neither its return nor the death of its process."""
        self.ticket = 0
        """Counts its waits: a wake for an earlier one comes too late and is ignored."""
        self.woken = False
        self.on_done: list[Callable[[], None]] = []
        self._target = target
        self.greenlet = greenlet.greenlet(self._run)

    def _run(self) -> None:
        try:
            self.process.check()
            self._target()
        except ProcessKilledError:
            pass
        except BaseException as error:  # noqa: BLE001  # told by whoever looks at the task
            self.error = error
        self.done = True
        self.process.tasks.pop(self, None)
        for callback in self.on_done:
            callback()


class Scheduler:
    """`now` is the virtual time in seconds. `random` decides everything that is left to chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.switch_count = 0
        self.ended = False
        self._processes: list[Process] = []
        self.outside = Process(self, "outside")
        """What is no process of the system: brokers, the fault menu, the checkers."""
        self.current: Task | None = None
        self._plan: list[tuple[float, float, int, Task, int]] = []
        self._order = 0
        self._hub: greenlet.greenlet | None = None

    # For the tasks.

    def wait(self, timeout_s: float | None = None) -> bool:
        """Give way until woken (True) or until `timeout_s` has passed (False)."""
        task = self.current
        assert task is not None, "only a task can wait"
        task.process.check()
        if task.woken:
            task.woken = False
            timeout_s = 0.0
            woken_before = True
        else:
            woken_before = False
        if timeout_s is not None:
            self.plan(task, self.now + timeout_s, task.ticket)
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        assert self._hub is not None, "tasks run inside of run()"
        self._hub.switch()
        asyncio._set_running_loop(loop)
        woken, task.woken = task.woken, False
        task.process.check()
        return woken or woken_before

    def sleep(self, seconds: float) -> None:
        """Give way for so long, whoever wakes."""
        until = self.now + seconds
        woken = False
        while True:
            woken = self.wait(max(0.0, until - self.now)) or woken
            if self.now >= until:
                break
        if woken and self.current is not None:
            self.current.woken = True  # it was meant for somebody who waits for more than time

    # For everybody.

    def note_process(self, process: Process) -> None:
        """So that `end` finds it."""
        self._processes.append(process)

    def spawn(self, process: Process, target: Callable[[], object], name: str) -> Task:
        """A new task, which begins a moment from now."""
        task = Task(process, target, name)
        process.tasks[task] = None
        self.plan(task, self.now, task.ticket)
        return task

    def wake(self, task: Task) -> None:
        """End the present `wait` of the task, or its next one."""
        if not task.woken and not task.done and not self.ended:
            task.woken = True
            self.plan(task, self.now, task.ticket)

    def plan(self, task: Task, when: float, ticket: int) -> None:
        self._order += 1
        entry = (when, self.random.random() * _JITTER_S, self._order, task, ticket)
        heapq.heappush(self._plan, entry)

    def call_later(self, delay_s: float, function: Callable[[], object], name: str) -> Task:
        """Run `function` outside of every process, after a delay."""

        def target() -> None:
            self.sleep(delay_s)
            function()

        return self.spawn(self.outside, target, name)

    def run(self, until: Callable[[], bool], now_max: float) -> bool:
        """Let everything run until the condition holds (True), or until the time or the work is over (False)."""
        self._hub = greenlet.getcurrent()
        try:
            while not until():
                if not self._plan or self._plan[0][0] > now_max:
                    return until()
                when, _, _, task, ticket = heapq.heappop(self._plan)
                self.now = max(self.now, when)
                if task.done or ticket != task.ticket:
                    continue
                if task.process.stopped:
                    task.process.hold(task, ticket)
                    continue
                self._resume(task)
        finally:
            self._hub = None
        return True

    def end(self) -> None:
        """Kill every process and let its tasks see it; nothing runs after that."""
        for process in self._processes:
            process.kill()
        self.run(lambda: not any(process.tasks for process in self._processes), self.now)
        self.ended = True

    def _resume(self, task: Task) -> None:
        self.switch_count += 1
        assert self.switch_count < SWITCHES_MAX, f"livelock at {self.now:.3f} s"
        task.ticket += 1
        self.current = task
        try:
            task.greenlet.switch()
        finally:
            self.current = None
