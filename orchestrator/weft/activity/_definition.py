"""Activities: the steps that touch the world.

`@define` keeps the function a plain function: it can be called and tested as it is. A workflow runs it with
`ctx.execute_activity`; then it may run more than once (a worker can die before its result is written), but one result
alone is ever applied.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from weft.activity._options import DEFAULT_TIMEOUT, Retry, Timeouts, policy_of
from weft.codec import (
    FunctionHints,
    decoder,
    encode_by_hint,
    encode_payload,
    is_loose,
    refuse_sets,
)
from weft.errors import UsageError
from weft.records import DEFAULT_RETRY, Payload, RetryPolicy

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Activity(Generic[P, R_co]):
    """An activity's function with its options. Calling it calls the function, nothing else."""

    def __init__(
        self,
        function: Callable[P, Awaitable[R_co]] | Callable[P, R_co],
        *,
        name: str,
        retry: Retry,
        timeouts: Timeouts,
        queue: str,
        inline: bool,
        checkpoint: bool = True,
        process: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.retry = retry
        self.timeouts = timeouts
        self.queue = queue
        self.inline = inline
        self.checkpoint = checkpoint
        self.process = process
        self.is_async = inspect.iscoroutinefunction(function)
        # The default's own object: records leave it out, and an activity costs a third less on the log.
        policy = policy_of(retry, f"activity {name}")
        self.policy: RetryPolicy = DEFAULT_RETRY if policy == DEFAULT_RETRY else policy
        self.start_to_close_ms = timeouts.start_to_close_ms
        self.heartbeat_timeout_ms = timeouts.heartbeat_ms
        self.schedule_to_start_ms = timeouts.schedule_to_start_ms
        self.schedule_to_close_ms = timeouts.schedule_to_close_ms
        if inline and self.schedule_to_start_ms:
            raise UsageError(
                f"activity {name} is inline and waits in no queue: schedule_to_start means nothing there"
            )
        if not (inline or checkpoint):
            raise UsageError(
                f"activity {name} goes over a queue, where every result is made durable: checkpoint=False is for "
                "inline activities"
            )
        if process:
            _check_for_processes(function, name)
        self._signature = inspect.signature(function)
        self._parameters = _positional_parameters(self._signature, name)
        self._hints = FunctionHints(function, f"activity {name}")
        self._hints.check([*self._parameters, "return"])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<activity {self.name}>"

    def options(
        self,
        *,
        retry: Retry | None = None,
        timeout: timedelta | float | None = None,
        heartbeat_timeout: timedelta | float | None = None,
        schedule_to_start: timedelta | float | None = None,
        schedule_to_close: timedelta | float | None = None,
        queue: str | None = None,
        inline: bool | None = None,
    ) -> Activity[P, R_co]:
        """The same activity with other options: `ctx.execute_activity(charge.options(timeout=5), order)`."""
        former = self.timeouts
        timeouts = Timeouts(
            former.start_to_close if timeout is None else timeout,
            former.heartbeat if heartbeat_timeout is None else heartbeat_timeout,
            former.schedule_to_start if schedule_to_start is None else schedule_to_start,
            former.schedule_to_close if schedule_to_close is None else schedule_to_close,
        )
        return Activity(
            self.function,
            name=self.name,
            retry=retry or self.retry,
            timeouts=timeouts,
            queue=queue or self.queue,
            inline=self.inline if inline is None else inline,
            checkpoint=self.checkpoint or inline is False,
            process=self.process,
        )

    @property
    def takes_input(self) -> bool:
        """Whether the function has any parameter."""
        return bool(self._parameters)

    @functools.cached_property
    def decode_result(self) -> Callable[[Payload], R_co]:
        """From the result's JSON to the function's declared return type."""
        return self._hints.decoder("return")

    def encode_input(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Payload:
        """The call's arguments as a JSON array. Raises UsageError when they do not fit the signature or JSON."""
        if kwargs or len(args) != len(self._parameters):
            try:
                bound = self._signature.bind(*args, **kwargs)
            except TypeError as error:
                unknown = frozenset(kwargs) - self._signature.parameters.keys()
                hint = _options_hint(self.name, unknown)
                raise UsageError(f"activity {self.name}{self._signature}: {error}{hint}") from None
            bound.apply_defaults()
            args = bound.args
        data = encode_payload(args)
        for place in self._loose_places:
            refuse_sets(args[place])
        return data

    def encode_result(self, value: object) -> Payload:
        """What the function returned, as JSON. Raises UsageError for what JSON cannot hold."""
        return encode_by_hint(value, self._hints.hint("return"))

    @functools.cached_property
    def _loose_places(self) -> list[int]:
        """Arguments of which no hint says all that they are."""
        names = enumerate(self._parameters)
        return [place for place, name in names if is_loose(self._hints.hint(name))]

    @functools.cached_property
    def _argument_decoders(self) -> list[Callable[[Payload], Any]]:
        return [self._hints.decoder(name) for name in self._parameters]

    @functools.cached_property
    def _split_arguments(self) -> Callable[[Payload], list[Payload]]:
        return decoder(list[Payload])

    def decode_input(self, data: Payload) -> list[Any]:
        """The arguments for the function, each as its type hint says. Raises UsageError naming argument and field."""
        parts = self._split_arguments(data)
        if len(parts) > len(self._parameters):
            raise UsageError(
                f"activity {self.name}{self._signature} takes {len(self._parameters)} arguments, got {len(parts)}"
            )
        arguments = []
        for name, decode, part in zip(
            self._parameters, self._argument_decoders, parts, strict=False
        ):
            try:
                arguments.append(decode(part))
            except UsageError as error:
                raise UsageError(f"activity {self.name}, argument {name!r}: {error}") from None
        return arguments


def _check_for_processes(function: Any, name: str) -> None:
    """Raises UsageError for a function that no other process could find, or would not need to."""
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"activity {name} is async, and process=True is for plain functions: define it with `def`"
        )
    qualname = getattr(function, "__qualname__", "")
    if not inspect.isfunction(function) or "<" in qualname:
        raise UsageError(
            f"activity {name} has process=True, and no other process can find {qualname or function!r}: define it with "
            "`def` at the top level of a module"
        )


def _options_hint(name: str, unknown: frozenset[str]) -> str:
    """What to write when a call was given options; empty when it was not."""
    options = sorted(unknown & inspect.signature(Activity.options).parameters.keys())
    if not options:
        return ""
    given = ", ".join(f"{option}=..." for option in options)
    return f". Options go with the activity, not with the call: {name}.options({given})"


def _positional_parameters(signature: inspect.Signature, name: str) -> list[str]:
    for parameter in signature.parameters.values():
        if parameter.kind not in _POSITIONAL:
            raise UsageError(
                f"activity {name}{signature}: parameter {parameter} cannot be sent; use plain positional parameters"
            )
    return list(signature.parameters)


@overload
def define(function: Callable[P, Awaitable[R]], /) -> Activity[P, R]: ...
@overload
def define(function: Callable[P, R], /) -> Activity[P, R]: ...
@overload
def define(
    *,
    name: str = ...,
    retry: Retry | None = ...,
    timeout: timedelta | float = ...,
    heartbeat_timeout: timedelta | float | None = ...,
    schedule_to_start: timedelta | float | None = ...,
    schedule_to_close: timedelta | float | None = ...,
    queue: str = ...,
    inline: bool = ...,
    checkpoint: bool = ...,
    process: bool = ...,
) -> Decorator: ...


def define(
    function: Any = None,
    /,
    *,
    name: str = "",
    retry: Retry | None = None,
    timeout: timedelta | float = DEFAULT_TIMEOUT,
    heartbeat_timeout: timedelta | float | None = None,
    schedule_to_start: timedelta | float | None = None,
    schedule_to_close: timedelta | float | None = None,
    queue: str = "default",
    inline: bool = False,
    checkpoint: bool = True,
    process: bool = False,
) -> Any:
    """Make a function an activity.

    `timeout` bounds each attempt (start to close), `heartbeat_timeout` the time between two calls of
    `activity.heartbeat` in it; an attempt beyond one of them has failed and is retried. `schedule_to_start` bounds
    the time that an attempt waits on its queue, `schedule_to_close` all attempts with the pauses between them; beyond
    these the activity has failed for good. Durations are timedeltas or seconds; None is without limit. `queue` names
    the task queue whose workers run it. `inline=True` runs it in the workflow's own worker: less latency, recorded
    like any other, and durable before what follows from its result is run. With `checkpoint=False` it is not waited
    for: steps follow one another at once and are made durable together, and a crash runs those since the last commit
    again, in their order. With `process=True` a plain function runs in a process instead of a thread: it keeps a core
    of its own busy, may crash, and is killed when it is out of time or cancelled. Without `retry` it gets `Retry()`.
    """
    timeouts = Timeouts(timeout, heartbeat_timeout, schedule_to_start, schedule_to_close)
    decorator = Decorator(
        name,
        retry or Retry(),
        timeouts,
        queue,
        inline=inline,
        checkpoint=checkpoint,
        process=process,
    )
    return decorator if function is None else decorator(function)


class Decorator:
    """What `define(...)` with options returns; typed so that the function's signature survives."""

    def __init__(
        self,
        name: str,
        retry: Retry,
        timeouts: Timeouts,
        queue: str,
        *,
        inline: bool,
        checkpoint: bool,
        process: bool,
    ) -> None:
        self._name = name
        self._retry = retry
        self._timeouts = timeouts
        self._queue = queue
        self._inline = inline
        self._checkpoint = checkpoint
        self._process = process

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Activity[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        if not callable(function):
            raise UsageError(f"activity.define is for functions, not {function!r}")
        return Activity(
            function,
            name=self._name or function.__name__,
            retry=self._retry,
            timeouts=self._timeouts,
            queue=self._queue,
            inline=self._inline,
            checkpoint=self._checkpoint,
            process=self._process,
        )
