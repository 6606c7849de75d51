"""The updates that a run has in flight, as its history tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from weft.codec import decode_signals
from weft.records import (
    ENDINGS,
    Event,
    RecordDeferred,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
    WorkflowResumed,
    WorkflowUnblocked,
)


@dataclass(frozen=True, slots=True)
class UpdateDescription:
    """An update in flight: nobody has been told yet what came of it.

    `accepted`: the run's code has let it pass, and its handler is under way. `kept`: it came while the run was
    suspended or blocked, and is checked when that goes on. A run that goes on checks at once. `since` is when that came
    to be.
    """

    update_id: str
    update: str
    status: Literal["accepted", "kept"]
    since: datetime


def open_updates(events: Iterable[Event]) -> tuple[UpdateDescription, ...]:
    """Those in flight after these events, the longest first. An ended run has none."""
    found: dict[str, UpdateDescription] = {}
    for event in events:
        match event:
            case UpdateAccepted():
                found[event.update_id] = UpdateDescription(
                    event.update_id, event.update, "accepted", _time(event)
                )
            case UpdateCompleted() | UpdateFailed():
                found.pop(event.update_id, None)
            case RecordDeferred(source="signals"):
                record = decode_signals(event.record)
                if isinstance(record, UpdateWorkflow):
                    # Who waits for long sends it again: a copy says nothing new.
                    found.setdefault(
                        record.id, UpdateDescription(record.id, record.update, "kept", _time(event))
                    )
            case WorkflowResumed() | WorkflowUnblocked():
                # What was kept is checked now; that it passed is told by an event of its own, which comes next.
                found = {key: one for key, one in found.items() if one.status == "accepted"}
            case _ if isinstance(event, ENDINGS):
                return ()
    return tuple(found.values())


def _time(event: Event) -> datetime:
    return datetime.fromtimestamp(event.time_ms / 1000, UTC)
