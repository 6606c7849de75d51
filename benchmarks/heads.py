"""State records of open workflows, as their owner would have written them: for loading millions that never ran."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from benchmarks.workloads import echo_inline, patient

from weft.codec import encode_payload
from weft.records import (
    ActivityCompleted,
    ActivityScheduled,
    HistoryEvent,
    SignalReceived,
    WorkflowStarted,
)
from weft.worker._cell import Cell

UPDATES = 10
_TEMPLATES = 500
"""Different contents: what repeats all the time would be compressed as no real state is."""
_RUN_ID = "x" * 16
"""Stands in a template for the run ID, which is as long."""
_STARTED_MS = 1_790_000_000_000
_NOTE_LENGTH = 70
_OTHER = "note"
"""A signal that the workflow does not ask for: it is kept, and makes a new head."""


def _events(number: int) -> Iterator[HistoryEvent]:
    """The history of a `patient` that has taken its step, and then `UPDATES` signals."""
    note = hashlib.sha512(str(number).encode()).hexdigest()[:_NOTE_LENGTH]
    text = f'{{"order":"A-{number:06d}","note":"{note}"}}'
    data = encode_payload(text)
    clock_ms = _STARTED_MS + number
    yield WorkflowStarted(1, clock_ms, _RUN_ID, patient.name, input=data, request_id=f"r-{number}")
    name, arguments = echo_inline.name, encode_payload([text])
    yield ActivityScheduled(2, clock_ms, 1, name, arguments, inline=True)
    yield ActivityCompleted(3, clock_ms + 5, 1, name, 1, data)
    for update in range(1, UPDATES + 1):
        signal_id = f"{number:016x}-{update}"
        yield SignalReceived(3 + update, clock_ms + 1000 * update, _OTHER, signal_id=signal_id)


def _versions(number: int) -> list[bytes]:
    """The head after the step, and after each of the signals: encoded by the worker's own cell."""
    cell = Cell(f"patient-{number}")
    cell.new_run()
    heads = []
    for event in _events(number):
        cell.append(event)
        if event.event_id >= 3:
            heads.append(cell.encode_head())
    return heads


def run_id_of(number: int) -> str:
    return f"{number:016x}"


def workflow_id_of(number: int) -> str:
    return f"patient-{number:08d}"


class Heads:
    """The heads of any number of workflows: some hundred templates, each workflow with its own run ID."""

    def __init__(self) -> None:
        self._templates = [_versions(number) for number in range(_TEMPLATES)]
        assert all(template.count(_RUN_ID.encode()) == 2 for template in self._templates[0])

    def head(self, number: int, update: int = UPDATES) -> bytes:
        """Of workflow `number`, after so many of its updates."""
        template = self._templates[number % _TEMPLATES][update]
        return template.replace(_RUN_ID.encode(), run_id_of(number).encode())
