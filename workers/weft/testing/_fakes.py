"""What activities do in a test: fakes, or their own code; every call of either is noted."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from weft.activity import Activity, Retry, Timeouts, info
from weft.codec import encode_payload
from weft.errors import UsageError

_ARGUMENTS_MAX = 20
"""Of an activity that has no definition here, only a name."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of an activity, as it began."""

    activity: str
    arguments: tuple[Any, ...]
    attempt: int
    workflow_id: str
    time: datetime


class Fakes:
    """The activities of one environment, by name.

    `refuse` is called with a mistake of the test's own: that must end the test, not an attempt that is tried again.
    """

    def __init__(
        self, now: Callable[[], datetime], refuse: Callable[[Exception], None], *, strict: bool
    ) -> None:
        self.calls: list[Call] = []
        self._now = now
        self._refuse = refuse
        self._strict = strict
        self._known: dict[str, Activity[..., Any]] = {}
        self._faked: dict[str, Activity[..., Any]] = {}
        self._real: dict[str, Activity[..., Any]] = {}

    def know(self, activity: Activity[..., Any]) -> None:
        """An activity that the workflow's code asks for, so that it can be run."""
        if self._known.get(activity.name) is not activity:
            self._known[activity.name] = activity
            self._real.pop(activity.name, None)

    def fake(
        self,
        activity: Activity[..., Any] | str,
        outcomes: Sequence[Any],
        takes: timedelta | float,
    ) -> None:
        """Let these outcomes take the activity's place. Raises UsageError for what is no activity."""
        name = name_of(activity)
        takes_s = takes.total_seconds() if isinstance(takes, timedelta) else takes
        function = activity.function if isinstance(activity, Activity) else _anything
        check = activity if isinstance(activity, Activity) else None
        left = iter(outcomes) if len(outcomes) > 1 else None

        @functools.wraps(function)
        async def faked(*arguments: Any) -> Any:
            self._note(name, arguments)
            if takes_s:
                await asyncio.sleep(takes_s)
            outcome = outcomes[0] if outcomes else None
            if left is not None:
                outcome = next(left, _NOTHING_LEFT)
            return await self._give(name, check, outcome, arguments, len(outcomes))

        if check is None:
            faked.__signature__ = _any_signature()  # type: ignore[attr-defined]
        self._faked[name] = _like(activity, faked)

    def get(self, name: str) -> Activity[..., Any]:
        """What is to be run under that name. Raises UsageError when there is nothing."""
        if name in self._faked:
            return self._faked[name]
        if self._strict or name not in self._known:
            why = (
                "and this environment is strict"
                if name in self._known
                else "and the workflow calls it by its name alone, so nobody knows its function"
            )
            raise UsageError(
                f"Activity {name!r} has no fake, {why}. Give it one: env.fake({name!r}, RESULT)"
            )
        if name not in self._real:
            self._real[name] = self._noted(self._known[name])
        return self._real[name]

    def _noted(self, activity: Activity[..., Any]) -> Activity[..., Any]:
        function = activity.function

        @functools.wraps(function)
        async def call_async(*arguments: Any) -> Any:
            self._note(activity.name, arguments)
            return await function(*arguments)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            self._note(activity.name, arguments)
            return function(*arguments)

        return _like(activity, call_async if activity.is_async else call)

    def _note(self, name: str, arguments: tuple[Any, ...]) -> None:
        about = info()
        self.calls.append(Call(name, arguments, about.attempt, about.workflow_id, self._now()))

    async def _give(
        self,
        name: str,
        activity: Activity[..., Any] | None,
        outcome: Any,
        arguments: tuple[Any, ...],
        count: int,
    ) -> Any:
        if outcome is _NOTHING_LEFT:
            raise self._mistake(
                f"The fake of activity {name} has {count} outcomes, and was called once more."
            )
        if is_exception(outcome):
            raise outcome
        if callable(outcome):
            try:
                inspect.signature(outcome).bind(*arguments)
            except TypeError as error:
                raise self._mistake(
                    f"The fake of activity {name} was called with {len(arguments)} arguments: {error}."
                ) from None
            outcome = outcome(*arguments)
            if inspect.isawaitable(outcome):
                outcome = await outcome
        self._check(name, activity, outcome)
        return outcome

    def _check(self, name: str, activity: Activity[..., Any] | None, value: Any) -> None:
        """A fake must give what the activity could: a test with another result proves nothing."""
        try:
            data = encode_payload(value)
            if activity is not None:
                activity.decode_result(data)
        except UsageError as error:
            raise self._mistake(
                f"The fake of activity {name} gave what the activity never does: {error}"
            ) from None

    def _mistake(self, text: str) -> UsageError:
        error = UsageError(text)
        self._refuse(error)
        return error


_NOTHING_LEFT = object()


def name_of(activity: Activity[..., Any] | str) -> str:
    """Raises UsageError for what is neither an activity nor a name."""
    if isinstance(activity, Activity):
        return activity.name
    if activity and isinstance(activity, str):
        return activity
    raise UsageError(f"{activity!r} is no activity: give one, or its name.")


async def _anything(*arguments: Any) -> Any:
    """Stands for the function of an activity of which only the name is known."""


def _any_signature() -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_ONLY
    return inspect.Signature(
        [
            inspect.Parameter(f"argument_{number}", kind, default=None)
            for number in range(_ARGUMENTS_MAX)
        ]
    )


def _like(activity: Activity[..., Any] | str, function: Callable[..., Any]) -> Activity[..., Any]:
    """The activity with another function. Its options do not matter: the workflow has asked with its own."""
    if isinstance(activity, str):
        return Activity(
            function,
            name=activity,
            retry=Retry(),
            timeouts=Timeouts(),
            queue="default",
            inline=False,
        )
    return Activity(
        function,
        name=activity.name,
        retry=activity.retry,
        timeouts=activity.timeouts,
        queue=activity.queue,
        inline=activity.inline,
        checkpoint=activity.checkpoint,
    )


def is_exception(outcome: object) -> TypeGuard[BaseException | type[BaseException]]:
    """Whether it is to be raised, instead of being a result."""
    return isinstance(outcome, BaseException) or (
        isinstance(outcome, type) and issubclass(outcome, BaseException)
    )
