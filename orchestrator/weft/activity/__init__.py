"""Activities: `from weft import activity`, then `@activity.define`."""

from weft.activity._definition import Activity, define
from weft.activity._failure import to_activity_error, to_cause, to_failure
from weft.activity._helpers import ToolCall, human_activity, llm_activity, tool_activity
from weft.activity._info import (
    ActivityInfo,
    Pulse,
    current,
    current_pulse,
    heartbeat,
    info,
    is_cancelled,
)
from weft.activity._options import Retry, Timeouts, policy_of, to_ms

__all__ = [
    "Activity",
    "ActivityInfo",
    "Pulse",
    "Retry",
    "Timeouts",
    "ToolCall",
    "current",
    "current_pulse",
    "define",
    "heartbeat",
    "human_activity",
    "info",
    "is_cancelled",
    "llm_activity",
    "policy_of",
    "to_activity_error",
    "to_cause",
    "to_failure",
    "to_ms",
    "tool_activity",
]
