"""The texts that refuse a value: what it should be, at which field, what came instead, and what to do."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from pydantic import ValidationError

from weft.errors import UsageError
from weft.records import Payload

TEXT_MAX = 200
"""Characters of a value that a text shows."""
_AT = " - at `"
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_NOT_SHOWN = ("missing", "Object missing required field", "Object contains unknown field")
"""Problems of the whole object: to show it once more would say nothing."""


class UnfitError(ValueError):
    """A part of a value does not fit; `path` is where in the part, `came` what was found there (JSON)."""

    def __init__(self, problem: str, path: str, came: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path
        self.came = came


def shorten(value: object, characters_max: int = TEXT_MAX) -> str:
    """A value for a text: payloads as their JSON, the rest as `repr` has it, cut."""
    if isinstance(value, Payload | bytes):
        text = bytes(value).decode(errors="replace")
    else:
        text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= characters_max else f"{text[:characters_max]}..."


def name_of(hint: Any) -> str:
    """A type hint as people write it."""
    is_plain_class = isinstance(hint, type) and not getattr(hint, "__args__", None)
    return hint.__qualname__ if is_plain_class else str(hint).replace("typing.", "")


def unfit(error: ValidationError) -> UnfitError:
    """The first of pydantic's problems; how many more there are stands in its text."""
    problems = error.errors()
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    came = "" if first["type"] in {"missing", "json_invalid"} else _json(first["input"])
    return UnfitError(f"{first['msg']}{more}", path, came)


def refusal(data: Payload | bytes, hint: Any, error: Exception) -> UsageError:
    """What is raised for a value that is not of its hint."""
    if isinstance(error, UnfitError):
        problem, path, came = error.problem, f"${error.path}", error.came
    else:
        problem, path, came = _located(data, error)
    where = f"{_AT}{path}`" if path else ""
    found = f", where {came} came" if came and path != "$" else ""
    return UsageError(
        f"{shorten(data)} is not {name_of(hint)}: {problem}{where}{found}. Give what the type hint says, or change the "
        "hint."
    )


def _located(data: Payload | bytes, error: Exception) -> tuple[str, str, str]:
    """(problem, path, what came) of an error of msgspec's: its path stands at the end of its text."""
    text = str(error)
    problem, at, path = text.rpartition(_AT)
    if not at:
        problem, path = text, ""
    path = path.rstrip("`")
    inner = error.__cause__
    if isinstance(inner, UnfitError):
        return inner.problem, f"{path or '$'}{inner.path}", inner.came
    came = "" if problem.startswith(_NOT_SHOWN) else _found_at(data, path)
    return problem, path, came


def _found_at(data: Payload | bytes, path: str) -> str:
    """The JSON at a path; empty where the path does not say it all."""
    steps = _STEP.findall(path)
    if (
        not steps
        or "$" + "".join(f".{key}" if key else f"[{place}]" for key, place in steps) != path
    ):
        return ""
    try:
        value = msgspec.json.decode(data)
        for key, place in steps:
            value = value[key] if key else value[int(place)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return ""
    return _json(value)


def _json(value: object) -> str:
    try:
        return shorten(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return shorten(value)
