"""One attempt of one activity: from its task to its result.

Whatever happens in the user's function, the outcome is a record: the runner never raises, except that the cancellation
of its own asyncio task goes through. Activities of task queues and inline ones both run here. An attempt that its
owner has cancelled has no outcome, whatever its code does after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import msgspec
from prometheus_client import Counter

from weft.activity import Activity, ActivityInfo, current, current_pulse
from weft.codec import decode_payload, encode_payload, is_sealed, is_stored
from weft.errors import (
    Failure,
    HeartbeatTimeoutError,
    PayloadDecodeError,
    PayloadError,
    PayloadTooLargeError,
)
from weft.host import HOST, Host
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import (
    NULL,
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    AttemptResult,
    AttemptUnreadable,
    FailureInfo,
    Payload,
)
from weft.tracing import enter_attempt
from weft.worker._activity_clock import AttemptClock, LoopClocks
from weft.worker._activity_failure import storable_failure
from weft.worker._activity_processes import ActivityProcesses, ChildFailedError
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._activity_threads import ActivityThreads, Job
from weft.worker._activity_values import (
    decode_arguments,
    refuse_coroutine,
    required_count,
    wrong_result,
)
from weft.worker._process_calls import place_of

logger = logging.getLogger("weft.worker")

_STORE_AGAIN_S = (1.0, 2.0, 5.0, 10.0)
"""Waits before a result is brought to the payload store again."""


class _Known:
    """An activity with what each of its attempts needs, looked up once."""

    __slots__ = (
        "activity",
        "cancelled",
        "completed",
        "failed",
        "in_process",
        "required_count",
        "timed_out",
    )

    def __init__(
        self, activity: Activity[..., Any], metrics: WorkerMetrics, *, has_processes: bool
    ) -> None:
        self.activity = activity
        self.in_process = activity.process and has_processes
        self.required_count = required_count(activity)
        self.completed: Counter = metrics.activities.labels(activity.name, "completed")
        self.failed: Counter = metrics.activities.labels(activity.name, "failed")
        self.timed_out: Counter = metrics.activities.labels(activity.name, "timed_out")
        self.cancelled: Counter = metrics.activities.labels(activity.name, "cancelled")

    def decode_input(self, data: Payload) -> list[Any]:
        """Raises UsageError for a wrong input, and whatever a validator of the user's raises.

        For a process it is left as it is: that decodes it, so that nothing is ever pickled.
        """
        if self.in_process:
            return [data]
        return decode_arguments(self.activity, self.required_count, data)

    def encode_result(self, value: Any) -> Payload:
        """Raises UsageError, and whatever an encoding of the user's raises. A process has done it."""
        return value if self.in_process else self.activity.encode_result(value)


