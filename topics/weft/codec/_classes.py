"""What stands in a type hint: which library can read it, and what nobody can."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from msgspec import inspect as types
from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter

from weft.codec._refusals import name_of
from weft.errors import UsageError

_CHECKERS = {"pydantic", "annotated_types", "pydantic_core"}
"""Libraries whose marks in `Annotated` are constraints; msgspec has its own, and passes over these."""
_STRICT = ConfigDict(strict=True, ser_json_bytes="base64", val_json_bytes="base64")
"""As msgspec reads and writes: the text "7" is no number, and bytes are base64."""


def is_model(hint: Any) -> bool:
    """Whether this is a pydantic model."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


@lru_cache(maxsize=4096)
def adapter(hint: Any) -> TypeAdapter[Any]:
    """Raises PydanticUserError for a class that pydantic does not know."""
    return TypeAdapter(hint)


def wrapped_adapter(hint: Any) -> TypeAdapter[tuple[Any]]:
    """For a JSON array of one value of the hint. Raises PydanticUserError."""
    wrapped: Any = tuple[hint]
    return TypeAdapter(wrapped, config=_STRICT)


def has_constraints(hint: Any) -> bool:
    """Whether pydantic's constraints stand anywhere in the hint, outside of its models.

    Raises NameError for a class with a field whose type is not defined yet.
    """
    return any(_is_constraint(mark) for part in _parts(hint, set()) for mark in _marks(part))


def _parts(hint: Any, seen: set[int]) -> Iterator[Any]:
    """The hint and all that it is made of, with the fields of its classes, but not inside of pydantic models."""
    yield hint
    if is_model(hint) or id(hint) in seen:
        return
    seen.add(id(hint))
    for part in get_args(hint)[: 1 if get_origin(hint) is Annotated else None]:
        yield from _parts(part, seen)
    kind = get_origin(hint) or hint
    if _has_fields(kind):
        for field in get_type_hints(kind, include_extras=True).values():
            yield from _parts(field, seen)


def _has_fields(kind: Any) -> bool:
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind)
        or is_typeddict(kind)
        or issubclass(kind, msgspec.Struct)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def _marks(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _is_constraint(mark: object) -> bool:
    library = type(mark).__module__.partition(".")[0]
    return library in _CHECKERS or hasattr(mark, "__get_pydantic_core_schema__")


def check_classes(hint: Any) -> None:
    """Raises UsageError for a class that neither library can read, anywhere in the hint."""
    for cls in _foreign_classes(types.type_info(hint), set()):
        if cls is object:
            continue
        try:
            adapter(cls)
        except PydanticUserError as error:
            if error.code in {"class-not-fully-defined", "undefined-annotation"}:
                raise
            inside = "" if cls is hint else f" inside of {name_of(hint)}"
            raise UsageError(
                f"{name_of(cls)}{inside} cannot be read from JSON: it is an ordinary class. Make it a dataclass, a "
                "pydantic model or a msgspec struct, or pass what it is made of."
            ) from None


def _foreign_classes(node: Any, seen: set[int]) -> Iterator[Any]:
    """The classes that msgspec leaves to others."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, types.CustomType):
        yield node.cls
    for name in node.__struct_fields__:
        value = getattr(node, name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, types.Type | types.Field):
                yield from _foreign_classes(child, seen)
