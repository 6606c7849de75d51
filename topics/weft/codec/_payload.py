"""User data to JSON and back, by type hint.

Plain JSON types, dataclasses, TypedDicts, named tuples, msgspec structs, enums, dates, UUIDs and decimals are
msgspec's; pydantic models keep their own validation, also inside the others, and pydantic takes what only it knows:
constraints (`Annotated[int, Field(gt=0)]`), unions of classes, paths and addresses. Never pickle. A value that does not
fit its hint is refused here, with the field named, before it gets anywhere near the log.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal, Never, NoReturn, get_args, get_origin

import msgspec
from pydantic import BaseModel, PydanticUserError, ValidationError

from weft.codec._classes import adapter, check_classes, has_constraints, is_model, wrapped_adapter
from weft.codec._refusals import name_of, refusal, shorten, unfit
from weft.codec._stored import as_user_data
from weft.codec._unknown import unknown_field
from weft.errors import UsageError
from weft.records import NULL, RESERVED_MARK, Payload

_LOOSE = {Any, object, inspect.Parameter.empty, list, dict, tuple}
_NEVER_SETS = (type(None), bool, int, float, str, bytes)
_WHAT_TO_USE = (
    "Use JSON types, dataclasses, pydantic models, msgspec structs, TypedDicts, enums, dates, UUIDs "
    "or decimals."
)


def _encode_other(value: Any) -> Any:
    """What msgspec does not know. Raises TypeError for what nobody can write."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    kind: Any = type(value)
    if kind.__module__ != "builtins":
        try:
            return adapter(kind).dump_python(value, mode="json")
        except (PydanticUserError, ValueError):
            pass
    raise TypeError(f"type {kind.__qualname__} cannot be written as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)


def encode_payload(value: object) -> Payload:
    """A value as JSON bytes, however many: `weft.payloads` says what a record takes, and what happens to the rest.

    Raises UsageError naming the type that JSON cannot hold.
    """
    if value is None:
        return NULL
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{shorten(repr(value))} cannot be stored: {error}. {_WHAT_TO_USE}"
        ) from None
    if b"null" in data:  # which is also what becomes of NaN and infinity
        _refuse_infinite(msgspec.to_builtins(value, enc_hook=_encode_other))
    return Payload(as_user_data(data) if data.startswith(RESERVED_MARK) else data)


def _refuse_infinite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(
            f"{value} cannot be stored: JSON has no such number, and it would come back as null. Use None or a text."
        )
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for part in value:
        _refuse_infinite(part)


def encode_by_hint(value: object, hint: Any) -> Payload:
    """A value that is to be read by this hint. Raises UsageError for one that would come back as something else."""
    data = encode_payload(value)
    if is_loose(hint):
        refuse_sets(value)
    return data


def refuse_sets(value: object) -> None:
    """Raises UsageError for a set in what no hint will bring back. Objects of classes have hints of their own."""
    if type(value) not in _NEVER_SETS:
        # The C encoder of the standard library is the fastest walk over a value that there is.
        json.dumps(value, default=_refuse_set, skipkeys=True)


def _refuse_set(value: object) -> None:
    if isinstance(value, set | frozenset):
        raise UsageError(
            f"{shorten(repr(value))} cannot be stored here: JSON has no sets, and without a type hint it would come "
            "back as a list. Declare it (set[str]), or give a sorted list."
        )


def is_loose(hint: Any) -> bool:
    """Whether a part of what is read by this hint comes back as plain JSON, because no hint says what it is."""
    if _is_hashable(hint):
        return _is_loose(hint)
    return any(is_loose(part) for part in get_args(hint)[:1])  # marks that cannot be hashed


@lru_cache(maxsize=4096)
def _is_loose(hint: Any) -> bool:
    if hint in _LOOSE:
        return True
    origin = get_origin(hint)
    parts = get_args(hint)[: 1 if origin is Annotated else None]
    return origin is not Literal and any(is_loose(part) for part in parts)


