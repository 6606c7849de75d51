"""Processes for activities with `process=True`: each runs one call at a time and is kept for the next.

Not `ProcessPoolExecutor`: there one process that dies takes the whole pool with it, and none can be killed for a task
that is out of time. Here a thread of the worker stands for each call; it talks with the process, and outlives it. They
are spawned, never forked: the worker's other threads (librdkafka's too) hold locks that a fork would copy.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from weft.errors import ProcessDiedError, UsageError
from weft.host import HOST, Host
from weft.records import ActivityTask, FailureInfo, Payload
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._activity_threads import ActivityThreads, Job
from weft.worker._process_calls import (
    Beat,
    Begun,
    Call,
    Failed,
    FunctionPlace,
    Logged,
    Message,
    Returned,
)
from weft.worker._process_child import main

_SPAWN = multiprocessing.get_context("spawn")
_NAME = "weft-activity"
_START_S = 120.0
"""What a process gets to import the function's module and to decode the arguments."""
_LOOK_S = 1.0
"""How often it is seen whether a process lives that says nothing: what it has forked may keep its connection open."""
_END_S = 2.0
"""What idle processes get to end by themselves, and a killed one to be gone."""


def core_count() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def refuse_in_a_process_of_activities() -> None:
    """Raises UsageError where a script, imported again for an activity, is about to start its worker once more."""
    if multiprocessing.current_process().name == _NAME:
        raise UsageError(
            'this process runs activities: what starts the worker belongs below `if __name__ == "__main__":`'
        )


class ChildFailedError(Exception):
    """What the function, or what is around it, raised in its process."""

    def __init__(self, failure: FailureInfo) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ActivityProcesses:
    """Up to `count_max` processes, each made when no other is idle. Thread-safe."""

    def __init__(self, count_max: int, host: Host = HOST) -> None:
        self._threads = ActivityThreads(count_max, host)
        self._host = host
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._numbers = itertools.count(1)
        self._watches_exit = False

    def call(
        self, place: FunctionPlace, task: ActivityTask, workflow_id: str, pulse: AttemptPulse
    ) -> ProcessCall:
        """A call that has not begun: to be run by `submit`, as a job. Input and details of `task` are decoded."""
        call = Call(next(self._numbers), place, task, workflow_id)
        return ProcessCall(self, call, pulse, self._host)

    def submit(self, job: Job) -> None:
        """Run the job, which is a call, as soon as a process is free."""
        self._threads.submit(job)

    def abandon(self, job: Job, call: ProcessCall) -> None:
        """Nobody waits for the call any more: it never begins, or its process is killed."""
        self._threads.abandon(job)
        call.kill()

    def take(self) -> _Child:
        """An idle process, or a new one. Raises OSError when there can be no more."""
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                child = _Child(self._host)
            elif not child.lives:
                child.bury()
                continue
            with self._lock:
                self._busy.add(child)
                if not self._watches_exit:
                    self._watches_exit = True
                    # Python waits for its child processes at its end, and they for another call.
                    atexit.register(self._kill)
            return child

    def give_back(self, child: _Child) -> None:
        """It is at nothing any more."""
        with self._lock:
            self._busy.discard(child)
            self._idle.append(child)

    def give_up(self, child: _Child) -> str:
        """End a process that nothing more is to run in; returns how it ended, perhaps before."""
        how = child.bury()
        with self._lock:
            self._busy.discard(child)
        return how

    def close(self) -> None:
        """End the idle processes. A call may still follow."""
        self._threads.close()
        with self._lock:
            idle, self._idle = self._idle, []
            if self._watches_exit and not self._busy:
                self._watches_exit = False
                atexit.unregister(self._kill)
        for child in idle:
            child.ask_to_end()
        deadline_s = self._host.monotonic() + _END_S
        for child in idle:
            child.join(max(0.0, deadline_s - self._host.monotonic()))
            child.kill()

    def _kill(self) -> None:
        with self._lock:
            children = [*self._idle, *self._busy]
        for child in children:
            child.kill()


