"""A run's code, driven by its history: events in, commands out.

The machine starts the workflow's function on a deterministic loop, feeds it one activation at a time, and collects what
it asks for. Replay feeds the recorded activations and compares every command with the history at its event ID. The
core never sees it: commands are just another input to `decide`.

What the code waits for is kept by parts of their own (its activities, timers, signals and so on), which know the loop
and the commands, and nothing of the machine. It tells them what happened, and runs the code afterwards.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from weft.codec import sealed_field
from weft.core import Command
from weft.determinism import GuardedCode, cover, running_code
from weft.errors import DeterminismError, TurnTimeoutError
from weft.records import (
    NULL,
    ActivityCompleted,
    ActivityFailed,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildStarted,
    HistoryEvent,
    Payload,
    SignalDelivered,
    SignalReceived,
    TimerFired,
    UpdateAccepted,
    WorkflowReset,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.workflow._activities import Activities
from weft.workflow._children import Children
from weft.workflow._commands import Commands
from weft.workflow._compare import COMMAND_EVENTS, check_command, refuse_missing, refuse_unexpected
from weft.workflow._conditions import Conditions
from weft.workflow._fetching import Fetch, as_it_is, fetched
from weft.workflow._guard import UNGUARDED, Guard
from weft.workflow._handler_calls import HandlerCalls
from weft.workflow._history import History, Past, ReadHistory, read_nothing
from weft.workflow._lines import first_line, innermost_line, raised_line
from weft.workflow._logger import WorkflowLogger
from weft.workflow._loop import WorkflowLoop
from weft.workflow._main import MainCode
from weft.workflow._patches import Patches
from weft.workflow._publish import Place, Publications, on_any_topic
from weft.workflow._queries import Queries
from weft.workflow._signals import Signals
from weft.workflow._timers import DurableTimers
from weft.workflow._updates import Updates

if TYPE_CHECKING:
    from weft.workflow._definition import Workflow


class Machine:
    """Drives one run of one workflow. Not thread-safe; forgotten, not rolled back, when a commit fails."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        workflow_id: str,
        guard: Guard = UNGUARDED,
        fetch: Fetch = as_it_is,
        read_history: ReadHistory = read_nothing,
        place: Place = on_any_topic,
    ) -> None:
        """`fetch` gives what a payload on the log stands for. It may block, and raise what is no matter of the code.

        `read_history` gives the events of the run, with the one that it is activated with. `place` says where records
        go that the code publishes, or why they cannot; it may do what `fetch` may.
        """
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.run_id = ""
        self._seed_id = ""
        """The run whose ID the code's randomness follows from."""
        self.event_id = 0
        """Of the event that is being handled."""
        self.replaying = False
        self.started: WorkflowStarted | None = None
        self.custom_status: Payload = NULL
        """What the code last said of itself."""
        self.status_on_log: tuple[Payload, Payload] = (NULL, NULL)
        """The last custom status that was written: as the code gave it, and as it was written."""
        self._guard = guard
        self._fetch = fetch
        self._read_history = read_history
        cover(workflow.function)
        self._code = GuardedCode(workflow.name, workflow_id, is_generator=workflow.is_generator)
        self._opening: WorkflowStarted | None = None
        """What the code begins with, once the signals are there that a former run has handed on."""
        self._carried_left = 0
        """How many of those are still to come."""
        self._present: HistoryEvent | None = None
        """The event that is being handled, as it stands on the log."""
        self.commands = Commands()
        self.timers = DurableTimers(self.commands)
        self.loop = WorkflowLoop(self.timers, has_thread=guard.has_thread)  # type: ignore[abstract]  # what a workflow must not do it does not have
        self.main = MainCode(workflow, self.commands)
        self.activities = Activities(self.commands, self.loop)
        self.conditions = Conditions(self.commands, self.loop)
        self.handler_calls = HandlerCalls(self.main.cancel)
        self.signals = Signals(self.commands, self.handler_calls, self.loop)
        self.publications = Publications(self.commands, self.loop, place)

    # What most runs do without is made when it is asked for.

    @cached_property
    def children(self) -> Children:
        """The children of this run, and its signals to others."""
        return Children(self.commands, self.loop, parent_id=self.workflow_id, run_id=self._seed_id)

    @cached_property
    def queries(self) -> Queries:
        """What the code answers."""
        return Queries()

    @cached_property
    def updates(self) -> Updates:
        """What the code checks, takes up and answers."""
        return Updates(self.commands, self.handler_calls, self.loop)

    @cached_property
    def patches(self) -> Patches:
        """Which way the code takes where it was changed."""
        return Patches(self.commands)

    @cached_property
    def past(self) -> Past:
        """The events that the code has asked to see."""
        return Past(self.commands, self._fetch)

    @cached_property
    def random(self) -> random.Random:
        """Seeded with the run's ID: the same numbers in every replay."""
        return random.Random(self._seed_id)  # noqa: S311  # reproducible on purpose

    # Events in, commands out.

    def activate(self, event: HistoryEvent) -> list[Command]:
        """Tell the code what happened and run it until it waits again; returns what it asked for, in order.

        Raises TurnLimitError or TurnTimeoutError when it does not come to rest, DeterminismError when it did what no
        replay repeats, what the code lets through (SystemExit), and what `fetch` raises; the machine is of no use then.
        """
        self.loop.now_ms = event.time_ms
        self.event_id = event.event_id
        self._present = event
        feed = _FEEDS.get(type(event))
        if feed is None or self.commands.ended:
            return []
        # Fetched and decoded out here: that is not the code's matter, which has little time and must not see it fail.
        name = sealed_field(event)
        told = fetched(event, name, self._fetch) if name and self._is_waited_for(event) else event
        part, tell = feed
        self._call(self._step, tell, getattr(self, part) if part else self, told)
        if told is not event and isinstance(event, WorkflowStarted):
            self.started = event  # the large one was for the code
        if self.publications.waiting or self.signals.unfetched:
            self._settle()
        return self.commands.take()

    def replay(self, history: Sequence[HistoryEvent]) -> None:
        """Bring the code to where the history ends.

        Raises NondeterminismError when it asks for something else than the history holds at that event.
        """
        self.replaying = True
        read_history, self._read_history = self._read_history, lambda event_id: history[event_id:]
        self.patches = Patches(self.commands, history)
        self.publications.begin_replay(history)
        pending: deque[Command] = deque()
        for event in history:
            if isinstance(event, COMMAND_EVENTS):
                if not pending:
                    raise refuse_missing(self, event)
                check_command(self, pending.popleft(), event)
            elif type(event) in _FEEDS:
                if pending:
                    raise refuse_unexpected(self, pending[0], event)
                pending.extend(self.activate(event))
            elif isinstance(event, WorkflowTerminated | WorkflowTimedOut):
                pending.clear()
            elif isinstance(event, WorkflowReset):
                self._reset(event)
        if pending:
            raise refuse_unexpected(self, pending[0], None)
        self._read_history = read_history
        self.replaying = False

    def query(self, name: str, payload: Payload) -> Payload:
        """What the code's handler of that name tells, encoded.

        Raises QueryError when there is none, or its value or answer cannot be; whatever the handler raises; and
        TurnTimeoutError when it does not end, DeterminismError when it did what is refused: the machine is of no use
        then.
        """
        handler = self.queries.find(name)
        answers: list[Payload] = []
        self.commands.onlooker = "the handler of a query"
        try:
            self._call(lambda: answers.append(handler.answer(payload)))
        finally:
            self.commands.onlooker = ""
        return answers[0]

    def validate(self, name: str, payload: Payload) -> None:
        """Whether the code lets this update pass, as it stands now.

        Raises UpdateRejectedError when it does not; what `fetch` raises; and TurnTimeoutError when it does not end: the
        machine is of no use then.
        """
        payload = self._fetch(payload)
        self.commands.onlooker = "the validator of an update"
        try:
            self._call(self.updates.validate, name, payload)
        finally:
            self.commands.onlooker = ""
            self._code.refused = (
                None  # the update is rejected for it; nothing of a validator is in the history
            )

    def close(self) -> None:
        """Drop the code and all that it waits for."""
        self.commands.ended = True
        while self.loop.forget_done():
            # The `finally` blocks of the code run; one that does not end is interrupted, then the next has its turn.
            with suppress(TurnTimeoutError, DeterminismError):
                self._call(self.loop.discard)
        self.activities.open.clear()
        self.timers.open.clear()
        self.conditions.waiting.clear()
        self.signals.clear()
        if "children" in vars(self):
            self.children.clear()
        for part in ("children", "queries", "updates", "past"):
            vars(self).pop(part, None)
        self._read_history = read_nothing
        self.main.task = None
        self.loop.part()

    # The code's steps.

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Run the user's code: a clock that it does not come back to, and what no replay repeats, end it."""
        outer, running_code.code = running_code.code, self._code
        try:
            self._guard.call(function, *arguments)
        finally:
            # Out here: once its guard is done with a call nothing more can interrupt this.
            running_code.code = outer
        if self._code.refused is not None:
            raise self._code.refused  # the code may have caught it

    def _step(self, tell: Callable[[Any, Any], None], part: object, told: object) -> None:
        """Tell a part of the run what happened, and run the code until it waits."""
        tell(part, told)
        self.loop.run_ready()
        if self.conditions.waiting:
            self.conditions.run_while_met()
        if self.commands.stopped_by is not None:
            raise self.commands.stopped_by
        if self.main.task is not None and self.main.task.done():
            self._end()

    def _settle(self) -> None:
        """Find out what the code waits for that is no event: until nothing of that is left, it goes on."""
        publications, signals = self.publications, self.signals
        publications.begin_step()
        while publications.waiting or (signals.unfetched and not self.commands.ended):
            if not publications.waiting:
                self._call(self._step, Signals.hand_over, signals, signals.fetched(self._fetch))
                continue
            settled = publications.settle(replaying=self.replaying)
            if settled and not self.commands.ended:
                self._call(self._step, Publications.tell, publications, settled)

    def _end(self) -> None:
        """The main code has ended, and the run with it. Whoever wrote it may have forgotten its handlers."""
        calls = self.handler_calls
        self.commands.end(self.main.outcome(calls.failure))
        if calls.under_way and calls.failure is None:
            WorkflowLogger(self).warning(
                "the workflow ended while handlers were under way, which go no further: %s. To let them end first: "
                "await ctx.wait_condition(ctx.all_handlers_finished)",
                calls.names,
            )

    # What the history tells of the run itself.

    def _start(self, event: WorkflowStarted) -> None:
        self.started = event
        self.run_id = event.run_id
        self._seed_id = event.seed_run_id or event.run_id
        self.loop.seed(self._seed_id)
        self.custom_status = event.custom_status
        self.status_on_log = (event.custom_status, event.custom_status)
        self._opening, self._carried_left = event, event.carried_count
        if not self._carried_left:
            self._begin()

    def _reset(self, event: WorkflowReset) -> None:
        """From here on nothing that the code makes up is what a former run has made up there."""
        if event.run_id == self._seed_id:
            return  # its code began anew
        self._seed_id = event.run_id
        if "random" in vars(self):
            self.random.seed(event.run_id)
        if "children" in vars(self):
            self.children.run_id = event.run_id

    def _begin(self) -> None:
        assert self._opening is not None, "a run begins with its start"
        self.main.task = self.loop.create_task(self.workflow.run(self, self._opening.input))
        self._opening = None

    def _signal_received(self, event: SignalReceived) -> None:
        if not self._carried_left:
            assert isinstance(self._present, SignalReceived), "it is the one that is fed"
            self.signals.take(event, self._present)
            return
        self.signals.keep(event)
        self._carried_left -= 1
        if not self._carried_left:
            self._begin()

    def _is_waited_for(self, event: HistoryEvent) -> bool:
        """Whether the code is told the payload now: nobody waits for a store on behalf of nobody."""
        if isinstance(event, ActivityCompleted | ActivityFailed):
            return event.activity_id in self.activities.open
        if isinstance(event, ChildCompleted | ChildFailed):
            return self.children.is_waited_for(event.child_id)
        if isinstance(event, SignalReceived):
            return self.signals.is_waited_for(event.name)
        return True

    # What the context asks for.

    def history(self) -> History:
        """The events up to the one that is being handled."""
        return self.past.until(self.event_id, self._read_history)

    def set_status(self, value: Payload) -> None:
        """What the code says of itself from now on."""
        self.commands.refuse_onlooker("set the status")
        self.custom_status = value

    def patched(self, patch_id: str) -> bool:
        """Whether the code takes the new way of a change: always the same for one run."""
        return self.patches.is_taken(patch_id, replaying=self.replaying)

    # What others want to know.

    def unconsumed(self) -> list[SignalReceived]:
        """The signals that no code has taken, in the order in which they came, as they stand on the log."""
        return self.signals.unconsumed()

    @property
    def awaited_signals(self) -> list[str]:
        """The names of the signals that the code waits for, or has handlers for."""
        return self.signals.awaited

    @property
    def untaken_signals(self) -> list[str]:
        """The names of the signals that came and that the code did not receive, each as often as that."""
        return sorted(name for name, signals in self.signals.kept.items() for _ in signals)

    @property
    def refused(self) -> DeterminismError | None:
        """What the code did first that no replay repeats."""
        return self._code.refused

    def code_line(self) -> str:
        """File and line where the user's code waits; when it does not, where it begins."""
        task = self.main.task
        line = innermost_line(task.get_coro()) if task is not None else ""
        return line or first_line(self.workflow.function)

    def line_of(self, error: BaseException) -> str:
        """Where the user's code was when this was raised; when it was not there, where the code waits."""
        return raised_line(error) or self.code_line()


_FEEDS: dict[type[HistoryEvent], tuple[str, Callable[[Any, Any], None]]] = {
    WorkflowStarted: ("", Machine._start),
    SignalReceived: ("", Machine._signal_received),
    CancelRequested: ("main", MainCode.cancel_requested),
    ActivityCompleted: ("activities", Activities.completed),
    ActivityFailed: ("activities", Activities.failed),
    TimerFired: ("timers", DurableTimers.fired),
    UpdateAccepted: ("updates", Updates.accepted),
    ChildStarted: ("children", Children.started),
    ChildCompleted: ("children", Children.completed),
    ChildFailed: ("children", Children.failed),
    SignalDelivered: ("children", Children.delivered),
}
"""Which part of the machine is told of an event (empty: itself), and how."""

ACTIVATIONS = frozenset(_FEEDS)
"""The events that wake a workflow's code."""
