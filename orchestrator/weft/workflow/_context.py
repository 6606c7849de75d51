"""What a workflow's code is given: every way to touch the world that a replay can repeat."""

from __future__ import annotations

import asyncio
import inspect
import random as random_module
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload
from uuid import UUID

from typing_extensions import TypeForm

from weft.activity import Activity
from weft.codec import decoder, encode_payload
from weft.errors import UsageError
from weft.records import CUSTOM_STATUS_BYTES_MAX, run_number
from weft.workflow._child_calls import ChildCalls, GeneratorChildCalls
from weft.workflow._futures import WorkflowFuture, WorkflowTask
from weft.workflow._generator import when_all, when_any
from weft.workflow._history import History
from weft.workflow._info import ParentInfo, WorkflowInfo
from weft.workflow._logger import WorkflowLogger
from weft.workflow._publish import encoded
from weft.workflow._saga import Saga
from weft.workflow._scope import CancelScope
from weft.workflow._timers import TimerFuture

if TYPE_CHECKING:
    from weft.workflow._machine import Machine

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


_PATCH_ID_LENGTH_MAX = 255


def seconds_of(duration: timedelta | float, what: str) -> float:
    """A duration in seconds. Raises UsageError when it is negative or endless."""
    try:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    except (TypeError, ValueError):
        raise UsageError(f"{what} takes a timedelta, or seconds, not {duration!r}") from None
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{what} must be a finite duration of at least zero, not {duration!r}")
    return seconds


def _no_activity(given: object) -> UsageError:
    if not inspect.iscoroutine(given):
        return UsageError(
            f"{given!r} is not an activity: decorate it with @activity.define, or call one by its name"
        )
    given.close()
    name = given.__name__
    return UsageError(
        f"{name}(...) was called already, and never runs as an activity so: give the activity and its arguments, "
        f"ctx.execute_activity({name}, ...)"
    )


