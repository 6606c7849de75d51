"""User data to JSON and back, by type hint.

Plain JSON types, dataclasses, TypedDicts, msgspec structs, enums, dates, UUIDs and decimals are msgspec's; pydantic
models keep their own validation, also inside the others. Never pickle. A value that does not fit its hint is refused
here, with the field named, before it gets anywhere near the log.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from weft.codec._stored import as_user_data
from weft.errors import UsageError
from weft.records import NULL, STORED_MARK, Payload

_TEXT_MAX = 200


def _encode_other(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON")


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
            f"{_shorten(value)} cannot be stored: {error}. Use JSON types, dataclasses, pydantic models, "
            "msgspec structs, TypedDicts, enums, dates, UUIDs or decimals."
        ) from None
    if b"null" in data:  # which is also what becomes of NaN and infinity
        _refuse_infinite(msgspec.to_builtins(value, enc_hook=_encode_other))
    return Payload(as_user_data(data) if data.startswith(STORED_MARK) else data)


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


@lru_cache(maxsize=4096)
def decoder(hint: Any) -> Callable[[Payload | bytes], Any]:
    """A function from JSON bytes to a value of `hint`; `Any` or no hint gives plain JSON values.

    The function raises UsageError naming the field that does not fit. Raises UsageError at once for a hint that
    nobody can decode.
    """
    if hint is inspect.Parameter.empty or hint is object:
        hint = Any
    if hint is None:
        hint = type(None)
    decode = _pydantic_decode(hint) if _is_pydantic(hint) else _msgspec_decode(hint)

    def decode_or_refuse(data: Payload | bytes) -> Any:
        try:
            return decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{_shorten(data)} is not {_name(hint)}: {error}") from None
        except ValidationError as error:
            raise UsageError(f"{_shorten(data)} is not {_name(hint)}: {_first(error)}") from None

    return decode_or_refuse


def decode_payload(data: Payload | bytes, hint: Any = Any) -> Any:
    """JSON bytes to a value of `hint`. Raises UsageError naming the field that does not fit."""
    return decoder(hint)(data)


def _is_pydantic(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _msgspec_decode(hint: Any) -> Callable[[Any], Any]:
    try:
        return msgspec.json.Decoder(hint, dec_hook=_decode_other).decode
    except TypeError as error:
        raise UsageError(f"{_name(hint)} cannot be read from JSON: {error}") from None


def _decode_other(hint: type, value: Any) -> Any:
    if hint is object:
        return value
    if any(_is_pydantic(part) for part in (hint, *get_args(hint))):
        try:
            return TypeAdapter(hint).validate_python(value)
        except ValidationError as error:
            raise ValueError(_first(error)) from None  # msgspec adds where in the whole it is
    raise msgspec.ValidationError(f"{_name(hint)} cannot be read from JSON")


def _pydantic_decode(hint: type[BaseModel]) -> Callable[[Any], Any]:
    validate = TypeAdapter(hint).validate_json
    return lambda data: validate(bytes(data))


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"]) or "the value"
    return f"{problem['msg']} - at `{field}`"


def _name(hint: Any) -> str:
    return getattr(hint, "__qualname__", None) or str(hint)


def _shorten(value: object) -> str:
    text = (
        bytes(value).decode(errors="replace") if isinstance(value, Payload | bytes) else repr(value)
    )
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "..."
