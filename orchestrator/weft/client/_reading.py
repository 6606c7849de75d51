"""Events as their reader gets them: decoded, and what lies in the payload store fetched if that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from weft.client._session import Session
from weft.codec import is_stored, open_failure, opened, sealed_field
from weft.records import Event, FailureInfo, Payload, Reply


async def filled(session: Session, workflow_id: str, events: Sequence[Event]) -> list[Event]:
    """With every payload as the user gave it. Raises PayloadError, PayloadDecodeError."""
    found = []
    for event in events:
        name = sealed_field(event)
        value = getattr(event, name) if name else None
        if isinstance(value, Payload):
            payload = await session.open_payload(workflow_id, value)
            found.append(msgspec.structs.replace(event, **{name: payload}))
        elif isinstance(value, FailureInfo):
            failure = session.payloads.decode_failure(value, workflow_id)
            found.append(msgspec.structs.replace(event, failure=failure))
        else:
            found.append(event)
    return found


def readable(session: Session, workflow_id: str, events: Sequence[Event]) -> list[Event]:
    """Decoded as far as this process can. Nothing is fetched."""
    show = partial(session.payloads.readable, workflow_id=workflow_id)
    return [_shown(event, show) for event in events]


def readable_reply(session: Session, workflow_id: str, reply: Reply) -> Reply:
    """With its failure decoded as far as this process can."""
    if reply.failure is None:
        return reply
    show = partial(session.payloads.readable, workflow_id=workflow_id)
    return msgspec.structs.replace(reply, failure=open_failure(reply.failure, show))


def _shown(event: Event, show: partial[Payload]) -> Event:
    name = sealed_field(event)
    if not name or (name != "failure" and is_stored(getattr(event, name))):
        return event
    return msgspec.structs.replace(event, **{name: opened(event, name, show)})