class AttemptRunner:
    """Runs attempts of these activities: async functions on the calling loop, sync ones in up to `threads_max` threads.

    Those with `process=True` run in up to `processes_max` processes; with 0 of them they run in threads as well. May be
    used from several loops in several threads at once.
    """

    def __init__(
        self,
        activities: Mapping[str, Activity[..., Any]],
        metrics: WorkerMetrics,
        *,
        threads_max: int = 100,
        processes_max: int = 0,
        payloads: Payloads | None = None,
        host: Host = HOST,
    ) -> None:
        self._payloads = payloads or Payloads("default", host=host)
        self._processes = ActivityProcesses(processes_max, host)
        self._has_processes = processes_max > 0
        self._known = {name: self._know(one, metrics) for name, one in activities.items()}
        self._added: dict[str, Activity[..., Any]] = {}
        self._metrics = metrics
        self._under_way: set[AttemptPulse] = set()
        """Whose code runs now, on whatever loop. That each counts the gauge up and down would cost a microsecond."""
        self._threads = ActivityThreads(threads_max, host)
        self._host = host
        metrics.activities_running.set_function(lambda: len(self._under_way))
        metrics.threads_abandoned.set_function(lambda: self._threads.abandoned_count)

    @property
    def is_stuck(self) -> bool:
        """No plain function can be run any more: all threads are with some that do not return."""
        return self._threads.is_stuck

    def add(self, activity: Activity[..., Any]) -> None:
        """From now on it has this one too, in place of any other of the name.

        From any thread, and from within a workflow's code, which may not do what its metrics do: they are looked up
        when it is first run.
        """
        self._added[activity.name] = activity

    def _known_as(self, name: str) -> _Known | None:
        known, added = self._known.get(name), self._added.get(name)
        if added is not None and (known is None or known.activity.function is not added.function):
            known = self._known[name] = self._know(added, self._metrics)
        return known

    def _know(self, activity: Activity[..., Any], metrics: WorkerMetrics) -> _Known:
        return _Known(activity, metrics, has_processes=self._has_processes)

    def makes_checkpoint(self, activity: str) -> bool:
        """Whether what follows from its result waits until that is durable."""
        known = self._known.get(activity)
        return known is None or known.activity.checkpoint

    def close(self) -> None:
        """Let idle threads and processes end. An attempt may still follow."""
        self._threads.close()
        self._processes.close()

    def run(
        self,
        task: ActivityTask,
        workflow_id: str,
        pulse: AttemptPulse | None = None,
        clocks: LoopClocks | None = None,
    ) -> Coroutine[Any, Any, AttemptResult | None]:
        """The outcome of the attempt, to be awaited; None when its owner has cancelled it.

        `clocks` are the loop's, for all attempts there. Raises nothing but CancelledError, when the calling asyncio
        task is cancelled.
        """
        known = self._known_as(task.activity)
        if known is None:
            return self._refuse_unknown(task)
        pulse = pulse or AttemptPulse(self._host)
        run = self._run_sealed if self._payloads.has_codecs else self._run
        return run(known, task, workflow_id, pulse, clocks)

    async def _run_sealed(
        self,
        known: _Known,
        task: ActivityTask,
        workflow_id: str,
        pulse: AttemptPulse,
        clocks: LoopClocks | None,
    ) -> AttemptResult | None:
        """What it leaves on the log is encoded, whatever the outcome."""
        pulse.seal = partial(self._payloads.encode, workflow_id=workflow_id)
        result = await self._run(known, task, workflow_id, pulse, clocks)
        if isinstance(result, AttemptFailed):
            failure = self._payloads.encode_failure(result.failure, workflow_id)
            result = msgspec.structs.replace(result, failure=failure)
        return result

    async def _run(
        self,
        known: _Known,
        task: ActivityTask,
        workflow_id: str,
        pulse: AttemptPulse,
        clocks: LoopClocks | None,
    ) -> AttemptResult | None:
        activity, data, said = known.activity, task.input, task.heartbeat_details
        try:
            # Most payloads are what they look like, and a coroutine for each would cost more than to see that.
            data = await self._decoded(data, workflow_id) if is_sealed(data) else data
            said = await self._decoded(said, workflow_id) if is_sealed(said) else said
            arguments = known.decode_input(data)
            details = None if said is NULL else decode_payload(said)
        except PayloadDecodeError as error:
            return self._refuse_unreadable(task, error)
        # A validator of the user's may raise anything; a payload that cannot be had now may be there later.
        except Exception as error:  # noqa: BLE001
            is_final = not isinstance(error, PayloadError)
            return _fail(known.failed, task, error, non_retryable=is_final)
        current.set(
            ActivityInfo(
                workflow_id,
                task.run_id,
                task.workflow,
                task.activity,
                task.activity_id,
                task.attempt,
                details,
            )
        )
        current_pulse.set(pulse)
        clocks = clocks or LoopClocks(asyncio.get_running_loop(), lasting=False)
        enter_attempt(task.traceparent, task.run_id, task.activity_id, task.attempt)
        self._under_way.add(pulse)
        try:
            call = self._call_async if activity.is_async else self._call_of_plain(known)
            value = await call(known, arguments, task, pulse, clocks)
        except _OutOfTimeError as error:
            failure = _fail(known.timed_out, task, error.as_timeout(), non_retryable=False)
            return _with_details(failure, pulse)
        except _NotWaitedForError:
            known.cancelled.inc()
            logger.info("attempt %s of %s was cancelled", task.attempt, task.activity)
            return None
        # SystemExit too: an activity must not end the worker.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            failure = _fail(known.failed, task, error, non_retryable=False)
            return _with_details(failure, pulse)
        finally:
            self._under_way.discard(pulse)
            pulse.end()
        try:
            result = self._payloads.encode(known.encode_result(value), workflow_id)
            self._payloads.largest_bytes = max(self._payloads.largest_bytes, len(result))
            if len(result) > self._payloads.bytes_max:
                result = await self._set_aside(result, task, workflow_id)
        except PayloadTooLargeError as error:
            return _fail(known.failed, task, error, non_retryable=True)
        except PayloadError as error:
            return _fail(known.failed, task, error, non_retryable=False)
        # The user's own encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            problem = wrong_result(activity.name, error)
            return _fail(known.failed, task, problem, non_retryable=True)
        known.completed.inc()
        return AttemptCompleted(task.run_id, task.activity_id, task.attempt, result)

    async def _decoded(self, payload: Payload, workflow_id: str) -> Payload:
        """As the user gave it, also what lies in the payload store. Raises PayloadError, PayloadDecodeError."""
        if not is_stored(payload):
            return self._payloads.decode(payload, workflow_id)
        return await asyncio.to_thread(self._payloads.decode, payload, workflow_id)

    async def _set_aside(self, result: Payload, task: ActivityTask, workflow_id: str) -> Payload:
        """A reference to the result, which no record takes. Raises PayloadTooLargeError, PayloadError.

        The work is done by now: a store that is down is asked again for a while before it is done again.
        """
        for pause_s in (*_STORE_AGAIN_S, None):
            try:
                return await asyncio.to_thread(
                    self._payloads.set_aside,
                    result,
                    workflow_id=workflow_id,
                    scope=task.run_id,
                    what=f"The result of activity {task.activity}",
                )
            except PayloadError as error:
                if pause_s is None:
                    raise
                logger.warning("%s; trying again in %g s", error, pause_s)
                await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _call_async(
        self,
        known: _Known,
        arguments: list[Any],
        task: ActivityTask,
        pulse: AttemptPulse,
        clocks: LoopClocks,
    ) -> Any:
        if pulse.cancelled:
            raise _NotWaitedForError
        own = asyncio.current_task(clocks.loop)
        assert own is not None, "attempts run in asyncio tasks"
        cancelling = own.cancelling()
        clock = AttemptClock(clocks, task, pulse, own.cancel, host=self._host)
        pulse.stop = own.cancel
        try:
            value = await known.activity.function(*arguments)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            was_interrupted = bool(clock.over or pulse.cancelled)
            interruption = _interruption(task, clock, pulse, own) if was_interrupted else None
            is_cancellation = isinstance(error, asyncio.CancelledError)
            if is_cancellation and own.cancelling() > cancelling:
                raise  # the worker ends
            if interruption is not None:
                raise interruption from error
            if is_cancellation:
                text = "something that it waited for was cancelled"
                raise Failure(text, type="CancelledError") from error
            raise
        finally:
            clock.stop()
        if clock.over or pulse.cancelled:
            # It swallowed its interruption: whatever it returned was not its result.
            raise _interruption(task, clock, pulse, own)
        return value

    async def _call_in_thread(
        self,
        known: _Known,
        arguments: list[Any],
        task: ActivityTask,
        pulse: AttemptPulse,
        clocks: LoopClocks,
    ) -> Any:
        if pulse.cancelled:
            raise _NotWaitedForError
        job = Job(clocks.loop, partial(known.activity.function, *arguments))
        clock = AttemptClock(
            clocks, task, pulse, job.outcome.cancel, lambda: job.started_s, self._host
        )
        # A function that has begun cannot be interrupted: it asks, or hears of it from its next heartbeat.
        pulse.stop = lambda: job.started_s or job.outcome.cancel()
        self._threads.submit(job)
        try:
            value, error = await job.outcome
        except asyncio.CancelledError:
            self._threads.abandon(job)
            was_cancelled, pulse.cancelled = pulse.cancelled, True
            if was_cancelled:
                raise _NotWaitedForError from None
            if not clock.over:
                raise
            logger.warning(
                "activity %s of %s is out of time and still runs; its thread is let go",
                task.activity,
                current.get().workflow_id,
            )
            raise _OutOfTimeError(task, clock) from None
        finally:
            clock.stop()
        if pulse.cancelled:
            raise _NotWaitedForError
        if isinstance(error, Exception | SystemExit):
            raise error
        if error is not None:  # KeyboardInterrupt and the like mean something else on a loop
            raise Failure(str(error), type=type(error).__name__)
        refuse_coroutine(task.activity, value)
        return value

    def _call_of_plain(self, known: _Known) -> Callable[..., Coroutine[Any, Any, Any]]:
        return self._call_in_process if known.in_process else self._call_in_thread

    async def _call_in_process(
        self,
        known: _Known,
        arguments: list[Any],
        task: ActivityTask,
        pulse: AttemptPulse,
        clocks: LoopClocks,
    ) -> Payload:
        """The result, encoded; `arguments` are one, the input. Whatever interrupts the attempt kills the process."""
        if pulse.cancelled:
            raise _NotWaitedForError
        about = current.get()
        said = encode_payload(about.heartbeat_details)
        plain = msgspec.structs.replace(task, input=arguments[0], heartbeat_details=said)
        call = self._processes.call(place_of(known.activity), plain, about.workflow_id, pulse)
        job = Job(clocks.loop, call)
        clock = AttemptClock(
            clocks, task, pulse, job.outcome.cancel, lambda: call.began_s, self._host
        )
        pulse.stop = job.outcome.cancel
        self._processes.submit(job)
        try:
            value, error = await job.outcome
        except asyncio.CancelledError:
            self._processes.abandon(job, call)
            if pulse.cancelled:
                raise _NotWaitedForError from None
            if clock.over:
                raise _OutOfTimeError(task, clock) from None
            raise
        finally:
            clock.stop()
        if pulse.cancelled:
            raise _NotWaitedForError
        if error is not None:
            raise error
        result: Payload = value
        return result

    def _refuse_unreadable(
        self, task: ActivityTask, error: PayloadDecodeError
    ) -> AttemptUnreadable:
        """No try is used up: it is not the activity that failed."""
        logger.error(
            "%s, run %s, activity %s: %s", task.workflow, task.run_id, task.activity, error
        )
        self._metrics.activities.labels(task.activity, "failed").inc()
        reason = f"A worker could not read the input of activity {task.activity}. {error}"
        return AttemptUnreadable(task.run_id, task.activity_id, task.attempt, reason)

    async def _refuse_unknown(self, task: ActivityTask) -> AttemptFailed:
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


