"""One attempt of one activity: from its task to its result.

Whatever happens in the user's function, the outcome is a record: the runner never raises, except that the cancellation
of its own asyncio task goes through. Activities of task queues and inline ones both run here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from prometheus_client import Counter

from weft.activity import Activity, ActivityInfo, current
from weft.codec import encode_payload
from weft.errors import Failure, UsageError
from weft.host import HOST, Host
from weft.metrics import WorkerMetrics
from weft.records import (
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    FailureInfo,
    Payload,
)
from weft.worker._activity_clock import AttemptClock, OnLong
from weft.worker._activity_failure import storable_failure
from weft.worker._activity_threads import ActivityThreads, Job

logger = logging.getLogger("weft.worker")

AttemptResult = AttemptCompleted | AttemptFailed


class _Known:
    """An activity with what each of its attempts needs, looked up once."""

    __slots__ = ("activity", "completed", "failed", "required_count", "timed_out")

    def __init__(self, activity: Activity[..., Any], metrics: WorkerMetrics) -> None:
        self.activity = activity
        self.required_count = sum(
            parameter.default is inspect.Parameter.empty
            for parameter in inspect.signature(activity.function).parameters.values()
        )
        self.completed: Counter = metrics.activities.labels(activity.name, "completed")
        self.failed: Counter = metrics.activities.labels(activity.name, "failed")
        self.timed_out: Counter = metrics.activities.labels(activity.name, "timed_out")

    def decode_input(self, data: Payload) -> list[Any]:
        """Raises UsageError for a wrong input, and whatever a validator of the user's raises."""
        arguments = self.activity.decode_input(data)
        if len(arguments) < self.required_count:
            raise UsageError(
                f"activity {self.activity.name} needs {self.required_count} arguments, got {len(arguments)}"
            )
        return arguments


