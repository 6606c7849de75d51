"""Parents and children: each child ran once for each time that it was asked for, and its end came back as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.histories import Histories, RunHistory
from weft.codec import decode_messages
from weft.core import OpenChild, Run, apply
from weft.records import (
    ENDED,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    Event,
    SignalDelivered,
    SignalReceived,
    SignalSent,
    StartChild,
    WorkflowCompleted,
    WorkflowStarted,
)

if TYPE_CHECKING:
    from tests.simulation.world import World

Attempt = tuple[str, int, int]
"""(parent's run ID, child ID, attempt)"""


def family_problems(world: World, histories: Histories) -> Iterator[str]:
    """Everything that is wrong between workflows."""
    started = _started(histories)
    yield from _runs(world, started)
    for run in histories.runs.values():
        if run.purged or run.replaced:
            continue
        yield from _ends(run, histories)
        yield from _parent_close(run, started)
        yield from _signals(run, histories)


def _started(histories: Histories) -> dict[Attempt, list[RunHistory]]:
    """The runs that were started for a parent."""
    found: dict[Attempt, list[RunHistory]] = {}
    for run in histories.runs.values():
        first = run.events()[0]
        if not isinstance(first, WorkflowStarted) or first.continued_from:
            continue
        if first.parent is not None:
            parent = first.parent
            key = (parent.run_id, parent.number, parent.attempt)
            found.setdefault(key, []).append(run)
    return found


def _runs(world: World, started: dict[Attempt, list[RunHistory]]) -> Iterator[str]:
    """One run for each start that was asked for: IDs are never taken here by anybody else."""
    asked: set[Attempt] = set()
    for record in world.recorder.facts(world.namespace.messages):
        message = decode_messages(record.value)
        if isinstance(message, StartChild):
            parent = message.parent
            asked.add((parent.run_id, parent.number, parent.attempt))
    counts = Counter({key: len(runs) for key, runs in started.items()})
    yield from (f"child {key} was run {n} times" for key, n in counts.items() if n > 1)
    yield from (f"child {key} was never run" for key in asked - set(started))
    yield from (f"child {key} was run, and nobody asked for it" for key in set(started) - asked)


def _ends(run: RunHistory, histories: Histories) -> Iterator[str]:
    """What a parent was told of its children is what became of them."""
    for event in run.events():
        if not isinstance(event, ChildCompleted | ChildFailed):
            continue
        child = histories.runs.get(event.run_id)
        where = f"{run.workflow_id}, run {run.run_id}, event {event.event_id}"
        if child is None:
            yield f"{where}: run {event.run_id} of its child is not there"
            continue
        first, last = child.events()[0], child.events()[-1]
        assert isinstance(first, WorkflowStarted), "every history begins with it"
        known = first.parent
        if known is None or (known.run_id, known.number, known.attempt) != (
            run.run_id,
            event.child_id,
            event.attempt,
        ):
            yield f"{where}: it is the end of run {event.run_id}, which belongs to {known}"
        if isinstance(event, ChildFailed) and event.status != child.status:
            yield f"{where}: the child is {child.status}, not {event.status}"
        if isinstance(event, ChildCompleted) and (
            not isinstance(last, WorkflowCompleted) or bytes(last.result) != bytes(event.result)
        ):
            yield f"{where}: the child did not give {bytes(event.result)!r}"


def _parent_close(run: RunHistory, started: dict[Attempt, list[RunHistory]]) -> Iterator[str]:
    """The children that were open when their parent ended have come to what was asked for."""
    if run.status not in ENDED:
        return
    events = run.events()
    for child in _open_at_the_end(run.workflow_id, events):
        if child.waiting or child.cancel_requested:
            continue
        for one in started.get((run.run_id, child.child_id, child.attempt), ()):
            was_asked = any(
                isinstance(event, CancelRequested) and event.reason.startswith("its parent ")
                for event in one.events()
            )
            was_ended = one.head is not None and one.head.reason.startswith("its parent ")
            by_itself = one.status in {"completed", "failed"}
            right = {
                "terminate": by_itself or (one.status == "terminated" and was_ended),
                "cancel": by_itself or was_asked,
                "abandon": not (was_asked or was_ended),
            }
            if not right[child.parent_close]:
                yield f"{one.workflow_id}: it is {one.status}, and its parent_close is {child.parent_close}"


def _open_at_the_end(workflow_id: str, events: list[Event]) -> list[OpenChild]:
    run = Run(workflow_id)
    for event in events[:-1]:
        apply(run, event)
    return list(run.children.values())


def _signals(run: RunHistory, histories: Histories) -> Iterator[str]:
    """A signal that was delivered stands in a history, once; see `checks` for twice."""
    sent = {event.send_id: event for event in run.events() if isinstance(event, SignalSent)}
    for event in run.events():
        if not isinstance(event, SignalDelivered):
            continue
        signal = sent.pop(event.send_id, None)
        if signal is None:
            yield f"{run.workflow_id}: signal {event.send_id} was answered and not sent, or twice"
            continue
        signal_id = f"{run.run_id}/{event.send_id}"
        received = sum(
            isinstance(one, SignalReceived) and one.signal_id == signal_id
            for other in histories.runs.values()
            if other.workflow_id == signal.workflow_id
            for one in other.events()
        )
        if received != (0 if event.problem else 1):
            yield f"{run.workflow_id}: signal {signal_id} was received {received} times ({event.problem!r})"
