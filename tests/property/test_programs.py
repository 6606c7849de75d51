"""Random workflows under random inputs: replay, crash and history hold for all of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.programs import (
    Program,
    Step,
    interpret,
    play,
    play_to_the_end,
    random_inputs,
    random_program,
)
from tests.support.runs import DrivenRun, comparable_events
from weft.core import rebuild
from weft.records import ENDINGS, HistoryEvent, SignalReceived, TimerFired, TimerStarted

timeouts = st.sampled_from((0, 0, 2500))


def check_history(events: list[HistoryEvent]) -> None:
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert [isinstance(event, ENDINGS) for event in events] == [False] * (len(events) - 1) + [True]
    signal_ids = Counter(event.signal_id for event in events if isinstance(event, SignalReceived))
    del signal_ids[""]
    assert all(count == 1 for count in signal_ids.values())
    due_ms = {event.timer_id: event.due_ms for event in events if isinstance(event, TimerStarted)}
    for event in events:
        if isinstance(event, TimerFired):
            assert event.time_ms >= due_ms[event.timer_id], "never early"


@pytest.mark.requirement("R1-28", "R2-2", "R2-7")
@settings(max_examples=200)
@given(random_program, random_inputs, timeouts)
def test_replay_stands_where_the_live_run_stands_after_every_event(
    program: Program, steps: list[Step], timeout_ms: int
) -> None:
    with DrivenRun(interpret, program, timeout=timeout_ms) as run:
        play(run, steps)
        play_to_the_end(run)
        check_history(run.events)
        assert rebuild(run.run.workflow_id, run.events) == run.run


@settings(max_examples=75)
@given(random_program, random_inputs, timeouts)
def test_history_is_the_same_when_every_turn_ends_in_a_crash(
    program: Program, steps: list[Step], timeout_ms: int
) -> None:
    with (
        DrivenRun(interpret, program, timeout=timeout_ms, replayed=False) as run,
        DrivenRun(interpret, program, timeout=timeout_ms, crashed=True) as crashed,
    ):
        for each in (run, crashed):
            play(each, steps)
            play_to_the_end(each)
        assert comparable_events(crashed.events) == comparable_events(run.events)
        assert crashed.dispatched == run.dispatched


@settings(max_examples=50)
@given(random_program, random_program, random_inputs, random_inputs)
def test_runs_do_not_disturb_one_another_when_their_steps_alternate(
    program: Program, other_program: Program, steps: list[Step], other_steps: list[Step]
) -> None:
    def history(mine: Program, others: Program | None) -> list[HistoryEvent]:
        other = DrivenRun(interpret, others, run_id="run-2", replayed=False) if others else None
        with DrivenRun(interpret, mine, replayed=False) as run:
            for index, step in enumerate(steps):
                play(run, [step])
                if other is not None:
                    play(other, other_steps[index : index + 1])
            play_to_the_end(run)
            if other is not None:
                other.close()
            return comparable_events(run.events)

    assert history(program, other_program) == history(program, None)
