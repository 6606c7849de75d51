"""Functions of a workflow's code that are called from outside: with nothing, or with one value of their hint."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from weft.codec import decoder
from weft.errors import UsageError
from weft.records import NULL, Payload
from weft.workflow._generator import drive


class Handler:
    """One such function. `what` names it in errors: "the handler of signal 'approval'"."""

    __slots__ = ("_decode", "_function", "_has_default", "what")

    def __init__(
        self,
        kind: str,
        name: str,
        function: Callable[..., Any],
        *,
        role: str = "handler",
        answers_at_once: bool = False,
    ) -> None:
        """`kind` is what it is called for: a query, a signal or an update.

        Raises UsageError for what takes more than one value, or cannot answer at once although it has to.
        """
        what = f"the {role} of {kind} {name!r}"
        waits = inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function)
        if inspect.isasyncgenfunction(function) or (answers_at_once and waits):
            found = (
                "a coroutine function" if inspect.iscoroutinefunction(function) else "a generator"
            )
            raise UsageError(f"{what} is {found}; {_an(kind)} is answered at once, by a plain one")
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) > 1:
            raise UsageError(
                f"{what} takes {len(parameters)} values; {_an(kind)} has one at most (a dataclass or a pydantic model "
                "holds as many fields as you like)"
            )
        self.what = what
        self._function = function
        self._decode: Callable[[Payload], Any] | None = None
        self._has_default = bool(parameters) and parameters[0].default is not parameters[0].empty
        if parameters:
            self._decode = decoder(_hint_of(parameters[0].name, function, what))

    @property
    def takes_value(self) -> bool:
        return self._decode is not None

    def arguments(self, payload: Payload) -> tuple[Any, ...]:
        """What the function is called with: nothing, where no value is given and it has one of its own.

        Raises UsageError, or what a user's type raises, when it does not fit.
        """
        if payload == NULL and self._has_default:
            return ()
        if self._decode is not None:
            return (self._decode(payload),)
        if payload != NULL:
            raise UsageError(f"{self.what} takes no value")
        return ()

    def call(self, arguments: tuple[Any, ...]) -> Any:
        """Of a plain function: what it returns."""
        return self._function(*arguments)

    async def run(self, arguments: tuple[Any, ...]) -> Any:
        """Of any: what it returns in the end."""
        result = self._function(*arguments)
        if inspect.isgenerator(result):
            return await drive(result)
        return await result if inspect.isawaitable(result) else result


def _an(kind: str) -> str:
    return f"an {kind}" if kind.startswith("u") else f"a {kind}"


def _hint_of(parameter: str, function: Callable[..., Any], what: str) -> Any:
    """A handler stands inside of the workflow's function: so its hints may be names from there."""
    try:
        return get_type_hints(function, localns=_names_around(function)).get(parameter, Any)
    except NameError as error:
        raise UsageError(f"the hints of {what} cannot be read: {error}") from None
    except TypeError:  # no function of Python's, as `lines.append`: it has no hints
        return Any


def _names_around(function: Callable[..., Any]) -> dict[str, Any]:
    """The local names of the code that the function is written in, as long as that runs: it decorates the function."""
    code = getattr(function, "__code__", None)
    frame = inspect.currentframe()
    while code is not None and frame is not None:
        if code in frame.f_code.co_consts:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}
