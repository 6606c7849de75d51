"""What people type: durations, JSON, `KEY=VALUE`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from weft.errors import UsageError

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(text: str) -> timedelta:
    """`30s`, `15m`, `1h30m`, `720h`, `30d`. Raises UsageError for anything else."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text!r} is no duration: write 30s, 15m, 1h30m, 720h or 30d.")
    return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def json_value(text: str, what: str) -> Any:
    """A JSON value. Raises UsageError that shows where it breaks."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{what} is no JSON: {error.msg} at character {error.pos + 1} of {text!r}. "
            "A text needs quotes inside of the shell's: '\"Ada\"'."
        ) from None


def key_values(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` each. Raises UsageError for what has no `=`."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--kafka-config takes KEY=VALUE, not {pair!r}.")
        settings[key.strip()] = value.strip()
    return settings
