"""What people type: durations, sizes, JSON, `KEY=VALUE`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ByteSize, TypeAdapter, ValidationError

from weft.errors import UsageError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SIZE = TypeAdapter(ByteSize)
_TEXT_MAX = 60


def duration(text: str) -> timedelta:
    """`30s`, `15m`, `1h30m`, `720h`, `30d`. Raises UsageError for anything else."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(
            f"{text!r} is no duration: write a number with its unit, such as 30s, 15m, 1h30m, 720h or 30d."
        )
    try:
        return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in parts))
    except OverflowError:
        raise UsageError(f"{text!r} is longer than any duration can be.") from None


def byte_count(text: str) -> int:
    """`512MiB`, `2GiB`, `1.5GB`, `100000`. Raises UsageError for anything else."""
    try:
        return _SIZE.validate_python(text)
    except ValidationError:
        raise UsageError(
            f"{text!r} is no size: write a number of bytes, or one with its unit, such as 512MiB or 2GiB."
        ) from None


def json_value(text: str, what: str) -> Any:
    """A JSON value; `@FILE` is a file's, `@-` standard input's. Raises UsageError that shows where it breaks."""
    if text.startswith("@"):
        what, text = f"{what} ({text})", _content(text[1:], what)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        shown = text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."
        raise UsageError(
            f"{what} is no JSON: {error.msg} at {where} of {shown}\n"
            "A text needs JSON's quotes inside of the shell's: '\"Ada\"'."
        ) from None
    except ValueError as error:
        raise UsageError(f"{what} is no JSON: {error}.") from None


def _content(name: str, what: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what}: {name} cannot be read: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def key_values(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` each. Raises UsageError for what has no `=`."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--kafka-config takes KEY=VALUE, not {pair!r}.")
        settings[key.strip()] = value.strip()
    return settings
