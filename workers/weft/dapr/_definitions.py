"""Functions as Dapr's examples write them, made workflows and activities of Weft."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft import activity
from weft.activity import Activity
from weft.dapr._context import (
    NAME,
    ONE_ATTEMPT,
    DaprWorkflowContext,
    Known,
    WorkflowActivityContext,
)
from weft.errors import UsageError
from weft.workflow import Workflow

if TYPE_CHECKING:
    from weft.workflow import Machine


class DaprWorkflow(Workflow[Any, Any]):
    """A generator function, or a plain one that calls nothing, with a context that has Dapr's names."""

    def __init__(self, function: Callable[..., Any], name: str, known: Known) -> None:
        """`known` is its runtime, where more may be registered later."""
        is_whole = inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function)
        super().__init__(function if is_whole else _as_generator(function), name=name, version="")
        self._known = known

    def make_context(self, machine: Machine) -> DaprWorkflowContext:
        """What the function is given first."""
        return DaprWorkflowContext(machine, self._known)


def _as_generator(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any) -> Any:
        yield from ()
        return function(*args)

    return generator


def to_activity(function: Callable[..., Any], name: str) -> Activity[..., Any]:
    """`def work(ctx, input)` as an activity that takes the input. Without a retry policy it is tried once, as there."""
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2:
        raise UsageError(
            f"activity {name}{inspect.signature(function)}: it takes a context and at most one input"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any) -> Any:
            return await function(WorkflowActivityContext(), *args)

        call: Any = call_async
    else:

        @functools.wraps(function)
        def call_plain(*args: Any) -> Any:
            return function(WorkflowActivityContext(), *args)

        call = call_plain
    call.__signature__ = inspect.Signature(parameters[1:])
    made: Activity[..., Any] = activity.define(name=name, retry=ONE_ATTEMPT)(call)
    return made


def note_name(function: Any, name: str | None) -> str:
    """The name under which a function is known from now on. Raises UsageError when it has another one already."""
    known = name_of(function) if hasattr(function, NAME) else ""
    if known and name and known != name:
        raise UsageError(f"{function.__name__} has the name {known!r} already")
    setattr(function, NAME, known or name or function.__name__)
    return name_of(function)


def name_of(function: Any) -> str:
    """The name of a workflow or an activity that is given as a function, or by its name."""
    if isinstance(function, str):
        return function
    return str(getattr(function, NAME, "") or function.__name__)
