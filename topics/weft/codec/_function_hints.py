"""The type hints of a function, as they stand where it is defined."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType, SimpleNamespace
from typing import Any, get_type_hints

from weft.codec._payload import decoder
from weft.errors import UsageError
from weft.records import Payload

Decode = Callable[[Payload | bytes], Any]


class FunctionHints:
    """Each hint is read at once where that can be; one that names what stands further below, when it is asked for."""

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        """`what` begins the texts of errors: "activity charge"."""
        inner = inspect.unwrap(function)
        self._what = what
        self._globals: dict[str, Any] = getattr(inner, "__globals__", {})
        self._known: dict[str, Any] = {}
        self._unread: dict[str, Any] = {}
        around = _names_around(inner)
        for name, annotation in getattr(inner, "__annotations__", {}).items():
            try:
                self._known[name] = self._read(annotation, around)
            except NameError:
                self._unread[name] = annotation

    def hint(self, name: str) -> Any:
        """The hint of a parameter, or of "return"; Any when there is none. Raises UsageError when it cannot be read."""
        if name in self._unread:
            try:
                self._known[name] = self._read(self._unread[name], {})
            except NameError as error:
                raise self._unreadable(name, error) from None
            del self._unread[name]
        return self._known.get(name, Any)

    def decoder(self, name: str) -> Decode:
        """From JSON to what the hint says. Raises UsageError naming the parameter for a hint that cannot be."""
        try:
            return decoder(self.hint(name))
        except NameError as error:
            raise self._unreadable(name, error) from None
        except UsageError as error:
            if name in self._unread:
                raise
            raise UsageError(f"{self._which(name)}: {error}") from None

    def check(self, names: Iterable[str]) -> None:
        """Raises UsageError for a hint that no value can be converted by, as far as that is known by now."""
        for name in names:
            if name in self._known:
                try:
                    decoder(self._known[name])
                except NameError:
                    continue
                except UsageError as error:
                    raise UsageError(f"{self._which(name)}: {error}") from None

    def _read(self, annotation: Any, around: Mapping[str, Any]) -> Any:
        """One at a time: the others may be of no interest, and not there at run time."""
        one = SimpleNamespace(__annotations__={"it": annotation})
        return get_type_hints(one, self._globals, dict(around) or None, include_extras=True)["it"]

    def _which(self, name: str) -> str:
        return f"{self._what}, {'return type' if name == 'return' else f'parameter {name!r}'}"

    def _unreadable(self, name: str, error: NameError) -> UsageError:
        return UsageError(
            f"{self._which(name)}: its type hint cannot be read: {error}. Define that name where the function's module "
            "finds it when it is run."
        )


def _names_around(function: Callable[..., Any]) -> Mapping[str, Any]:
    """What a function that is defined inside of another one sees of that: it is being run right now."""
    outer = getattr(function, "__qualname__", "").rpartition(".<locals>.")[0].rpartition(".")[2]
    if not outer:
        return {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == outer and frame.f_globals is function.__globals__:
            return frame.f_locals
        frame = frame.f_back
    return {}
