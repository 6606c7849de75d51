"""What may go into records: of a step, of a history, of what comes in.

A record that its topic does not take would be refused for good, and its partition with it: so everything is bounded
before it is appended. A head holds its own fields, a reason, and a tail of one event at least; the sums stay below
`OUTPUT_BYTES_MAX`, which a worker makes sure of when it starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

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
from weft.errors import PayloadTooLargeError
from weft.log import LogRecord
from weft.payloads import PAYLOAD_BYTES_MIN, Payloads
from weft.records import NULL, FailureInfo, Payload
from weft.topics import OUTPUT_BYTES_MAX

RECORD_BYTES_MAX = OUTPUT_BYTES_MAX * 3 // 8
"""The largest record that is taken up: above what the topics take unless somebody has raised their limits."""
EVENT_BYTES_MAX = OUTPUT_BYTES_MAX // 2
DEADLETTER_BYTES_MAX = OUTPUT_BYTES_MAX * 3 // 4
"""Key, value and headers of a record that is put aside as it came."""
STEP_BYTES_MAX = 64 * 1024 * 1024
"""Of the payloads that a workflow asks for in one step, as records: they all leave in one transaction."""
_NO_INPUT = Payload(b"[]")

Refused = tuple[Command, FailureInfo]
"""(what was asked for, why it cannot be brought out)"""


def size_of(record: LogRecord) -> int:
    """Key, value and headers together, as the topics count."""
    size_bytes = len(record.value or b"") + len(record.key or b"")
    if record.headers:
        size_bytes += sum(len(name) + len(content) for name, content in record.headers)
    return size_bytes


def is_within(commands: Sequence[Command], bytes_max: int) -> bool:
    """Whether all that is asked for goes into records as it is. The usual case, and cheap to tell."""
    size_bytes = 0
    for command in commands:
        kind = type(command)
        if kind is ScheduleActivity or kind is ScheduleChild or kind is ContinueWorkflow:
            size_bytes += len(command.input)  # type: ignore[union-attr]  # its type was just looked at
        elif kind is SendSignal:
            size_bytes += len(command.payload)  # type: ignore[union-attr]
        elif kind in {CompleteWorkflow, CompleteUpdate}:
            size_bytes += len(command.result)  # type: ignore[union-attr]
    return size_bytes <= bytes_max


def bounded(
    commands: Sequence[Command], payloads: Payloads, *, workflow_id: str, run_id: str
) -> tuple[Sequence[Command], list[Refused]]:
    """The commands as a history takes them, and those among them that must fail.

    Large payloads are stored aside, which may block. What is too large for that fails: an activity, child or signal for
    the workflow's code to see, a result together with the run. Raises PayloadError when the store does not take one.
    """
    return _Step(payloads, workflow_id, run_id).bounded(commands)


class _Step:
    """One step that asks for much."""

    def __init__(self, payloads: Payloads, workflow_id: str, run_id: str) -> None:
        self._payloads = payloads
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._size_bytes = 0

    def bounded(self, commands: Sequence[Command]) -> tuple[list[Command], list[Refused]]:
        kept: list[Command] = []
        refused: list[Refused] = []
        for command in commands:
            try:
                kept.append(self._bounded(command))
            except PayloadTooLargeError as error:
                failure = FailureInfo(type(error).__name__, str(error), non_retryable=True)
                if isinstance(command, CompleteUpdate):
                    kept.append(FailUpdate(command.update, command.update_id, failure))
                elif isinstance(command, CompleteWorkflow | ContinueWorkflow):
                    kept.append(FailWorkflow(failure))
                else:
                    kept.append(_emptied(command))
                    refused.append((command, failure))
        return kept, refused

    def _bounded(self, command: Command) -> Command:
        if isinstance(command, ScheduleActivity):
            what = f"The input of activity {command.activity}"
            return msgspec.structs.replace(command, input=self._place(command.input, what))
        if isinstance(command, ScheduleChild):
            what = f"The input of child {command.workflow_id!r}"
            return msgspec.structs.replace(command, input=self._place(command.input, what))
        if isinstance(command, SendSignal):
            what = f"The signal {command.name!r} to workflow {command.workflow_id!r}"
            return msgspec.structs.replace(command, payload=self._place(command.payload, what))
        if isinstance(command, ContinueWorkflow):
            what = f"The input of the next run of workflow {self._workflow_id!r}"
            return msgspec.structs.replace(command, input=self._place(command.input, what))
        if isinstance(command, CompleteWorkflow):
            what = f"The result of workflow {self._workflow_id!r}"
            return CompleteWorkflow(self._place(command.result, what))
        if isinstance(command, CompleteUpdate):
            what = f"The result of update {command.update!r} of workflow {self._workflow_id!r}"
            return msgspec.structs.replace(command, result=self._place(command.result, what))
        return command

    def _place(self, payload: Payload, what: str) -> Payload:
        size_bytes = len(payload)
        if size_bytes > self._payloads.bytes_max or not self._has_room(size_bytes):
            if size_bytes <= self._payloads.bytes_max and self._payloads.store is None:
                raise PayloadTooLargeError(
                    f"{what}, {size_bytes:,} bytes as JSON, comes on top of {self._size_bytes:,} that its workflow "
                    f"asked for in the same step; {STEP_BYTES_MAX:,} is the most. Ask for fewer at a time, or give the "
                    "workers and the clients a payload store (payload_store=..., --payload-store, WEFT_PAYLOAD_STORE)."
                )
            payload = self._payloads.store_aside(
                payload, workflow_id=self._workflow_id, scope=self._run_id, what=what
            )
        self._size_bytes += len(payload)
        return payload

    def _has_room(self, size_bytes: int) -> bool:
        return size_bytes <= PAYLOAD_BYTES_MIN or self._size_bytes + size_bytes <= STEP_BYTES_MAX


def _emptied(command: Command) -> Command:
    """The command as it stands in the history when what it carries is too large for that."""
    if isinstance(command, ScheduleActivity):
        return msgspec.structs.replace(command, input=_NO_INPUT)
    if isinstance(command, ScheduleChild):
        return msgspec.structs.replace(command, input=NULL)
    assert isinstance(command, SendSignal), "no other command carries anything"
    return msgspec.structs.replace(command, payload=NULL)