class _NotWaitedForError(Exception):
    """The owner has cancelled the attempt."""


class _OutOfTimeError(Exception):
    """One of the attempt's timeouts is over; tells ours from one that the user's code raised."""

    def __init__(self, task: ActivityTask, clock: AttemptClock) -> None:
        self._over = clock.over
        what = f"attempt {task.attempt} of activity {task.activity}"
        if clock.over == "heartbeat":
            text = f"did not call activity.heartbeat() for {task.heartbeat_timeout_ms} ms, its heartbeat timeout"
        else:
            text = f"was not done within its start-to-close timeout of {task.start_to_close_ms} ms"
        super().__init__(f"{what} {text}")

    def as_timeout(self) -> TimeoutError:
        kind = HeartbeatTimeoutError if self._over == "heartbeat" else TimeoutError
        error = kind(str(self))
        error.__traceback__ = self.__traceback__
        if not isinstance(self.__cause__, asyncio.CancelledError):
            error.__cause__ = self.__cause__
        return error


def _interruption(
    task: ActivityTask, clock: AttemptClock, pulse: AttemptPulse, own: asyncio.Task[Any]
) -> Exception:
    """Why the attempt was interrupted; the cancellations that did it are taken back."""
    if clock.over:
        own.uncancel()
    if pulse.cancelled:
        own.uncancel()
        return _NotWaitedForError()
    return _OutOfTimeError(task, clock)


def _with_details(failed: AttemptFailed, pulse: AttemptPulse) -> AttemptFailed:
    """What the code said last must not be lost with the attempt."""
    details = pulse.take_news()
    if details is NULL:
        return failed
    return msgspec.structs.replace(failed, heartbeat_details=details)


def _fail(
    counter: Counter, task: ActivityTask, error: BaseException, *, non_retryable: bool
) -> AttemptFailed:
    counter.inc()
    failure = error.failure if isinstance(error, ChildFailedError) else storable_failure(error)
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