class AttemptRunner:
    """Runs attempts of these activities: async functions on the calling loop, sync ones in up to `threads_max` threads.

    May be used from several loops in several threads at once.
    """

    def __init__(
        self,
        activities: Mapping[str, Activity[..., Any]],
        metrics: WorkerMetrics,
        *,
        threads_max: int = 100,
        host: Host = HOST,
    ) -> None:
        self._known = {name: _Known(activity, metrics) for name, activity in activities.items()}
        self._metrics = metrics
        self._running = metrics.activities_running
        self._threads = ActivityThreads(threads_max, host)
        self._host = host

    @property
    def threads_abandoned_count(self) -> int:
        """Threads that were let go because their attempt ran out of time."""
        return self._threads.abandoned_count

    def close(self) -> None:
        """Let idle threads end. An attempt may still follow."""
        self._threads.close()

    async def run(
        self, task: ActivityTask, workflow_id: str, on_long: OnLong | None = None
    ) -> AttemptResult:
        """The outcome of the attempt. Raises nothing but CancelledError, when the calling asyncio task is cancelled."""
        known = self._known.get(task.activity)
        if known is None:
            return self._refuse_unknown(task)
        activity = known.activity
        try:
            arguments = known.decode_input(task.input)
        # A validator of the user's may raise anything.
        except Exception as error:  # noqa: BLE001
            return _fail(known.failed, task, error, non_retryable=True)
        current.set(
            ActivityInfo(
                workflow_id,
                task.run_id,
                task.workflow,
                task.activity,
                task.activity_id,
                task.attempt,
            )
        )
        call = self._call_async if activity.is_async else self._call_in_thread
        self._running.inc()
        try:
            value = await call(known, arguments, task, on_long)
        except _OutOfTimeError as error:
            return _fail(known.timed_out, task, error.as_timeout(), non_retryable=False)
        # SystemExit too: an activity must not end the worker.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return _fail(known.failed, task, error, non_retryable=False)
        finally:
            self._running.dec()
        try:
            result = encode_payload(value)
        # The user's own encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            problem = UsageError(f"the result of activity {activity.name}: {error}")
            return _fail(known.failed, task, problem, non_retryable=True)
        known.completed.inc()
        return AttemptCompleted(task.run_id, task.activity_id, task.attempt, result)

    async def _call_async(
        self, known: _Known, arguments: list[Any], task: ActivityTask, on_long: OnLong | None
    ) -> Any:
        own = asyncio.current_task()
        assert own is not None, "attempts run in asyncio tasks"
        cancelling = own.cancelling()
        clock = AttemptClock(
            own.get_loop(), task.start_to_close_ms / 1000, on_long, own.cancel, host=self._host
        )
        try:
            value = await known.activity.function(*arguments)
        except asyncio.CancelledError as error:
            if clock.expired and own.uncancel() <= cancelling:
                raise _OutOfTimeError(task) from error
            if own.cancelling() > cancelling:
                raise
            raise Failure(
                "something that it waited for was cancelled", type="CancelledError"
            ) from error
        except Exception as error:
            if clock.expired:
                own.uncancel()
                raise _OutOfTimeError(task) from error
            raise
        finally:
            clock.stop()
        if clock.expired:  # it swallowed its cancellation: whatever it returned was not its result
            own.uncancel()
            raise _OutOfTimeError(task)
        return value

    async def _call_in_thread(
        self, known: _Known, arguments: list[Any], task: ActivityTask, on_long: OnLong | None
    ) -> Any:
        loop = asyncio.get_running_loop()
        job = Job(loop, partial(known.activity.function, *arguments))
        clock = AttemptClock(
            loop,
            task.start_to_close_ms / 1000,
            on_long,
            job.outcome.cancel,
            lambda: job.started_s,
            self._host,
        )
        self._threads.submit(job)
        try:
            value, error = await job.outcome
        except asyncio.CancelledError:
            self._threads.abandon(job)
            if not clock.expired:
                raise
            logger.warning(
                "activity %s of %s still runs in its thread after %s ms; the thread is let go",
                task.activity,
                current.get().workflow_id,
                task.start_to_close_ms,
            )
            raise _OutOfTimeError(task) from None
        finally:
            clock.stop()
        if isinstance(error, Exception | SystemExit):
            raise error
        if error is not None:  # KeyboardInterrupt and the like mean something else on a loop
            raise Failure(str(error), type=type(error).__name__)
        if inspect.iscoroutine(value):
            value.close()
            raise UsageError(
                f"activity {task.activity} is a plain function and returned a coroutine: define it with `async def`"
            )
        return value

    def _refuse_unknown(self, task: ActivityTask) -> AttemptFailed:
        known = ", ".join(sorted(self._known)) or "none"
        failure = FailureInfo(
            "UnknownActivityError",
            f"This worker has no activity {task.activity!r} (it has: {known}). Deploy it to every worker of its queue, "
            "or give it a queue of its own.",
            non_retryable=True,
        )
        logger.error("%s, run %s: %s", task.workflow, task.run_id, failure.message)
        self._metrics.activities.labels(task.activity, "failed").inc()
        return AttemptFailed(task.run_id, task.activity_id, task.attempt, failure)


class _OutOfTimeError(Exception):
    """Start-to-close is over; tells our own timeout from one that the user's code raised."""

    def __init__(self, task: ActivityTask) -> None:
        super().__init__(
            f"attempt {task.attempt} of activity {task.activity} was not done within its start-to-close timeout of "
            f"{task.start_to_close_ms} ms"
        )

    def as_timeout(self) -> TimeoutError:
        error = TimeoutError(str(self))
        error.__traceback__ = self.__traceback__
        if not isinstance(self.__cause__, asyncio.CancelledError):
            error.__cause__ = self.__cause__
        return error


def _fail(
    counter: Counter, task: ActivityTask, error: BaseException, *, non_retryable: bool
) -> AttemptFailed:
    counter.inc()
    failure = storable_failure(error)
    if non_retryable:
        failure = msgspec.structs.replace(failure, non_retryable=True)
    logger.info(
        "attempt %s of %s, run %s, failed: %s: %s",
        task.attempt,
        task.activity,
        task.run_id,
        failure.type,
        failure.message,
    )
    return AttemptFailed(task.run_id, task.activity_id, task.attempt, failure)