def encode_checked(value: object, hint: Any) -> Payload:
    """A value from outside, as JSON for whoever reads it by this hint.

    Raises UsageError naming the field that does not fit, or that the hint does not know.
    """
    data = encode_by_hint(value, hint)
    decoder(hint)(data)
    if isinstance(
        value, dict | list | tuple
    ):  # objects of classes have no other fields than theirs
        problem = unknown_field(hint, data)
        if problem:
            raise UsageError(f"{shorten(data)} is not {name_of(hint)}: {problem}")
    return data


def decoder(hint: Any) -> Callable[[Payload | bytes], Any]:
    """A function from JSON bytes to a value of `hint`; `Any` or no hint gives plain JSON values.

    The function raises UsageError naming the field that does not fit. Raises UsageError at once for a hint that
    nobody can decode, and NameError for one that names what is not defined yet.
    """
    return _decoder(hint) if _is_hashable(hint) else _new_decoder(hint)


def _is_hashable(hint: Any) -> bool:
    """The marks of `Annotated` may be anything."""
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def _new_decoder(hint: Any) -> Callable[[Payload | bytes], Any]:
    if any(hint is one for one in (inspect.Parameter.empty, object, Never, NoReturn)):
        hint = Any
    if hint is None:
        hint = type(None)
    if isinstance(hint, str):
        raise _unreadable(hint, "it is a text, not a type")
    decode = _decode_function(hint)

    def decode_or_refuse(data: Payload | bytes) -> Any:
        try:
            return decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(data, hint, error) from None
        except ValidationError as error:
            raise refusal(data, hint, unfit(error)) from None

    return decode_or_refuse


_decoder = lru_cache(maxsize=4096)(_new_decoder)


def decode_payload(data: Payload | bytes, hint: Any = Any) -> Any:
    """JSON bytes to a value of `hint`. Raises UsageError naming the field that does not fit."""
    return decoder(hint)(data)


def _decode_function(hint: Any) -> Callable[[Any], Any]:
    try:
        if is_model(hint):
            validate = adapter(hint).validate_json
            return lambda data: validate(bytes(data), by_alias=True, by_name=True)
        if not has_constraints(hint):
            try:
                decode = msgspec.json.Decoder(hint, dec_hook=_decode_other).decode
            except TypeError as error:
                return _by_pydantic(hint, str(error))
            check_classes(hint)
            return decode
        return _by_pydantic(hint, "")
    except PydanticUserError as error:
        if error.code in {"class-not-fully-defined", "undefined-annotation"}:
            raise NameError(str(error)) from None
        raise _unreadable(hint, str(error).partition("\n")[0]) from None


def _by_pydantic(hint: Any, why: str) -> Callable[[Any], Any]:
    """For what msgspec cannot read, or would not check. A tuple of one takes settings that a class would not."""
    try:
        validate = wrapped_adapter(hint).validate_json
    except PydanticUserError:
        if why:
            raise _unreadable(hint, why) from None
        raise

    def decode(data: Payload | bytes) -> Any:
        try:
            return validate(b"[%b]" % bytes(data), by_alias=True, by_name=True)[0]
        except ValidationError as error:
            problem = unfit(error)
            problem.path = problem.path.removeprefix("[0]")
            raise refusal(data, hint, problem) from None

    return decode


def _decode_other(hint: type, value: Any) -> Any:
    """A class that is pydantic's, inside of others. msgspec adds where in the whole it is."""
    if hint is object:
        return value
    try:
        return adapter(hint).validate_json(msgspec.json.encode(value), by_alias=True, by_name=True)
    except ValidationError as error:
        raise unfit(error) from None


def _unreadable(hint: Any, why: str) -> UsageError:
    return UsageError(
        f"{name_of(hint)} cannot be read from JSON: {why.rstrip('.')}. {_WHAT_TO_USE}"
    )
