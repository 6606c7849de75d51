"""The activities that a run's code has called, as it waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from weft.activity import Activity, to_activity_error
from weft.core import CancelActivity, ScheduleActivity
from weft.errors import UsageError
from weft.records import (
    DEFAULT_RETRY,
    DEFAULT_START_TO_CLOSE_MS,
    ActivityCompleted,
    ActivityFailed,
    Payload,
)
from weft.workflow._commands import Commands
from weft.workflow._futures import WorkflowFuture


class ActivityFuture(WorkflowFuture):
    """An activity's result. Cancelling it tells the owner that nobody waits any more."""

    def __init__(
        self,
        activities: Activities,
        command: ScheduleActivity,
        decode: Callable[[Payload], Any],
    ) -> None:
        super().__init__(loop=activities.loop)
        self.activity_id = command.activity_id
        self._activities = activities
        self._name = command.activity
        self._decode = decode

    def complete(self, result: Payload) -> None:
        if self.done():
            return
        try:
            value = self._decode(result)
        except UsageError as error:
            self.set_exception(UsageError(f"the result of activity {self._name}: {error}"))
        else:
            self.set_result(value)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._activities.cancel(self.activity_id)
        return cancelled


class Activities:
    """Of one run."""

    def __init__(self, commands: Commands, loop: asyncio.AbstractEventLoop) -> None:
        self._commands = commands
        self.loop = loop
        self.open: dict[int, ActivityFuture] = {}
        """Those that the code is told of, by number. Once the code is dropped, clear it: they hold each other."""

    # What the context asks for.

    def schedule(
        self, activity: Activity[Any, Any] | str, data: Payload, decode: Callable[[Payload], Any]
    ) -> ActivityFuture:
        """Ask for an activity. `decode` turns its result into what the code sees."""
        number = self._commands.next_number("call an activity")
        if isinstance(activity, str):
            command = _by_name(number, activity, data)
        else:
            command = ScheduleActivity(
                number,
                activity.name,
                data,
                activity.queue,
                activity.inline,
                activity.start_to_close_ms,
                activity.policy,
                activity.heartbeat_timeout_ms,
                activity.schedule_to_start_ms,
                activity.schedule_to_close_ms,
            )
        future = ActivityFuture(self, command, decode)
        if not self._commands.ended:
            self.open[number] = future
            self._commands.ask(command, number)
        return future

    def cancel(self, activity_id: int) -> None:
        """Nobody waits for it any more."""
        if self.open.pop(activity_id, None) is not None:
            self._commands.withdraw_or_add(activity_id, CancelActivity(activity_id))

    # What the history tells.

    def completed(self, event: ActivityCompleted) -> None:
        future = self.open.pop(event.activity_id, None)
        if future is not None:
            future.complete(event.result)

    def failed(self, event: ActivityFailed) -> None:
        future = self.open.pop(event.activity_id, None)
        if future is not None:
            future.set_exception(
                to_activity_error(event.failure, activity=event.activity, attempts=event.attempt)
            )


def _by_name(activity_id: int, name: str, data: Payload) -> ScheduleActivity:
    """Of an activity that only its worker knows: with the options that one has which says nothing."""
    return ScheduleActivity(
        activity_id,
        name,
        data,
        queue="default",
        inline=False,
        start_to_close_ms=DEFAULT_START_TO_CLOSE_MS,
        retry=DEFAULT_RETRY,
    )
