"""The other side of `_activity_processes`: the main function of a process that runs activities, one at a time.

It leads a process group of its own: what a terminal sends to the worker does not reach it, and what it starts ends with
it. When its worker dies, however that happens, it kills its group.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextvars import copy_context
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from weft.activity import Activity, ActivityInfo, current, current_pulse, define
from weft.codec import decode_payload
from weft.errors import Failure, UsageError
from weft.host import HOST
from weft.records import NULL, FailureInfo, Payload
from weft.tracing import enter_attempt
from weft.worker._activity_failure import storable_failure
from weft.worker._activity_values import (
    decode_arguments,
    refuse_coroutine,
    required_count,
    wrong_result,
)
from weft.worker._process_calls import (
    Beat,
    Begun,
    Call,
    Failed,
    FunctionPlace,
    Logged,
    Message,
    Returned,
    find,
)

_BEAT_S = 0.01
"""Heartbeats that come sooner after one another are passed on with the next, or with the outcome."""
_PLAIN = (str, int, float, bool, type(None))


def main(connection: Connection, levels: Mapping[str, int]) -> None:
    """Run what comes over the connection, until the worker closes its end. `levels`: those of its loggers."""
    os.setpgid(0, 0)
    # A stop of the worker's whole service is the worker's to handle. Handlers of its own: what an activity starts
    # would inherit that a signal is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_it_to_the_worker)
    HOST.thread(_die_with_the_worker, "weft-parent").start()
    worker = _Worker(connection)
    # In place of what the user's script has set up as it was imported: all would be logged twice.
    logging.getLogger().handlers[:] = [_ToWorker(worker)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    activities: dict[FunctionPlace, Activity[..., Any]] = {}
    while (call := worker.next_call()) is not None:
        outcome = copy_context().run(_outcome, call, worker, activities)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed by the user's code, maybe
                stream.flush()
        worker.send(outcome)


def _leave_it_to_the_worker(_number: int, _frame: object) -> None:
    pass


def _die_with_the_worker() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "started by a worker"
    parent.join()
    os.killpg(0, signal.SIGKILL)


class _Worker:
    """The worker, seen from here. `send` may be called from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def next_call(self) -> Call | None:
        """None when there will be none any more."""
        try:
            return msgspec.json.decode(self._connection.recv_bytes(), type=Call)
        except (EOFError, OSError):
            return None

    def send(self, message: Message) -> None:
        data = msgspec.json.encode(message)
        # A worker that is gone: this process ends in a moment.
        with self._lock, contextlib.suppress(OSError):
            self._connection.send_bytes(data)


class _ToWorker(logging.Handler):
    """Log records turn up in the worker, with its handlers."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self._worker = worker
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            attributes = {
                name: value for name, value in vars(record).items() if isinstance(value, _PLAIN)
            }
            attributes |= {"msg": record.getMessage(), "args": None}
            if record.exc_info:
                attributes["exc_text"] = self._formatter.formatException(record.exc_info)
            self._worker.send(Logged(attributes))
        except Exception:  # noqa: BLE001  # as every handler: a log record that cannot be told breaks nothing
            self.handleError(record)


class _Pulse:
    """What `activity.heartbeat` finds here. Nothing is ever cancelled: the process is killed then."""

    cancelled = False

    def __init__(self, worker: _Worker, number: int) -> None:
        self._worker = worker
        self._number = number
        self._sent_s = 0.0
        self._details = NULL

    def beat(self, details: Payload | None) -> None:
        if details is not None:
            self._details = details
        now_s = HOST.monotonic()
        if now_s - self._sent_s >= _BEAT_S:
            self._sent_s = now_s
            self._worker.send(Beat(self._number, self.take_details()))

    def take_details(self) -> Payload:
        """What has not been sent; NULL when there is nothing."""
        details, self._details = self._details, NULL
        return details


class _RefusedError(Exception):
    """What another attempt would come to as well."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _outcome(
    call: Call, worker: _Worker, activities: dict[FunctionPlace, Activity[..., Any]]
) -> Returned | Failed:
    pulse = _Pulse(worker, call.number)
    try:
        result = _run(call, worker, activities, pulse)
    except _RefusedError as refused:
        return Failed(_final(storable_failure(refused.error)), pulse.take_details())
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it raised is the outcome
        return Failed(storable_failure(error), pulse.take_details())
    except BaseException as error:  # noqa: BLE001  # a KeyboardInterrupt of the user's own, and the like
        failure = storable_failure(Failure(str(error), type=type(error).__name__))
        return Failed(failure, pulse.take_details())
    return Returned(result, pulse.take_details())


def _run(
    call: Call, worker: _Worker, activities: dict[FunctionPlace, Activity[..., Any]], pulse: _Pulse
) -> Payload:
    """The encoded result. Raises _RefusedError, and what the function raises."""
    task = call.task
    activity = activities.get(call.place)
    if activity is None:
        activity = activities[call.place] = _found(call)
    try:
        arguments = decode_arguments(activity, required_count(activity), task.input)
    # A validator of the user's may raise anything.
    except Exception as error:
        raise _RefusedError(error) from error
    details = decode_payload(task.heartbeat_details)
    ids = (task.run_id, task.workflow, task.activity, task.activity_id, task.attempt)
    current.set(ActivityInfo(call.workflow_id, *ids, details))
    current_pulse.set(pulse)
    enter_attempt(task.traceparent, task.run_id, task.activity_id, task.attempt)
    worker.send(Begun())
    value = activity.function(*arguments)
    refuse_coroutine(task.activity, value)
    try:
        return activity.encode_result(value)
    # The user's own encoding may raise anything.
    except Exception as error:
        raise _RefusedError(wrong_result(task.activity, error)) from error


def _found(call: Call) -> Activity[..., Any]:
    try:
        found = find(call.place)
    except UsageError as error:
        raise _RefusedError(error) from error
    function = found.function if isinstance(found, Activity) else found
    return define(name=call.task.activity)(function)


def _final(failure: FailureInfo) -> FailureInfo:
    return msgspec.structs.replace(failure, non_retryable=True)
