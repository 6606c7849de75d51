"""A run that a test drives by hand: core and machine together, in memory, under a virtual clock.

By default every turn is *replayed*: a fresh machine repeats the history so far (through the codec, as it comes from the
log), must stand where the live one stands, and must answer the next activation with the same commands. After every
event the run is rebuilt from the history and must equal the live one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

import msgspec

from weft.codec import decode_events, decode_payload, encode, encode_payload, join_events
from weft.core import (
    Command,
    Decision,
    Due,
    FailUpdate,
    FailWorkflow,
    Input,
    Run,
    apply,
    decide,
    decide_commands,
    decide_start,
    next_due_ms,
    rebuild,
)
from weft.records import (
    AttemptCompleted,
    AttemptFailed,
    AttemptStarted,
    CancelWorkflow,
    FailureInfo,
    HistoryEvent,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
    WorkflowFailed,
)
from weft.workflow import ACTIVATIONS, Machine, Workflow

START_MS = 1_700_000_000_000
WORKFLOW_ID = "order-42"
RUN_ID = "run-1"
SECOND_MS = 1000
DAY_MS = 24 * 3600 * 1000


@contextmanager
def closed_on_error(run: DrivenRun) -> Iterator[None]:
    """A failing test leaves no waiting code behind, which would complain in a later one."""
    try:
        yield
    except BaseException:
        run.close()
        raise


def to_ms(duration: timedelta | int) -> int:
    """A duration, or whole milliseconds, in milliseconds."""
    return round(duration.total_seconds() * 1000) if isinstance(duration, timedelta) else duration


def place_of(machine: Machine) -> dict[str, Any]:
    """Where a machine's code stands: all that decides what it will do next, as comparable values."""
    return {
        "line": machine.code_line(),
        "now_ms": machine.loop.now_ms,
        "activities": list(machine.activities.open),
        "timers": list(machine.timers.open),
        "signals": {
            name: [bytes(signal.payload) for signal in signals]
            for name, signals in machine.signals.kept.items()
        },
        "receivers": machine.signals.receiver_counts,
        "tasks": sum(not task.done() for task in machine.loop._tasks),
        "next_command": machine.commands.last_number,
        "random": machine.random.getstate() if "random" in vars(machine) else None,
        "ended": machine.commands.ended,
        "patched": dict(machine.patches.told),
        "handlers": [*machine.signals.handlers, *machine.updates.handlers],
        "handlers_under_way": dict(machine.handler_calls.under_way),
        "custom_status": bytes(machine.custom_status),
    }


def comparable(commands: Sequence[Command]) -> list[Command]:
    """Commands without the stack traces of failures, which are for people."""
    return [
        msgspec.structs.replace(command, failure=_without_stack(command.failure))
        if isinstance(command, FailWorkflow | FailUpdate)
        else command
        for command in commands
    ]


