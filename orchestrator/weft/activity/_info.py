"""What a running activity may know about itself."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class ActivityInfo:
    """`idempotency_key` is the same for every attempt: hand it to services that can refuse a repetition."""

    workflow_id: str
    run_id: str
    workflow: str
    activity: str
    activity_id: int
    attempt: int

    @property
    def idempotency_key(self) -> str:
        return f"{self.workflow_id}/{self.run_id}/{self.activity_id}"


current: ContextVar[ActivityInfo] = ContextVar("weft_activity")


def info() -> ActivityInfo:
    """About the attempt that is running. Raises UsageError outside of one."""
    try:
        return current.get()
    except LookupError:
        raise UsageError(
            "activity.info() works inside a running activity only; in a test, set weft.activity.current first"
        ) from None
