"""Threads for sync activities.

Not `ThreadPoolExecutor`: its threads hold up the end of the process until the last one is done, and one that never ends
takes a place for good. Here a thread whose attempt has run out of time is let go: its place is free at once, it ends by
itself when the function returns, and the process does not wait for it. Only so many may be astray at once: those
beyond keep their places, so that functions which never return make a worker stand still instead of eating the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from weft.host import HOST, Host, JobQueue

_IDLE_S = 10.0


class Job:
    """One call of a function in a thread. `outcome` becomes (value, None) or (None, what it raised)."""

    __slots__ = (
        "_call",
        "_context",
        "_loop",
        "abandoned",
        "ended",
        "has_place",
        "outcome",
        "started_s",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
        self._loop = loop
        self._call = call
        self._context: Context = copy_context()
        self.outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        self.started_s = 0.0
        """By the monotonic clock; 0 while it waits for a thread."""
        self.abandoned = False
        self.has_place = True
        """Its thread counts, also when it is abandoned."""
        self.ended = False

    def run(self) -> None:
        """In the thread."""
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (self._context.run(self._call), None)
        # Whatever it raised is the attempt's outcome; a thread has nobody else to tell.
        except BaseException as error:  # noqa: BLE001
            outcome = (None, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, outcome)

    def _finish(self, outcome: tuple[Any, BaseException | None]) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class ActivityThreads:
    """Up to `count_max` daemon threads, made when they are needed, and as many again astray. Thread-safe."""

    def __init__(self, count_max: int, host: Host = HOST) -> None:
        self._host = host
        self._count_max = count_max
        self._astray_max = count_max
        self._jobs: JobQueue = host.job_queue()
        self._lock = threading.Lock()
        self._threads = 0
        """That have a place: one astray has none."""
        self._busy = 0
        self._queued = 0
        self._without_place = 0
        self.abandoned_count = 0
        """That go on now although nobody waits for what they do."""

    @property
    def is_stuck(self) -> bool:
        """Every thread is at something that nobody waits for: nothing can be begun."""
        return self.abandoned_count >= self._count_max + self._astray_max

    def submit(self, job: Job) -> None:
        """Run the job as soon as a thread is free."""
        with self._lock:
            self._queued += 1
            self._hire()
        self._jobs.put(job)

    def abandon(self, job: Job) -> bool:
        """Stop waiting for the job: it never begins, or its thread goes its own way. False when it has ended."""
        with self._lock:
            if job.ended or job.abandoned:
                return False
            job.abandoned = True
            if job.started_s:
                self.abandoned_count += 1
                if self._without_place < self._astray_max:
                    self._let_go(job)
            return True

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _let_go(self, job: Job) -> None:
        job.has_place = False
        self._without_place += 1
        self._threads -= 1
        self._busy -= 1
        self._hire()

    def _hire(self) -> None:
        if self._queued > self._threads - self._busy and self._threads < self._count_max:
            self._threads += 1
            self._host.thread(self._work, "weft-activity").start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_S)
            except queue.Empty:
                job = None
            if job is None:
                if self._may_leave():
                    return
            elif not self._do(job):
                return

    def _may_leave(self) -> bool:
        with self._lock:
            if self._queued:
                return False
            self._threads -= 1
            return True

    def _do(self, job: Job) -> bool:
        """Run one job; False when this thread was let go meanwhile."""
        with self._lock:
            self._queued -= 1
            if job.abandoned:
                return True
            self._busy += 1
            job.started_s = self._host.monotonic()
        job.run()
        return self._end(job)

    def _end(self, job: Job) -> bool:
        with self._lock:
            job.ended = True
            self.abandoned_count -= job.abandoned
            if job.has_place:
                self._busy -= 1
            else:
                self._without_place -= 1
            return job.has_place
