"""Plain functions as workflows and activities: `async def workflow(ctx, input)`, `await ctx.execute_activity(f, x)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from weft.activity import Activity, Retry, Timeouts, info
from weft.errors import ActivityError, UsageError
from weft.executor._retry import ONE_ATTEMPT, RetryPolicy, attempts_exceeded
from weft.records import Payload
from weft.workflow import Context, Machine, Workflow, unguarded

_DEFAULT_TIMEOUT = Timeouts()

ActivityFunction = Callable[..., Any]
"""A plain function that a workflow calls as an activity, async or not."""


class FunctionContext(Context):
    """The context of a workflow that is a plain function: activities may be plain functions as well."""

    def execute_activity(  # type: ignore[override]  # it takes what Context's takes, and functions too
        self,
        activity: Activity[..., Any] | ActivityFunction | str,
        *args: Any,
        retry: RetryPolicy | Retry | None = None,
        timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run an activity; it is on its way at once, and what this returns is awaited for its result.

        `retry` is its policy: without one a plain function has one attempt, and an activity that was made with
        `activity.define` the policy it was made with. `timeout` (timedelta or seconds) bounds each attempt. Raises,
        when awaited, ActivityError if it fails for good: after several attempts it begins with `workflow/retry:`.
        """
        if isinstance(activity, str):
            if retry is not None or timeout is not None:
                raise UsageError(
                    f"activity {activity!r} is called by its name: its options stand where it is defined"
                )
            return super().execute_activity(activity, *args, **kwargs)
        chosen = as_activity(activity, retry, timeout)
        workflow = self._machine.workflow
        if isinstance(workflow, FunctionWorkflow) and workflow.on_activity is not None:
            with unguarded():  # a worker that meets it counts it, and its metrics read a clock
                workflow.on_activity(chosen)
        future = super().execute_activity(chosen, *args, **kwargs)
        if retry is None or chosen.policy.max_attempts == 1:
            return future
        return self._machine.loop.create_task(_as_retried(future))


async def _as_retried(future: Any) -> Any:
    try:
        return await future
    except ActivityError as error:
        text = str(attempts_exceeded(error.attempts, error))
        raise ActivityError(
            text,
            activity=error.activity,
            attempts=error.attempts,
            type=error.type,
            details=error.details,
            non_retryable=error.non_retryable,
        ) from error.__cause__


def as_activity(
    function: Activity[..., Any] | ActivityFunction,
    retry: RetryPolicy | Retry | None = None,
    timeout: timedelta | float | None = None,
) -> Activity[..., Any]:
    """A function as an activity under its own name. If its first parameter is `ctx`, it is given `activity.info()`."""
    if isinstance(function, Activity):
        if retry is None and timeout is None:
            return function
        activity = function.options(timeout=timeout)
        policy = None if retry is None else _policy(retry)
    elif callable(function):
        activity = Activity(
            _with_info(function),
            name=name_of(function),
            retry=Retry(),
            timeouts=_DEFAULT_TIMEOUT if timeout is None else Timeouts(timeout),
            queue="default",
            inline=True,
        )
        policy = _policy(retry or ONE_ATTEMPT)
    else:
        raise UsageError(
            f"{function!r} is no activity: give a function, or what activity.define made of one"
        )
    if policy is not None:
        activity.policy = policy
    return activity


def _policy(retry: RetryPolicy | Retry) -> Any:
    return retry.to_policy() if isinstance(retry, Retry) else retry.to_record()


def name_of(function: Any) -> str:
    return getattr(function, "__name__", None) or type(function).__name__


def _with_info(function: ActivityFunction) -> ActivityFunction:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "ctx":
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any) -> Any:
            return await function(info(), *args)

        call: ActivityFunction = call_async
    else:

        @functools.wraps(function)
        def call_plain(*args: Any) -> Any:
            return function(info(), *args)

        call = call_plain
    call.__signature__ = inspect.Signature(parameters[1:])  # type: ignore[attr-defined]
    return call


class FunctionWorkflow(Workflow[Any, Any]):
    """A workflow made of a plain function, under its own name."""

    brings_activities = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self.on_activity: Callable[[Activity[..., Any]], None] | None = None
        """Told of each activity that its code calls."""
        super().__init__(function, name=name_of(function), version="")

    async def _run(self, machine: Machine, data: Payload) -> Any:
        if self.is_generator:
            return await super()._run(machine, data)
        args = (self.decode_input(data),) if self._input_name else ()
        return await self.function(FunctionContext(machine), *args)


def as_workflow(function: Any) -> Workflow[Any, Any]:
    """Raises UsageError for what is neither a workflow nor an `async def` that could be one."""
    if isinstance(function, Workflow):
        return function
    if not callable(function):
        raise UsageError(
            f"{function!r} is no workflow: give an `async def`, or what workflow.define made of one"
        )
    return FunctionWorkflow(function)
