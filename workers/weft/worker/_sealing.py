"""Payloads of one run on their way to the log: encoded at the turn, so that the core and the log see no others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec

from weft.codec import opened, sealed_field
from weft.core import (
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    FailUpdate,
    FailWorkflow,
    ScheduleActivity,
    ScheduleChild,
    SendSignal,
)
from weft.payloads import Payloads
from weft.records import HistoryEvent, Payload
from weft.workflow import Machine

E = TypeVar("E", bound=HistoryEvent)

_FIELDS: dict[type, str] = {
    ScheduleActivity: "input",
    ScheduleChild: "input",
    SendSignal: "payload",
    CompleteUpdate: "result",
    CompleteWorkflow: "result",
    ContinueWorkflow: "input",
}


def sealed(commands: Sequence[Command], payloads: Payloads, workflow_id: str) -> list[Command]:
    """What the code asked for, with its payloads as they may stand on the log. Raises PayloadError."""
    return [_sealed(command, payloads, workflow_id) for command in commands]


def _sealed(command: Command, payloads: Payloads, workflow_id: str) -> Command:
    if isinstance(command, FailWorkflow | FailUpdate):
        failure = payloads.encode_failure(command.failure, workflow_id)
        return msgspec.structs.replace(command, failure=failure)
    name = _FIELDS.get(type(command))
    if name is None:
        return command
    payload = payloads.encode(getattr(command, name), workflow_id)
    return msgspec.structs.replace(command, **{name: payload})


def sealed_status(machine: Machine, payloads: Payloads) -> Payload:
    """What the code last said of itself, as it may stand in a head. Encoded once: each time it comes out otherwise."""
    plain, on_log = machine.status_on_log
    if machine.custom_status is not plain:
        plain = machine.custom_status
        on_log = payloads.encode(plain, machine.workflow_id)
        machine.status_on_log = (plain, on_log)
    return on_log


def readable(event: E, payloads: Payloads, workflow_id: str) -> E:
    """For those who are told what happens: decoded. What lies in the store stays there."""
    name = sealed_field(event) if payloads.has_codecs else ""
    if not name:
        return event
    show = partial(payloads.readable, workflow_id=workflow_id)
    return msgspec.structs.replace(event, **{name: opened(event, name, show)})
