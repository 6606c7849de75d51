"""What goes into an activity's function and comes out of it, in whichever process that runs."""

from __future__ import annotations

import inspect
from typing import Any

from weft.activity import Activity
from weft.errors import UsageError
from weft.records import Payload


def required_count(activity: Activity[..., Any]) -> int:
    """How many arguments it cannot do without."""
    return sum(
        parameter.default is inspect.Parameter.empty
        for parameter in inspect.signature(activity.function).parameters.values()
    )


def decode_arguments(activity: Activity[..., Any], count_min: int, data: Payload) -> list[Any]:
    """Raises UsageError for a wrong input or too few arguments, and whatever a validator of the user's raises."""
    arguments = activity.decode_input(data)
    if len(arguments) < count_min:
        raise UsageError(
            f"activity {activity.name} needs {count_min} arguments, got {len(arguments)}"
        )
    return arguments


def refuse_coroutine(activity: str, value: object) -> None:
    """Raises UsageError when a plain function returned one."""
    if inspect.iscoroutine(value):
        value.close()
        raise UsageError(
            f"activity {activity} is a plain function and returned a coroutine: define it with `async def`"
        )


def wrong_result(activity: str, error: Exception) -> UsageError:
    """Why what the function returned cannot be stored."""
    return UsageError(f"the result of activity {activity}: {error}")
