"""A workflow whose worker dies at every event in turn: it must end the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from weft.errors import Failure, UsageError
from weft.records import (
    Event,
    FailureInfo,
    UpdateFailed,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)
from weft.testing._environment import Crashes, Environment
from weft.testing._errors import CrashError
from weft.testing._handle import Handle
from weft.testing._published import Published
from weft.workflow import Workflow

Out = TypeVar("Out")
Play = Callable[[Environment, Handle[Any]], object]

CRASHES_MAX = 200
"""Of longer runs, so many places are tried, spread evenly: each is a run of its own."""
_ADVICE = (
    "A crash loses all but the history. Keep state in the workflow's own variables, and do everything that is not in "
    "the context in activities."
)


class _Turn(NamedTuple):
    """What one commit added to a history."""

    workflow_id: str
    run_id: str
    first_event_id: int
    last_event_id: int


class _Ending(NamedTuple):
    workflow_id: str
    outcome: str
    events: Sequence[Event]
    others: Mapping[str, Sequence[Event]]
    """The histories of its children, and theirs, by `namespace/workflow ID`; each of all runs of its chain."""
    has_run_inline_again: bool
    published: Sequence[Published]


def crash_everywhere(
    workflow: Workflow[Any, Out],
    input: Any = None,
    *,
    id: str = "",
    play: Play | None = None,
    strict: bool = False,
    crashes_max: int = CRASHES_MAX,
) -> Out | None:
    """Run a workflow once, then again and again with a crash at each of its events, and once with a crash at all.

    A crash comes before the event's turn is committed, so that the turn is taken again, and once more after it; all
    memory is dropped and rebuilt from the encoded history. Outcome and history must be those of the first run (after
    inline activities that ran again, the outcome only). `play(env, run)` is called in each run, right after the start:
    it gives fakes and sends signals. Real activities run in each run too.

    Returns the result, None when the run did not complete. Raises CrashError, which names the event, and in the first
    run whatever `Environment` raises.
    """
    if crashes_max < 1:
        raise UsageError(
            f"crashes_max={crashes_max}: at least one crash is needed to show anything."
        )
    turns: list[_Turn] = []

    def note(workflow_id: str, run_id: str, first_event_id: int, last_event_id: int) -> bool:
        turns.append(_Turn(workflow_id, run_id, first_event_id, last_event_id))
        return False

    def run(crashes: Crashes) -> tuple[_Ending, Out | None]:
        # What the first run has checked the others need not: crashes replay the code, and the endings are compared.
        is_first = crashes is note
        with Environment(strict=strict, replay_check=is_first) as environment:
            environment._crash_at(crashes)
            handle = environment.start(workflow, input, id=id)
            if play is not None:
                play(environment, handle)
            return _ending(environment, handle)

    expected, result = run(note)
    for turn in _spread(turns, crashes_max):
        _compare(workflow, expected, turn, partial(run, _only(turn)))
    _compare(workflow, expected, None, partial(run, _always))
    return result


def _always(_workflow_id: str, _run_id: str, _first_event_id: int, _last_event_id: int) -> bool:
    return True


def _only(turn: _Turn) -> Crashes:
    """Crash in this turn alone."""
    left = [turn]

    def crashes(workflow_id: str, run_id: str, first_event_id: int, _last_event_id: int) -> bool:
        if left and left[0][:3] == (workflow_id, run_id, first_event_id):
            left.clear()
            return True
        return False

    return crashes


def _ending(environment: Environment, handle: Handle[Out]) -> tuple[_Ending, Out | None]:
    result = None
    try:
        result = handle.result()
        outcome = "completed"
    except Failure as error:
        outcome = f"{handle.status}: {error.type}: {error.message}"
    events = [_comparable(event) for event in handle._owner.chain(handle.id)]
    last = events[-1]
    if isinstance(last, WorkflowCompleted):
        outcome = f"completed with {bytes(last.result).decode(errors='replace')}"
    environment.settle()
    others = {
        f"{namespace}/{workflow_id}": [_comparable(event) for event in owner.chain(workflow_id)]
        for namespace, owner in environment._owners.items()
        for workflow_id in owner.partition.cells
        if workflow_id != handle.id
    }
    again, published = environment._has_run_inline_again, environment.published()
    return _Ending(handle.id, outcome, events, others, again, published), result


def _compare(
    workflow: Workflow[Any, Any],
    expected: _Ending,
    turn: _Turn | None,
    run: Callable[[], tuple[_Ending, object]],
) -> None:
    where = _where(turn, expected)
    try:
        actual, _ = run()
    except Exception as error:
        raise CrashError(
            f"{workflow.name} does not come through a crash {where}: {error} {_ADVICE}"
        ) from error
    if actual.outcome != expected.outcome:
        raise CrashError(
            f"{workflow.name} ends otherwise after a crash {where}: {expected.outcome} without it, {actual.outcome} "
            f"with it. {_ADVICE}"
        )
    if not actual.has_run_inline_again and list(actual.events) != list(expected.events):
        raise CrashError(
            f"{workflow.name} has another history after a crash {where}: "
            f"{_difference(expected.events, actual.events)}. {_ADVICE}"
        )
    if not actual.has_run_inline_again and list(actual.published) != list(expected.published):
        raise CrashError(
            f"{workflow.name} publishes otherwise after a crash {where}: {len(expected.published)} records without it, "
            f"{len(actual.published)} with it, or other ones. {_ADVICE}"
        )
    if not actual.has_run_inline_again:
        _check_others(workflow.name, where, expected, actual)


def _where(turn: _Turn | None, expected: _Ending) -> str:
    if turn is None:
        return "at every event"
    found = [
        events
        for place, events in expected.others.items()
        if place.partition("/")[2] == turn.workflow_id
    ]
    events = expected.events if turn.workflow_id == expected.workflow_id or not found else found[0]
    first = turn.first_event_id
    starts = (
        place
        for place, event in enumerate(events)
        if isinstance(event, WorkflowStarted) and event.run_id == turn.run_id
    )
    place = next(starts, len(events)) + first - 1
    name = type(events[place]).__name__ if place < len(events) else "of another run"
    return f"at event {first} of {turn.workflow_id} ({name})"


def _check_others(name: str, where: str, expected: _Ending, actual: _Ending) -> None:
    """What it started must have come to the same as well."""
    for place in sorted({*expected.others, *actual.others}):
        one, other = expected.others.get(place, ()), actual.others.get(place, ())
        if list(one) != list(other):
            raise CrashError(
                f"Workflow {place}, which {name} has started, has another history after a crash {where}: "
                f"{_difference(one, other)}. {_ADVICE}"
            )


def _difference(expected: Sequence[Event], actual: Sequence[Event]) -> str:
    pairs = zip(expected, actual, strict=False)
    for one, other in pairs:
        if one != other:
            return f"event {one.event_id} was {one}, and is {other}"
    return f"it had {len(expected)} events, and has {len(actual)}"


def _spread(turns: Sequence[_Turn], count_max: int) -> Sequence[_Turn]:
    if len(turns) <= count_max:
        return turns
    return [turns[index * len(turns) // count_max] for index in range(count_max)]


def _comparable(event: Event) -> Event:
    """Without the stack trace of a failure, which is for people."""
    if isinstance(event, WorkflowFailed | UpdateFailed):
        return msgspec.structs.replace(event, failure=_without_stack(event.failure))
    return event


def _without_stack(failure: FailureInfo) -> FailureInfo:
    cause = _without_stack(failure.cause) if failure.cause is not None else None
    return msgspec.structs.replace(failure, stack="", cause=cause)
