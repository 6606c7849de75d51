"""Where a history may be cut for a reset, and what the next run is told of what came after the cut.

A turn stays whole: what the code was told, and all that it asked for then. So a cut lies at the end of a turn, or
before one whose event is told again, and whose commands the code is asked for anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from weft.codec import decode_messages, decode_signals
from weft.core import Run, apply, rebuild
from weft.errors import PayloadTooLargeError
from weft.records import (
    COMMANDS,
    ENDINGS,
    HELD,
    ActivityCompleted,
    ActivityFailed,
    AttemptCompleted,
    CancelRequested,
    CancelWorkflow,
    ChildCompleted,
    ChildDone,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildRunning,
    ChildStarted,
    Event,
    RecordDeferred,
    SignalDelivered,
    SignalOutcome,
    SignalReceived,
    SignalWorkflow,
    TimerFired,
    UpdateAccepted,
    UpdateWorkflow,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowPatched,
    WorkflowResumed,
    WorkflowUnblocked,
)
from weft.worker._next_run import opening_of
from weft.workflow import ACTIVATIONS

_OF_A_TURN = (
    *COMMANDS,
    WorkflowPatched,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
    WorkflowContinued,
)
"""What code asks for in a turn. A run may end otherwise too."""


class Told(NamedTuple):
    """What the next run is told: a record from `source`, or an event that nobody has to decide about."""

    source: str
    what: object


class Cut(NamedTuple):
    """Of a history. With a `problem` it cannot be cut there, and the rest says nothing."""

    kept: Sequence[Event] = ()
    begins_anew: bool = False
    """The code has seen nothing of what is kept."""
    again: Sequence[Told] = ()
    """In the order in which it came."""
    problem: str = ""


def cut(history: Sequence[Event], to_event: int, *, run_id: str) -> Cut:
    """The first `to_event` events of a whole history, for run `run_id`, which goes on from there."""
    opening_count = len(opening_of(history))
    last = len(history) - isinstance(history[-1], ENDINGS)
    if not opening_count <= to_event <= last:
        which = f"1 to {last}" if opening_count == 1 else f"{opening_count} to {last}"
        return Cut(problem=f"there is no event {to_event} to go back to: name one of {which}")
    is_activation = type(history[to_event - 1]) in ACTIVATIONS
    problem = "" if is_activation else _inside_a_turn(history, to_event)
    if problem:
        return Cut(problem=problem)
    kept = history[: max(to_event - is_activation, opening_count)]
    begins_anew = len(kept) == opening_count
    after = history[len(kept) :]
    run = rebuild("", kept)
    again = _again(run, after, to_event, run_id)
    problem = _held(run, kept) or _too_large(run, after) or _unheard(run, after, again)
    return Cut(problem=problem) if problem else Cut(kept, begins_anew, again)


def _inside_a_turn(history: Sequence[Event], to_event: int) -> str:
    """Why the event that follows this one belongs to it; empty when that begins something else."""
    if to_event == len(history) or not isinstance(history[to_event], _OF_A_TURN):
        return ""
    first = next(
        event.event_id for event in reversed(history[:to_event]) if type(event) in ACTIVATIONS
    )
    last = to_event
    while last < len(history) and isinstance(history[last], _OF_A_TURN):
        last += 1
    name = type(history[to_event - 1]).__name__
    text = (
        f"event {to_event} ({name}) is in the middle of a step: name event {first}, after which the code is asked "
        "anew what it wants"
    )
    is_ended = isinstance(history[last - 1], ENDINGS)
    return text if is_ended else f"{text}, or event {last}, with which the step is over"


def _held(run: Run, kept: Sequence[Event]) -> str:
    """Nothing is done while a run is held: what came then has its meaning from how it went on."""
    if run.status not in HELD:
        return ""
    before, folded = 0, Run("")
    for event in kept:
        before = event.event_id if apply(folded, event).status not in HELD else before
    return f"the run was {run.status} at event {len(kept)}: name event {before}, before it was"


def _too_large(run: Run, after: Sequence[Event]) -> str:
    """An activity whose input was too large has none in the history: it cannot be brought out anew."""
    for event in after:
        if (
            isinstance(event, ActivityFailed)
            and event.activity_id in run.activities
            and run.activities[event.activity_id].input == b"[]"
            and event.failure.type == PayloadTooLargeError.__name__
        ):
            return (
                f"the step that asked for activity {event.activity!r} is over with event {event.event_id}, where that "
                "was refused as too large: name an event before that step, or one after it"
            )
    return ""


def _unheard(run: Run, after: Sequence[Event], again: Sequence[Told]) -> str:
    """What other workflows will tell the former run alone."""
    heard = {told.what.child_id for told in again if isinstance(told.what, ChildDone)}
    restarted = {
        event.child_id for event in after if isinstance(event, ChildRetryScheduled | ChildRestarted)
    }
    for child in run.children.values():
        if child.child_id in restarted or not (child.waiting or child.child_id in heard):
            return (
                f"child {child.workflow_id!r}, which was open there, reports to the run that started it and to no "
                "other: name an event before its start, or one after its end"
            )
    confirmed = {told.what.send_id for told in again if isinstance(told.what, SignalOutcome)}
    if run.sends - confirmed:
        return (
            "a signal that it had sent to another workflow is not confirmed yet: ask again when it is, or name an "
            "event before it was sent"
        )
    return ""


def _again(run: Run, after: Sequence[Event], to_event: int, run_id: str) -> list[Told]:
    """What is told to run `run_id`, whose history begins as `run`."""
    again: list[Told] = []
    waiting: list[RecordDeferred] = []
    for event in after:
        if isinstance(event, RecordDeferred):
            waiting.append(event)
        elif isinstance(event, WorkflowUnblocked | WorkflowResumed):
            waiting.clear()  # what came of them follows
        elif _concerns(run, event) or event.event_id == to_event:
            again.append(_told(event, run_id))
    for deferred in waiting:
        again += _kept_for_later(run, deferred, run_id)
    return again


def _concerns(run: Run, event: Event) -> bool:
    """Whether it comes from outside, and the run does not hear of it otherwise."""
    if isinstance(event, ChildStarted | ChildCompleted | ChildFailed):
        return event.child_id in run.children
    if isinstance(event, SignalDelivered):
        return event.send_id in run.sends
    return isinstance(event, SignalReceived)


def _told(event: Event, run_id: str) -> Told:  # one for each event
    """As it came, but to this run."""
    match event:
        case SignalReceived():
            return Told("signals", SignalWorkflow(event.name, event.payload, event.signal_id))
        case CancelRequested():
            return Told("signals", CancelWorkflow(event.reason))
        case UpdateAccepted():
            return Told("signals", UpdateWorkflow(event.update, event.update_id, event.payload))
        case ActivityCompleted():
            completed = AttemptCompleted(run_id, event.activity_id, event.attempt, event.result)
            return Told("results", completed)
        case ChildStarted():
            place = (run_id, event.child_id, event.attempt)
            return Told("messages", ChildRunning(*place, event.run_id))
        case ChildCompleted():
            place = (run_id, event.child_id, event.attempt)
            return Told("messages", ChildDone(*place, "completed", event.run_id, event.result))
        case ChildFailed():
            done = ChildDone(
                run_id,
                event.child_id,
                event.attempt,
                event.status,
                event.run_id,
                failure=event.failure,
            )
            return Told("messages", done)
        case SignalDelivered():
            return Told("messages", SignalOutcome(run_id, event.send_id, event.problem))
        case _:
            assert isinstance(event, ActivityFailed | TimerFired), "the others are told above"
            return Told("", event)


def _kept_for_later(run: Run, deferred: RecordDeferred, run_id: str) -> list[Told]:
    """Of what a held run has not taken up: signals, and what other workflows say."""
    if deferred.source == "signals":
        request = decode_signals(deferred.record)
        return [Told("signals", request)] if isinstance(request, SignalWorkflow) else []
    if deferred.source == "messages":
        message = decode_messages(deferred.record)
        if isinstance(message, ChildRunning | ChildDone) and message.child_id in run.children:
            return [Told("messages", msgspec.structs.replace(message, run_id=run_id))]
        if isinstance(message, SignalOutcome) and message.send_id in run.sends:
            return [Told("messages", msgspec.structs.replace(message, run_id=run_id))]
    return []
