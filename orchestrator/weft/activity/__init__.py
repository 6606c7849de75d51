"""Activities: `from weft import activity`, then `@activity.define`."""

from weft.activity._definition import Activity, define
from weft.activity._failure import to_activity_error, to_failure
from weft.activity._info import ActivityInfo, current, info
from weft.activity._options import Retry, to_ms

__all__ = [
    "Activity",
    "ActivityInfo",
    "Retry",
    "current",
    "define",
    "info",
    "to_activity_error",
    "to_failure",
    "to_ms",
]