class BaseContext:
    """What the async and the generator context share."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def info(self) -> WorkflowInfo:
        """This run's identity."""
        started = self._machine.started
        if started is None:
            raise UsageError("the context has no run before it is started")
        parent = started.parent
        return WorkflowInfo(
            self._machine.workflow_id,
            started.run_id,
            started.workflow,
            self._machine.workflow.version,
            datetime.fromtimestamp(started.time_ms / 1000, UTC),
            ParentInfo(parent.namespace, parent.workflow_id, parent.run_id) if parent else None,
            started.continued_from,
            run_number(started.run_id),
            self._machine.event_id,
        )

    @property
    def is_replaying(self) -> bool:
        """True while the history is being repeated. For logging only: decisions must not depend on it."""
        return self._machine.replaying

    @property
    def logger(self) -> WorkflowLogger:
        """For what is to be logged once, and not again in every replay."""
        return WorkflowLogger(self._machine)

    @property
    def history(self) -> History:
        """What this run has done and seen up to here: the same in every replay, so decisions may depend on it.

        `ctx.history.called(charge)` says whether an activity was asked for, `ctx.history.results(charge)` what it gave.
        """
        return self._machine.history()

    def patched(self, patch_id: str) -> bool:
        """Whether this run takes the new way of a change of its code: `if ctx.patched("tax-2026"): ... else: ...`.

        True in a run that comes here for the first time, and that is recorded; False in one that had passed here before
        the change was deployed, which takes the old way in every replay. The answer for one ID is the same for the
        whole run, in loops too. Once no run needs the old way (`weft show` tells the patches of each), delete it
        together with the call: a recorded patch that nobody asks for is passed over.
        """
        if not (patch_id.isprintable() and 0 < len(patch_id) <= _PATCH_ID_LENGTH_MAX):
            raise UsageError(
                f"a patch has an ID of 1 to {_PATCH_ID_LENGTH_MAX} printable characters, not {patch_id[:300]!r}"
            )
        return self._machine.patched(patch_id)

    def set_status(self, value: object) -> None:
        """Say how far the run is, in any JSON value: `describe()`, `weft show` and `weft list` tell it.

        It stands beside the status, until the next one replaces it, also once the run has ended. It costs no event and
        no replay compares it, so code may come to say something else. Raises UsageError for what JSON cannot hold, and
        for more than 4 KiB.
        """
        data = encode_payload(value)
        if len(data) > CUSTOM_STATUS_BYTES_MAX:
            raise UsageError(
                f"a status takes {CUSTOM_STATUS_BYTES_MAX:,} bytes of JSON, and this one has {len(data):,}. Keep what "
                "is large in the workflow's result, or in an activity's."
            )
        self._machine.set_status(data)

    def on_query(self, name: str) -> Callable[[F], F]:
        """`@ctx.on_query("progress")`: the function below answers that query, with what `client` gets as JSON.

        It takes nothing, or one value, of its hint. It is called between this workflow's steps and may only look: what
        it would change is not in the history, and is lost.
        """

        def register(function: F) -> F:
            self._machine.queries.add(name, function)
            return function

        return register

    def on_signal(self, name: str) -> Callable[[F], F]:
        """`@ctx.on_signal("cancel_line")`: the function below is called for every signal of that name, in order.

        Also for those that came before, as soon as this code waits. It takes nothing, or the payload as its hint. An
        async one (or, as in a generator workflow, a generator) may do all that the workflow may, in a task of its own
        beside the main code. What it raises fails the run: the main code is cancelled and cleans up first. So does a
        payload that is not of the hint (SignalPayloadError); take `Any` to look at it yourself. A name has one handler,
        the last; `receive_signal` of that name is refused.
        """

        def register(function: F) -> F:
            self._machine.signals.add_handler(name, function)
            return function

        return register

    def on_update(
        self, name: str, *, validator: Callable[..., object] | None = None
    ) -> Callable[[F], F]:
        """`@ctx.on_update("add_line", validator=check)`: the function below takes up that update, and answers it.

        Whoever calls `handle.update` gets what it returns, or what it raises as UpdateFailedError; the run goes on. It
        takes nothing, or one value, of its hint, and may do all that the workflow may: wait, call activities. Before,
        `validator` is given the same value and may only look; what it raises rejects the update, and so does a value
        that is not of the hint. A rejected update is nowhere in the history. Register it before the workflow first
        waits: an update of a name that the code does not take is rejected as well.
        """

        def register(function: F) -> F:
            self._machine.updates.add(name, function, validator)
            return function

        return register

    def all_handlers_finished(self) -> bool:
        """Whether no handler of a signal or an update is under way.

        Say `await ctx.wait_condition(ctx.all_handlers_finished)` before the workflow returns: a run ends with its main
        code, and handlers that still wait for something go no further then. A warning says so, and whoever waits for
        such an update is told that the run has ended.
        """
        return self._machine.handler_calls.are_finished

    def publish(
        self,
        topic: str,
        *,
        value: object,
        key: str | bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> asyncio.Future[None]:
        """Write a record to a topic of yours, exactly once: in the transaction that makes this step durable.

        Consumers that read committed records see it once, whatever crashes; no replay writes it again. `value` is what
        an activity may be given, as JSON; bytes are written as they are, and None is a tombstone. The partition is the
        one that Java's clients would choose for the `key`; records without one go where the workflow's ID belongs, so
        those of one workflow stay in order. It goes out with the step whether or not it is awaited.

        Raises, when awaited, RecordTooLargeError for more than the topic takes, and UsageError for a topic of Weft's
        own or a record without a key on a compacted one. A topic that does not exist, or may not be written to, blocks
        the run until that is mended.
        """
        return self._machine.publications.publish(encoded(topic, key, value, headers))

    def _continue_as_new(self, args: tuple[Any, ...], *, keep_signals: bool) -> NoReturn:
        if len(args) > 1:
            raise UsageError(
                f"a workflow takes one input at most, and continue_as_new was given {len(args)}"
            )
        data = self._machine.workflow.encode_input(args[0] if args else None)
        self._machine.main.continue_as_new(data, keep_signals=keep_signals)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.loop.now_ms / 1000, UTC)

    def _schedule(
        self, activity: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> WorkflowFuture:
        if isinstance(activity, Activity):
            data, decode = activity.encode_input(args, kwargs), activity.decode_result
        elif isinstance(activity, str):
            if kwargs:
                raise UsageError(
                    f"activity {activity!r} is called by name: pass positional arguments only"
                )
            data, decode = encode_payload(args), decoder(Any)
        else:
            raise _no_activity(activity)
        return self._machine.activities.schedule(activity, data, decode)

    def _sleep(self, seconds: float) -> WorkflowFuture:
        return TimerFuture(self._machine.timers, self._machine.loop, seconds)

    def _receive(self, name: str, hint: Any, timeout: timedelta | float | None) -> WorkflowFuture:
        future = self._machine.signals.receive(name, hint)
        if timeout is not None:
            future.give_up_after(seconds_of(timeout, "timeout"))
        return future


class Context(ChildCalls, BaseContext):
    """The context of an async workflow. What it returns are futures, fit for `asyncio.gather` and `wait`."""

    @overload
    def execute_activity(
        self, activity: Activity[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]: ...
    @overload
    def execute_activity(self, activity: str, *args: Any) -> asyncio.Future[Any]: ...
    def execute_activity(self, activity: Any, *args: Any, **kwargs: Any) -> Any:
        """Run an activity; it is on its way at once. Raises ActivityError, when awaited, if it fails for good.

        By name ("charge") it may live in another app or language; its result is then plain JSON.
        """
        return self._schedule(activity, args, kwargs)

    @overload
    def receive_signal(
        self, name: str, hint: TypeForm[T], *, timeout: timedelta | float | None = None
    ) -> asyncio.Future[T]: ...
    @overload
    def receive_signal(
        self, name: str, *, timeout: timedelta | float | None = None
    ) -> asyncio.Future[Any]: ...
    def receive_signal(
        self, name: str, hint: Any = Any, *, timeout: timedelta | float | None = None
    ) -> Any:
        """The next signal of that name, as `hint`; signals that came earlier are kept.

        Raises, when awaited, TimeoutError after `timeout`, and SignalPayloadError for a payload that is not of `hint`:
        that signal is used up, and the workflow may catch the error and receive the next one. Uncaught, it fails the
        run.
        """
        return self._receive(name, hint, timeout)

    @overload
    def signals(self, name: str, hint: TypeForm[T]) -> AsyncIterator[T]: ...
    @overload
    def signals(self, name: str) -> AsyncIterator[Any]: ...
    async def signals(self, name: str, hint: Any = Any) -> AsyncIterator[Any]:
        """Every signal of that name, in order, as long as one asks.

        A payload that is not of `hint` ends the iteration with SignalPayloadError; call `signals` again to go on.
        """
        while True:
            yield await self.receive_signal(name, hint)

    def wait_condition(
        self, condition: Callable[[], object], *, timeout: timedelta | float | None = None
    ) -> asyncio.Future[None]:
        """Done as soon as `condition()` is true: it is asked now, and after every step that this workflow's code takes.

        It may look at nothing but what that code has. Raises, when awaited, TimeoutError after `timeout`, and what the
        condition raises.
        """
        if not callable(condition):
            raise UsageError(
                f"wait_condition takes a function that is asked again and again, not {condition!r}: "
                "ctx.wait_condition(lambda: paid)"
            )
        future = self._machine.conditions.wait(condition)
        if timeout is not None:
            future.give_up_after(seconds_of(timeout, "timeout"))
        return future

    def continue_as_new(self, *args: Any) -> NoReturn:
        """End this run, and go on as a new one with this input: same workflow ID, next run, an empty history.

        For workflows that go on for ever: each run stays short. It happens in one transaction. Signals that this run
        has not taken are there when the next begins, in their order, and a signal with an ID counts once for the whole
        chain (of the last 10,000 IDs). The status, the parent, and the time limit, which counts from the first run's
        start, go on too; activities, timers and children of this run end with it, as with any other end. The next run
        is of the newest version. Who waits for the result of any run of the chain gets the last one's.

        It does not return: it ends the code by an exception that `except Exception` does not catch. A saga that is open
        is left as it is. Raises UsageError for an input that the workflow does not take.
        """
        self._continue_as_new(args, keep_signals=True)

    def saga(self) -> Saga:
        """`async with ctx.saga() as saga`: what `saga.on_failure` was told is undone, last first, if the block fails.

        Or if it is cancelled. Then the error goes on as if nothing had been there, unless a step could not be undone:
        that is a Failure of type CompensationError.
        """
        return Saga(self)

    def cancel_scope(self, *, shield: bool = False) -> CancelScope:
        """`async with ctx.cancel_scope() as scope`: a block that `scope.cancel()` ends, with all that it waits for.

        The code after the block goes on; `scope.cancelled` says whether it was cut short. With `shield=True` nothing
        else ends it: cancelling the workflow, or the task, waits until the block is over, as a cleanup needs it. A
        `timeout` inside of the block still works.
        """
        return CancelScope(shield=shield)

    def sleep(self, duration: timedelta | float) -> asyncio.Future[None]:
        """A durable timer; `asyncio.sleep` is one too."""
        return self._sleep(seconds_of(duration, "sleep"))

    def now(self) -> datetime:
        """The time of the event that is being handled, in UTC: the same in every replay."""
        return self._now()

    def random(self) -> random_module.Random:
        """A random generator that gives the same numbers in every replay."""
        return self._machine.random

    def uuid4(self) -> UUID:
        """A random UUID that is the same in every replay."""
        return UUID(int=self._machine.random.getrandbits(128), version=4)


class GeneratorContext(GeneratorChildCalls, BaseContext):
    """The context of a generator workflow (`yield ctx.call_activity(...)`), with the names that Dapr teaches."""

    @property
    def instance_id(self) -> str:
        """The workflow's ID."""
        return self._machine.workflow_id

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the event that is being handled: the same in every replay."""
        return self._now()

    def call_activity(self, activity: Any, input: Any = None) -> WorkflowFuture:  # Dapr's name
        """Run an activity with one argument (none when `input` is None and the activity takes none)."""
        takes_input = not isinstance(activity, Activity) or activity.takes_input
        return self._schedule(activity, (input,) if takes_input or input is not None else (), {})

    def create_timer(self, fire_at: datetime | timedelta) -> WorkflowFuture:
        """Done after a duration, or at a time (UTC when it has no zone)."""
        if isinstance(fire_at, datetime):
            at = fire_at if fire_at.tzinfo else fire_at.replace(tzinfo=UTC)
            return self._sleep(max(0.0, (at - self._now()).total_seconds()))
        return self._sleep(seconds_of(fire_at, "create_timer"))

    def wait_for_external_event(
        self, name: str, *, timeout: timedelta | float | None = None
    ) -> WorkflowFuture:
        """The next signal of that name; TimeoutError after `timeout`."""
        return self._receive(name, Any, timeout)

    def continue_as_new(self, new_input: Any = None, *, save_events: bool = True) -> NoReturn:
        """End this run, and go on as a new one, as `Context.continue_as_new` says. It does not return.

        Without `save_events`, signals that came and were not waited for are dropped.
        """
        self._continue_as_new((new_input,), keep_signals=save_events)

    def set_custom_status(self, value: object) -> None:
        """Dapr's name for `set_status`."""
        self.set_status(value)

    def when_all(self, tasks: list[Any]) -> WorkflowTask[list[Any]]:
        """All results, in the order given; fails with the first failure."""
        return when_all(tasks)

    def when_any(self, tasks: list[Any]) -> WorkflowTask[Any]:
        """The first of them that is done; ask it for `get_result()`."""
        return when_any(tasks)
