"""What a running activity may know about itself, and what it may say."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from typing_extensions import TypeForm

from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError
from weft.records import HEARTBEAT_BYTES_MAX, Payload

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ActivityInfo:
    """`idempotency_key` is the same for every attempt: hand it to services that can refuse a repetition.

    `heartbeat_details` is what a former attempt last gave to `heartbeat`, as JSON; None when there was nothing.
    """

    workflow_id: str
    run_id: str
    workflow: str
    activity: str
    activity_id: int
    attempt: int
    heartbeat_details: Any = None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt, and another for every other activity."""
        return f"{self.workflow_id}/{self.run_id}/{self.activity_id}"

    def details_as(self, hint: TypeForm[T]) -> T | None:
        """`heartbeat_details` as `hint`; None when there are none. Raises UsageError when they do not fit it."""
        if self.heartbeat_details is None:
            return None
        details: T = decode_payload(encode_payload(self.heartbeat_details), hint)
        return details


class Pulse(Protocol):
    """The worker's side of an attempt that runs."""

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the attempt any more."""

    def beat(self, details: Payload | None) -> None:
        """The code says that it gets on."""


current: ContextVar[ActivityInfo] = ContextVar("weft_activity")
"""What `info` tells: set it in a test that calls an activity's function itself."""
current_pulse: ContextVar[Pulse | None] = ContextVar("weft_activity_pulse", default=None)


def info() -> ActivityInfo:
    """About the attempt that is running. Raises UsageError outside of one."""
    try:
        return current.get()
    except LookupError:
        raise UsageError(
            "activity.info(), heartbeat() and is_cancelled() work inside a running activity only (a thread of your own "
            "needs its context: contextvars.copy_context().run); in a test, set weft.activity.current first"
        ) from None


def heartbeat(details: object = None) -> None:
    """Say that the activity gets on, as `heartbeat_timeout` demands, and how far it is.

    `details`, any JSON value, is what the next attempt finds in `info().heartbeat_details`; None leaves what was said
    before. Cheap enough for every step of a loop: the worker passes on the newest details every few seconds. Raises
    `asyncio.CancelledError` once nobody waits for this attempt any more; that is how a plain function hears of it (an
    async one is cancelled where it waits).

    Raises UsageError when the details cannot be written as JSON or are too large, and outside of an activity.
    """
    info()
    data = None if details is None else encode_payload(details)
    if data is not None and len(bytes(data)) > HEARTBEAT_BYTES_MAX:
        raise UsageError(
            f"the details of a heartbeat have {len(bytes(data)):,} bytes; {HEARTBEAT_BYTES_MAX:,} is the most"
        )
    pulse = current_pulse.get()
    if pulse is None:
        return  # a test that has set `current`
    pulse.beat(data)
    if pulse.cancelled:
        raise asyncio.CancelledError("nobody waits for this attempt any more")


def is_cancelled() -> bool:
    """Whether nobody waits for this attempt any more: for plain functions that want to look. UsageError outside."""
    info()
    pulse = current_pulse.get()
    return pulse is not None and pulse.cancelled