def comparable_events(events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """A history without the stack traces of failures."""
    return [
        msgspec.structs.replace(event, failure=_without_stack(event.failure))
        if isinstance(event, WorkflowFailed | UpdateFailed)
        else event
        for event in events
    ]


def _without_stack(failure: FailureInfo) -> FailureInfo:
    return FailureInfo(
        type=failure.type,
        message=failure.message,
        details=failure.details,
        non_retryable=failure.non_retryable,
        cause=_without_stack(failure.cause) if failure.cause else None,
    )


class DrivenRun:
    """One run. `events` is its history, `dispatched` the (activity ID, attempt) that the owner would bring out."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        value: object = None,
        *,
        workflow_id: str = WORKFLOW_ID,
        run_id: str = RUN_ID,
        timeout: timedelta | int = 0,
        replayed: bool = True,
        crashed: bool = False,
    ) -> None:
        self.workflow = workflow
        self.now_ms = START_MS
        self.draw = 0.5
        self.events: list[HistoryEvent] = []
        self.dispatched: list[tuple[int, int]] = []
        self.run = Run(workflow_id)
        self.machine = self._new_machine(workflow)
        self._replayed = replayed or crashed
        self._crashed = crashed
        self._encoded: list[bytes] = []
        self._replica: Machine | None = None
        if self._replayed:
            self._replica = self._new_machine(workflow)
        record = StartWorkflow(
            workflow.name, "request-1", encode_payload(value), timeout_ms=to_ms(timeout)
        )
        started = decide_start(record, run_id=run_id, version=workflow.version, now_ms=self.now_ms)
        with closed_on_error(self):
            self._turn(started)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the code."""
        self.machine.close()
        if self._replica is not None:
            self._replica.close()

    # What a test looks at.

    @property
    def status(self) -> str:
        return self.run.status

    @property
    def result(self) -> Any:
        """The result of a completed run."""
        assert self.run.status == "completed", f"{self.run.status}: {self.run.failure}"
        return decode_payload(self.run.result)

    @property
    def failure(self) -> FailureInfo:
        """The failure of a failed run."""
        assert self.run.failure is not None, f"{self.run.status}"
        return self.run.failure

    @property
    def open(self) -> list[str]:
        """Names of the activities that the run waits for, in the order in which they were scheduled."""
        return [activity.name for activity in self.run.activities.values()]

    @property
    def inputs(self) -> list[Any]:
        """Their arguments."""
        return [decode_payload(activity.input) for activity in self.run.activities.values()]

    @property
    def timers(self) -> list[int]:
        """When the open timers are due, in ms from the start of the run."""
        return [due_ms - self.run.created_ms for due_ms in self.run.timers.values()]

    @property
    def story(self) -> list[str]:
        """The names of the history's events."""
        return [type(event).__name__ for event in self.events]

    # What can happen to a run.

    def complete(self, which: str | int, result: object = None) -> Decision:
        """A worker completes an open activity, given by its name (the first of them) or ID."""
        activity_id = self._activity_id(which)
        attempt = self.run.activities[activity_id].attempt
        return self.give(
            AttemptCompleted(self.run.run_id, activity_id, attempt, encode_payload(result))
        )

    def fail(
        self, which: str | int, kind: str = "RuntimeError", *, non_retryable: bool = False
    ) -> Decision:
        """A worker fails an attempt."""
        activity_id = self._activity_id(which)
        attempt = self.run.activities[activity_id].attempt
        failure = FailureInfo(kind, f"{kind} on purpose", non_retryable=non_retryable)
        return self.give(AttemptFailed(self.run.run_id, activity_id, attempt, failure))

    def fail_for_good(self, which: str | int, kind: str = "RuntimeError") -> Decision:
        return self.fail(which, kind, non_retryable=True)

    def report_start(self, which: str | int) -> Decision:
        """A worker says that it has been running an attempt for a while."""
        activity_id = self._activity_id(which)
        attempt = self.run.activities[activity_id].attempt
        return self.give(AttemptStarted(self.run.run_id, activity_id, attempt, self.now_ms))

    def signal(self, name: str, payload: object = None, *, id: str = "") -> Decision:
        return self.give(SignalWorkflow(name, encode_payload(payload), id))

    def update(self, name: str, payload: object = None, *, id: str = "u-1") -> Decision:
        """What an owner does: ask the code's validator, which raises UpdateRejectedError, then take it up."""
        data = encode_payload(payload)
        if id not in self.run.updates:
            for machine in (self.machine, self._replica):
                if machine is not None:
                    machine.validate(name, data)
        return self.give(UpdateWorkflow(name, id, data))

    def outcome(self, id: str = "u-1") -> Any:
        """What came of an update: its result, or the failure."""
        event = self.events[self.run.updates[id] - 1]
        if isinstance(event, UpdateCompleted):
            return decode_payload(event.result)
        assert isinstance(event, UpdateFailed), "an outcome"
        return event.failure

    def cancel(self, reason: str = "") -> Decision:
        return self.give(CancelWorkflow(reason))

    def terminate(self, reason: str = "") -> Decision:
        return self.give(TerminateWorkflow(reason))

    def advance(self, duration: timedelta | int) -> None:
        """Let time pass; what falls due on the way happens at its time."""
        until_ms = self.now_ms + to_ms(duration)
        while (due_ms := next_due_ms(self.run)) and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.give(Due())
        self.now_ms = until_ms

    def advance_to_next(self) -> bool:
        """Jump to what is due next and let it happen; False when nothing ever is."""
        due_ms = next_due_ms(self.run)
        if not due_ms:
            return False
        self.now_ms = max(self.now_ms, due_ms)
        self.give(Due())
        return True

    def give(self, record: Input) -> Decision:
        """Any input of the core."""
        decision = decide(self.run, record, now_ms=self.now_ms, draw=self.draw)
        assert bool(decision.events) != bool(decision.dropped), "either events or a reason"
        if decision.events:
            self._turn(decision)
        return decision

    # A worker's life.

    def crash(self) -> None:
        """Lose the machine; the next one knows the history and nothing else."""
        self.machine.close()
        self.machine = self.replay(self.workflow)

    def replay(self, workflow: Workflow[Any, Any]) -> Machine:
        """A fresh machine of `workflow`'s code, brought to where this run's history ends."""
        machine = self._new_machine(workflow)
        try:
            machine.replay(decode_events(join_events(self._encoded)))
        except BaseException:
            machine.close()
            raise
        return machine

    def _new_machine(self, workflow: Workflow[Any, Any]) -> Machine:
        return Machine(
            workflow, self.run.workflow_id, read_history=lambda event_id: self.events[event_id:]
        )

    def _activity_id(self, which: str | int) -> int:
        if isinstance(which, int):
            return which
        for activity in self.run.activities.values():
            if activity.name == which:
                return activity.activity_id
        raise AssertionError(f"{which} is not open; open are {self.open}")

    def _turn(self, decision: Decision) -> None:
        for event in decision.events:
            self._append(event)
            if type(event) not in ACTIVATIONS:
                continue
            commands = self.machine.activate(event)
            if self._replica is not None:
                again = self._replica.activate(event)
                assert comparable(again) == comparable(commands), (
                    "a replayed machine answers the same"
                )
            answer = decide_commands(self.run, commands, now_ms=event.time_ms)
            for asked in answer.events:
                self._append(asked)
            self._dispatch(answer)
        self._dispatch(decision)
        if self._replayed:
            self._replay_turn()

    def _dispatch(self, decision: Decision) -> None:
        self.dispatched += [(effect.activity_id, effect.attempt) for effect in decision.effects]

    def _append(self, event: HistoryEvent) -> None:
        data = encode(event)
        assert decode_events(join_events([data])) == [event], "an event survives the codec"
        self._encoded.append(data)
        self.events.append(event)
        apply(self.run, event)
        if self._replayed:
            history = decode_events(join_events(self._encoded))
            assert rebuild(self.run.workflow_id, history) == self.run, "rebuild(events) == live run"

    def _replay_turn(self) -> None:
        fresh = self.replay(self.workflow)
        assert place_of(fresh) == place_of(self.machine), (
            "a replayed machine stands at the same place"
        )
        if self._replica is not None:
            self._replica.close()
        self._replica = fresh
        if self._crashed:
            self.crash()
