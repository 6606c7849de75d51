"""Payloads that stand on the log otherwise than the code gave them: encoded, or as references to the payload store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from weft.codec import opened
from weft.records import HistoryEvent, Payload

E = TypeVar("E", bound=HistoryEvent)

Fetch = Callable[[Payload], Payload]
"""What a payload on the log stands for. May block, and raise what is no matter of the code's."""


def as_it_is(payload: Payload) -> Payload:
    """Of a machine whose payloads stand for themselves."""
    return payload


def fetched(event: E, name: str, fetch: Fetch) -> E:
    """The event with that field as the user gave it. Raises what `fetch` raises."""
    return msgspec.structs.replace(event, **{name: opened(event, name, fetch)})
