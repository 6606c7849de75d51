"""The run that continues another one: its first event, and what it takes over.

Made of the former run's first event, so whatever a chain keeps (its parent, its request, its time) goes on. Signals
that the former run has not taken follow as events of the new one, before its code begins. What is handed on is bounded:
a chain remembers the IDs of its newest signals and updates, of each as many as `SIGNAL_IDS_MAX` and
`SIGNAL_IDS_BYTES_MAX` allow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from weft.codec import references_in
from weft.core import Run
from weft.records import (
    HistoryEvent,
    Payload,
    SignalReceived,
    WorkflowContinued,
    WorkflowStarted,
)
from weft.tracing import trace_after

SIGNAL_IDS_MAX = 10_000
SIGNAL_IDS_BYTES_MAX = 256 * 1024
CONTINUES_MAX = 1_000
"""Runs of a chain in one step: code that waits for nothing must come to an end."""


def opening_after(
    former: WorkflowStarted,
    run: Run,
    continued: WorkflowContinued,
    signals: Collection[SignalReceived],
    *,
    version: str,
    custom_status: Payload,
) -> list[HistoryEvent]:
    """The events that the next run begins with. `run` is the former one, which has ended; `signals` go on."""
    taken_on = signals if continued.keep_signals else ()
    carried_ids = {signal.signal_id for signal in taken_on}
    started = msgspec.structs.replace(
        former,
        event_id=1,
        time_ms=continued.time_ms,
        run_id=continued.next_run_id,
        version=version,
        input=continued.input,
        continued_from=run.run_id,
        deadline_ms=run.deadline_ms,
        carried_count=len(taken_on),
        signal_ids=_newest(one for one in reversed(run.signal_ids) if one not in carried_ids),
        update_ids=_newest(reversed(run.updates)),
        custom_status=custom_status,
        trace=trace_after(former),
        seed_run_id="",
    )
    events: list[HistoryEvent] = [started]
    for signal in taken_on:
        event_id = len(events) + 1
        events.append(msgspec.structs.replace(signal, event_id=event_id, time_ms=continued.time_ms))
    return events


def opening_of(history: Sequence[HistoryEvent]) -> Sequence[HistoryEvent]:
    """The events of a history that are there before its code begins."""
    started = history[0]
    assert isinstance(started, WorkflowStarted), "every history begins with it"
    return history[: 1 + started.carried_count]


def unneeded(stored: Iterable[str], events: Iterable[object]) -> list[str]:
    """Those keys of a former run's payloads in the store that the next one, which begins so, does not refer to."""
    needed = {reference.key for event in events for reference in references_in(event)}
    return [key for key in stored if key not in needed]


def _newest(ids: Iterator[str]) -> tuple[str, ...]:
    """Of IDs, newest first, as many as a chain remembers; oldest first."""
    kept: list[str] = []
    left_bytes = SIGNAL_IDS_BYTES_MAX
    for one in ids:
        left_bytes -= len(one.encode()) + 3
        if left_bytes < 0 or len(kept) == SIGNAL_IDS_MAX:
            break
        kept.append(one)
    return tuple(reversed(kept))
