"""Workflows: plain functions whose every step is on the log."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from weft.activity import Retry
from weft.codec import FunctionHints, encode_by_hint, encode_checked
from weft.errors import UsageError
from weft.records import ParentClose, Payload
from weft.workflow._child import Child
from weft.workflow._context import BaseContext, Context, GeneratorContext
from weft.workflow._generator import drive

if TYPE_CHECKING:
    from weft.workflow._machine import Machine

In = TypeVar("In")
Out = TypeVar("Out")

_VERSION_LENGTH_MAX = 100
Out_co = TypeVar("Out_co", covariant=True)


class Workflow(Generic[In, Out_co]):
    """A workflow's function under its name and version. Calling it calls the function, nothing else."""

    brings_activities = False
    """Its code makes activities known as it calls them: it is driven before one of them is run again."""

    def __init__(self, function: Callable[..., Any], *, name: str, version: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.version = _checked_version(version, name)
        self.is_generator = inspect.isgeneratorfunction(function)
        if not self.is_generator and not inspect.iscoroutinefunction(function):
            raise UsageError(
                f"workflow {name} is neither `async def` nor a generator: its steps could not be awaited"
            )
        self._input_name = _input_parameter(function, name)
        self._hints = FunctionHints(function, f"workflow {name}")
        # A generator's return hint says that it is a generator, and what it returns as the last of three.
        checked = [self._input_name, "" if self.is_generator else "return"]
        self._hints.check([name for name in checked if name])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    @functools.cached_property
    def decode_input(self) -> Callable[[Payload], In]:
        """From the input's JSON to the declared type. The function raises UsageError naming the field."""
        return self._hints.decoder(self._input_name)

    @functools.cached_property
    def decode_result(self) -> Callable[[Payload], Out_co]:
        """From the result's JSON to the declared type (a generator's declared return type is not looked at)."""
        return self._hints.decoder("" if self.is_generator else "return")

    def options(
        self,
        *,
        id: str = "",
        timeout: timedelta | float | None = None,
        retry: Retry | None = None,
        parent_close: ParentClose = "terminate",
        namespace: str = "",
        version: str = "",
    ) -> Child[In, Out_co]:
        """This workflow as a child: `ctx.execute_child(fulfil.options(namespace="shop"), order)`. See `Child`."""
        return Child(
            self,
            id=id,
            timeout=timeout,
            retry=retry,
            parent_close=parent_close,
            namespace=namespace,
            version=version,
        )

    def encode_input(self, value: object) -> Payload:
        """The input as JSON, refused here with UsageError when the workflow could not take it."""
        try:
            return encode_checked(value, self._hints.hint(self._input_name))
        except UsageError as error:
            raise UsageError(f"workflow {self.name}, input: {error}") from None

    def encode_result(self, value: object) -> Payload:
        """What the function returned, as JSON. Raises UsageError for what JSON cannot hold."""
        try:
            return encode_by_hint(value, Any if self.is_generator else self._hints.hint("return"))
        except UsageError as error:
            raise UsageError(f"workflow {self.name}, result: {error}") from None

    def run(self, machine: Machine, data: Payload) -> Coroutine[Any, Any, Any]:
        """The function as a coroutine on its context."""
        return self._run(machine, data)

    async def _run(self, machine: Machine, data: Payload) -> Any:
        args = (self._input_of(data),) if self._input_name else ()
        context = self.make_context(machine)
        if self.is_generator:
            return await drive(self.function(context, *args))
        return await self.function(context, *args)

    def _input_of(self, data: Payload) -> In:
        """Raises UsageError for what is not of the declared type: whoever started it had perhaps not the code."""
        try:
            return self.decode_input(data)
        except UsageError as error:
            raise UsageError(f"workflow {self.name}, input: {error}") from None

    def make_context(self, machine: Machine) -> BaseContext:
        """What the function is given first."""
        return GeneratorContext(machine) if self.is_generator else Context(machine)


def _checked_version(version: str, name: str) -> str:
    if len(version) > _VERSION_LENGTH_MAX or not (version.isprintable() or not version):
        raise UsageError(
            f"workflow {name}: a version has at most {_VERSION_LENGTH_MAX} printable characters, not {version[:200]!r}"
        )
    return version


def _input_parameter(function: Callable[..., Any], name: str) -> str:
    """The name of the parameter after the context; empty when there is none."""
    parameters = list(inspect.signature(function).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter for parameter in parameters if parameter.kind in kinds]
    if len(positional) != len(parameters) or not 1 <= len(positional) <= 2:
        raise UsageError(
            f"workflow {name}{inspect.signature(function)}: a workflow takes its context and at most one input "
            "(a dataclass or a pydantic model holds as many fields as you like)"
        )
    return positional[1].name if len(positional) == 2 else ""


@overload
def define(function: Callable[[Context, In], Awaitable[Out]], /) -> Workflow[In, Out]: ...
@overload
def define(function: Callable[[Context], Awaitable[Out]], /) -> Workflow[None, Out]: ...
@overload
def define(
    function: Callable[[GeneratorContext, In], Generator[Any, Any, Out]], /
) -> Workflow[In, Out]: ...
@overload
def define(
    function: Callable[[GeneratorContext], Generator[Any, Any, Out]], /
) -> Workflow[None, Out]: ...
@overload
def define(*, name: str = ..., version: str = ...) -> Decorator: ...


def define(function: Any = None, /, *, name: str = "", version: str = "") -> Any:
    """Make an async function (or a generator function) a workflow. `name` defaults to the function's."""
    decorator = Decorator(name, version)
    return decorator if function is None else decorator(function)


class Decorator:
    """What `define(...)` with options returns; typed so that input and result survive."""

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version

    @overload
    def __call__(
        self, function: Callable[[Context, In], Awaitable[Out]], /
    ) -> Workflow[In, Out]: ...
    @overload
    def __call__(self, function: Callable[[Context], Awaitable[Out]], /) -> Workflow[None, Out]: ...
    @overload
    def __call__(
        self, function: Callable[[GeneratorContext, In], Generator[Any, Any, Out]], /
    ) -> Workflow[In, Out]: ...
    @overload
    def __call__(
        self, function: Callable[[GeneratorContext], Generator[Any, Any, Out]], /
    ) -> Workflow[None, Out]: ...
    def __call__(self, function: Any, /) -> Any:
        if not callable(function):
            raise UsageError(f"workflow.define is for functions, not {function!r}")
        return Workflow(function, name=self._name or function.__name__, version=self._version)
