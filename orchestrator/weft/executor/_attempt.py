"""One attempt of an activity in this process: async functions on the event loop, plain ones in threads."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from weft.activity import Activity, ActivityInfo, current, current_pulse, to_failure
from weft.codec import decode_payload, encode_payload
from weft.core import OpenActivity, Run
from weft.errors import Failure, HeartbeatTimeoutError, UsageError
from weft.records import NULL, AttemptCompleted, AttemptFailed, FailureInfo, Payload
from weft.tracing import enter_attempt

Outcome = AttemptCompleted | AttemptFailed


class Attempt:
    """One try of one activity, with the pulse that its code beats. `details` is what it last said of its progress."""

    def __init__(
        self, run: Run, opened: OpenActivity, activity: Activity[..., Any] | None, details: Payload
    ) -> None:
        self.key = (opened.activity_id, opened.attempt)
        self.details = details
        self.cancelled = False
        """Nobody waits for it any more."""
        self.task: asyncio.Task[None] | None = None
        self._activity = activity
        self._name = opened.name
        self._input = opened.input
        self._ids = (run.run_id, *self.key)
        self._traceparent = run.traceparent
        self._info = ActivityInfo(
            run.workflow_id,
            run.run_id,
            run.workflow,
            opened.name,
            opened.activity_id,
            opened.attempt,
            None if details is NULL else decode_payload(details),
        )
        self._timeout_s = opened.start_to_close_ms / 1000
        self._heartbeat_s = opened.heartbeat_timeout_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._last_s = self._began_s = 0.0
        self._clock = asyncio.timeout(None)

    def beat(self, details: Payload | None) -> None:
        """In whichever thread the code runs."""
        self._last_s = self._loop.time()
        if details is not None:
            self.details = details

    def cancel(self) -> None:
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    async def run(self) -> Outcome:
        """What came of it. Raises CancelledError when this task is cancelled."""
        activity = self._activity
        if activity is None:
            text = f"this executor has no activity {self._name!r}: give it with activities=[...]"
            return self._failed(FailureInfo("UnknownActivityError", text), non_retryable=True)
        if activity.process:
            text = (
                f"activity {self._name} has process=True, and this executor runs all in its own process: define it "
                "without, or run it on the kafka executor"
            )
            return self._failed(FailureInfo("UsageError", text), non_retryable=True)
        try:
            arguments = activity.decode_input(self._input)
        except Exception as error:  # noqa: BLE001  # a validator of the user's may raise anything
            return self._failed(to_failure(error), non_retryable=True)
        current.set(self._info)
        current_pulse.set(self)
        enter_attempt(self._traceparent, *self._ids)
        try:
            value = await self._call(activity, arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # an activity must not end the process
            return self._failed(to_failure(error))
        try:
            result = encode_payload(value)
        except UsageError as error:
            problem = UsageError(f"the result of activity {self._name}: {error}")
            return self._failed(to_failure(problem), non_retryable=True)
        return AttemptCompleted(*self._ids, result)

    async def _call(self, activity: Activity[..., Any], arguments: list[Any]) -> Any:
        own = asyncio.current_task()
        assert own is not None, "attempts run in tasks"
        self._began_s = self._last_s = self._loop.time()
        watch = self._loop.create_task(self._watch()) if self._heartbeat_s else None
        try:
            async with asyncio.timeout(self._timeout_s or None) as self._clock:
                if activity.is_async:
                    value = await activity.function(*arguments)
                else:
                    value = await asyncio.to_thread(activity.function, *arguments)
        except TimeoutError as error:
            if self._clock.expired():
                raise self._out_of_time() from error.__cause__
            raise
        except asyncio.CancelledError as error:
            if own.cancelling():
                raise
            text = "something that it waited for was cancelled"
            raise Failure(text, type="CancelledError") from error
        finally:
            if watch is not None:
                watch.cancel()
        if self._clock.expired():
            raise self._out_of_time()  # it swallowed its interruption: what it returned is no result
        return value

    async def _watch(self) -> None:
        """End an attempt whose code has not beaten for too long."""
        while (silent_s := self._loop.time() - self._last_s) < self._heartbeat_s:  # noqa: ASYNC110
            await asyncio.sleep(self._heartbeat_s - silent_s)
        self._clock.reschedule(self._loop.time())

    def _out_of_time(self) -> TimeoutError:
        what = f"attempt {self._ids[2]} of activity {self._name}"
        now_s = self._loop.time()
        if self._heartbeat_s and now_s - self._last_s >= self._heartbeat_s:
            return HeartbeatTimeoutError(
                f"{what} did not call activity.heartbeat() for {self._heartbeat_s * 1000:g} ms, its heartbeat timeout"
            )
        return TimeoutError(
            f"{what} was not done within its start-to-close timeout of {self._timeout_s * 1000:g} ms"
        )

    def _failed(self, failure: FailureInfo, *, non_retryable: bool = False) -> AttemptFailed:
        if non_retryable:
            failure = msgspec.structs.replace(failure, non_retryable=True)
        return AttemptFailed(*self._ids, failure)