class ProcessCall:
    """One call of a function in a process; called itself in a thread that waits for it."""

    def __init__(
        self, processes: ActivityProcesses, call: Call, pulse: AttemptPulse, host: Host
    ) -> None:
        self._processes = processes
        self._call = call
        self._pulse = pulse
        self._host = host
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._killed = False
        self.began_s = 0.0
        """By the monotonic clock; 0 as long as its function does not run."""

    def __call__(self) -> Payload:
        """The function's result, encoded. Raises ChildFailedError, ProcessDiedError."""
        child = self._processes.take()
        with self._lock:
            self._child = child
            if self._killed:
                child.kill()
        try:
            outcome = self._talk(child)
        except (EOFError, OSError):
            child.join(_END_S)
            raise self._died(self._processes.give_up(child)) from None
        except BaseException:
            child.kill()
            self._processes.give_up(child)
            raise
        with self._lock:
            self._child = None
        if self._killed:
            self._processes.give_up(child)
        else:
            self._processes.give_back(child)
        if isinstance(outcome, Failed):
            raise ChildFailedError(outcome.failure)
        return outcome.result

    def kill(self) -> None:
        """Nobody waits for it any more. From any thread."""
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def _talk(self, child: _Child) -> Returned | Failed:
        """Raises EOFError or OSError when the process is gone."""
        child.send(self._call)
        deadline_s = self._host.monotonic() + _START_S
        while True:
            message = child.receive(_LOOK_S)
            if isinstance(message, Returned | Failed):
                if not _is_null(message.details):
                    self._pulse.beat(message.details)
                return message
            if isinstance(message, Begun):
                self.began_s = self._host.monotonic()
            elif isinstance(message, Beat):
                if message.number == self._call.number:
                    self._pulse.beat(None if _is_null(message.details) else message.details)
            elif isinstance(message, Logged):
                _log(message)
            elif not self.began_s and self._host.monotonic() >= deadline_s:
                raise ProcessDiedError(
                    f"{self._what} could not be begun: its process was not ready within {_START_S:g} s"
                )

    @property
    def _what(self) -> str:
        return f"attempt {self._call.task.attempt} of activity {self._call.task.activity}"

    def _died(self, how: str) -> ProcessDiedError:
        if self.began_s:
            return ProcessDiedError(f"{self._what}: its process ended before it did, with {how}")
        return ProcessDiedError(
            f"{self._what} could not be begun: its process ended with {how}; standard error may say why (a script that "
            'starts a worker does so below `if __name__ == "__main__":`)'
        )


class _Child:
    """One process, with its connection. Raises OSError when it cannot be started."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._connection, theirs = _SPAWN.Pipe()
        try:
            self._process = _SPAWN.Process(target=main, args=(theirs, _levels()), name=_NAME)
            self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()

    @property
    def lives(self) -> bool:
        return self._process.exitcode is None

    def send(self, call: Call) -> None:
        self._connection.send_bytes(msgspec.json.encode(call))

    def receive(self, timeout_s: float) -> Message | None:
        """None when nothing came in time. Raises EOFError or OSError when nothing will."""
        connection = self._connection
        if not connection.poll(timeout_s):
            if self.lives or connection.poll(0):
                return None
            raise EOFError
        message: Message = msgspec.json.decode(connection.recv_bytes(), type=Message)
        return message

    def kill(self) -> None:
        """With all that it has started, and without waiting until it is gone."""
        pid = self._process.pid
        assert pid is not None, "it was started"
        with contextlib.suppress(ProcessLookupError, PermissionError):  # no group yet, or gone
            os.killpg(pid, signal.SIGKILL)
        self._process.kill()

    def bury(self) -> str:
        """Kill it if it lives, and what it has left behind in any case; returns how it ended."""
        self.kill()
        self.join(_END_S)
        self._connection.close()
        return _how(self._process.exitcode)

    def ask_to_end(self) -> None:
        self._connection.close()

    def join(self, timeout_s: float) -> None:
        self._process.join(timeout_s)


def _is_null(details: Payload) -> bool:
    return bytes(details) == b"null"


def _levels() -> Mapping[str, int]:
    """Those that were set on loggers here, by name; "" is the root's."""
    loggers: dict[str, Any] = {"": logging.getLogger(), **logging.root.manager.loggerDict}
    return {
        name: logger.level
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger) and logger.level
    }


def _log(message: Logged) -> None:
    record = logging.makeLogRecord(message.attributes)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "no exit status (it cannot be killed)"
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        name = ""
    hint = ": was the memory used up?" if -exit_code == signal.SIGKILL else ""
    return f"signal {-exit_code}{name}{hint}"
