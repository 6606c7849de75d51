"""What must hold of every shape of workflow, whatever it does: a replay takes the recorded path, and no other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from tests.property.corpus.every import SHAPES
from tests.property.corpus.shapes import Shape, parameters
from tests.support.runs import DrivenRun, comparable_events
from weft.core import rebuild
from weft.errors import NondeterminismError
from weft.records import (
    ENDINGS,
    ActivityScheduled,
    HistoryEvent,
    TimerStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.workflow import Machine
from weft.workflow._compare import COMMAND_EVENTS, describe

FROM_OUTSIDE = (WorkflowTerminated, WorkflowTimedOut)
every_shape = pytest.mark.parametrize("shape", parameters(SHAPES))


def check_ending(shape: Shape, run: DrivenRun) -> None:
    assert run.status == shape.status, run.run.failure
    if shape.status == "completed":
        assert run.result == shape.result
    if shape.failure:
        assert run.failure.type == shape.failure


@every_shape
def test_shape_ends_as_it_should_when_it_is_replayed_after_every_event(shape: Shape) -> None:
    with shape.play() as run:
        check_ending(shape, run)


@every_shape
def test_shape_has_the_same_history_when_it_crashes_after_every_turn(shape: Shape) -> None:
    with shape.play() as run, shape.play(crashed=True) as crashed:
        check_ending(shape, crashed)
        assert comparable_events(crashed.events) == comparable_events(run.events)
        assert crashed.dispatched == run.dispatched, "a replay runs nothing again"


@every_shape
def test_history_is_contiguous_and_ends_once(shape: Shape) -> None:
    with shape.play() as run:
        assert [event.event_id for event in run.events] == list(range(1, len(run.events) + 1))
        endings = [index for index, event in enumerate(run.events) if isinstance(event, ENDINGS)]
        assert endings == [len(run.events) - 1]
        assert rebuild(run.run.workflow_id, run.events) == run.run


@every_shape
def test_replay_is_refused_when_any_command_of_the_history_differs(shape: Shape) -> None:
    """Each command of the history in turn is left out, doubled, or put in its neighbour's place."""
    with shape.play() as run:
        for history in changed_histories(run.events):
            with (
                closing(Machine(shape.workflow, run.run.workflow_id)) as machine,
                pytest.raises(NondeterminismError) as raised,
            ):
                machine.replay(history)
            assert raised.value.expected != raised.value.actual


def changed_histories(events: list[HistoryEvent]) -> Iterator[list[HistoryEvent]]:
    for index, event in enumerate(events):
        if not isinstance(event, COMMAND_EVENTS):
            continue
        before, after = events[:index], events[index + 1 :]
        if after and isinstance(after[0], FROM_OUTSIDE):
            continue  # what the code would have asked for no longer matters
        if not isinstance(event, ENDINGS):
            yield renumbered([*before, *after])
            yield renumbered([*before, event, event, *after])
        if isinstance(event, ActivityScheduled):
            yield [*before, msgspec.structs.replace(event, activity="another"), *after]
        if isinstance(event, TimerStarted):
            yield [*before, msgspec.structs.replace(event, due_ms=event.due_ms + 1), *after]
    for index, (first, second) in enumerate(itertools.pairwise(events)):
        if isinstance(first, COMMAND_EVENTS) and isinstance(second, COMMAND_EVENTS):
            assert describe(first) != describe(second)
            yield renumbered([*events[:index], second, first, *events[index + 2 :]])


def renumbered(events: list[HistoryEvent]) -> list[HistoryEvent]:
    return [
        msgspec.structs.replace(event, event_id=number)
        for number, event in enumerate(events, start=1)
    ]
