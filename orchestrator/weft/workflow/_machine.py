"""A run's code, driven by its history: events in, commands out.

The machine starts the workflow's function on a deterministic loop, feeds it one activation at a time, and collects what
it asks for. Replay feeds the recorded activations and compares every command with the history at its event ID. The
core never sees it: commands are just another input to `decide`.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from weft.activity import Activity, to_activity_error, to_failure
from weft.codec import decoder, is_sealed, is_stored, opened, sealed_field
from weft.core import (
    CancelActivity,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    FailUpdate,
    FailWorkflow,
    PublishRecord,
    RecordPatch,
    ScheduleActivity,
    StartTimer,
)
from weft.determinism import GuardedCode, cover, running_code
from weft.errors import (
    DeterminismError,
    PayloadError,
    QueryError,
    TurnLimitError,
    TurnTimeoutError,
    UsageError,
)
from weft.records import (
    DEFAULT_RETRY,
    DEFAULT_START_TO_CLOSE_MS,
    NULL,
    ActivityCompleted,
    ActivityFailed,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    HistoryEvent,
    Payload,
    SignalReceived,
    TimerFired,
    UpdateAccepted,
    WorkflowPatched,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.workflow._children import FEEDS, Children
from weft.workflow._compare import COMMAND_EVENTS, check_command, refuse_missing, refuse_unexpected
from weft.workflow._continue import ContinuedAsNew, Untaken, is_continued
from weft.workflow._futures import (
    ActivityFuture,
    ConditionFuture,
    SignalFuture,
    WorkflowTask,
)
from weft.workflow._guard import (
    CALLBACKS_MAX,
    COMMANDS_MAX,
    UNGUARDED,
    Guard,
    TurnInterrupted,
)
from weft.workflow._handlers import Handlers, SignalHandler, refuse_two_ways
from weft.workflow._history import History, ReadHistory, read_nothing
from weft.workflow._lines import first_line, innermost_line, raised_line
from weft.workflow._loop import WorkflowLoop
from weft.workflow._publish import Place, Publications, PublishFuture, on_any_topic

if TYPE_CHECKING:
    from weft.workflow._definition import Workflow

E = TypeVar("E", bound=HistoryEvent)


def _as_it_is(payload: Payload) -> Payload:
    return payload


class Machine:
    """Drives one run of one workflow. Not thread-safe; forgotten, not rolled back, when a commit fails."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        workflow_id: str,
        guard: Guard = UNGUARDED,
        fetch: Callable[[Payload], Payload] = _as_it_is,
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
        self.loop = WorkflowLoop(self, has_thread=guard.has_thread)  # type: ignore[abstract]  # what a workflow must not do it does not have
        self.replaying = False
        self.started: WorkflowStarted | None = None
        self.custom_status: Payload = NULL
        """What the code last said of itself."""
        self.status_on_log: tuple[Payload, Payload] = (NULL, NULL)
        """The last custom status that was written: as the code gave it, and as it was written."""
        self._guard = guard
        cover(workflow.function)
        self._code = GuardedCode(workflow.name, workflow_id, is_generator=workflow.is_generator)
        self._random: random.Random | None = None
        self._main: asyncio.Task[Any] | None = None
        self._opening: WorkflowStarted | None = None
        """What the code begins with, once the signals are there that a former run has handed on."""
        self._carried_left = 0
        """How many of those are still to come."""
        self._continuation: ContinueWorkflow | None = None
        self._present: HistoryEvent | None = None
        """The event that is being handled, as it stands on the log."""
        self.untaken = Untaken()
        self._ended = False
        self._asked_too_much = False
        self._unreadable: PayloadError | None = None
        """Why the code cannot be shown its history: no matter of its own, so the run is blocked."""
        self._cancel_requested = False
        self._command_id = 0
        self._commands: dict[int | str, Command] = {}
        """What was asked for in this activation, in order: by its number, cancellations by the number below zero,
        patches by their IDs, and answers to updates by theirs after a null character."""
        self._activities: dict[int, ActivityFuture] = {}
        self._children: Children | None = None
        self._timers: dict[int, Callable[[], None]] = {}
        self._signals: dict[str, deque[SignalReceived]] = {}
        self._receivers: dict[str, deque[SignalFuture]] = {}
        self._conditions: list[ConditionFuture] = []
        self.handlers = Handlers(self)
        self._onlooker = ""
        """Who may only look at what there is, while it is asked."""
        self._patched: dict[str, bool] = {}
        """What the code was told about each patch that it asked for."""
        self._recorded_patches: frozenset[str] = frozenset()
        """Those in the history that is, or was, replayed."""
        self._read_history = read_history
        self._past: list[HistoryEvent] = []
        """The events that the code has asked to see, from the first on."""
        self._event_id = 0
        """Of the event that is being handled."""
        self._fetch = fetch
        self._unfetched: list[tuple[SignalFuture | SignalHandler, SignalReceived]] = []
        """Signals that the code has taken, handed over when it rests: their payloads may lie in the store."""
        self._publications = Publications(place)

    # Events in, commands out.

    def activate(self, event: HistoryEvent) -> list[Command]:
        """Tell the code what happened and run it until it waits again; returns what it asked for, in order.

        Raises TurnLimitError or TurnTimeoutError when it does not come to rest, DeterminismError when it did what no
        replay repeats, what the code lets through (SystemExit), and what `fetch` raises; the machine is of no use then.
        """
        self.loop.now_ms = event.time_ms
        self._event_id = event.event_id
        self._present = event
        feed = _FEEDS.get(type(event))
        if feed is None or self._ended:
            return []
        # Fetched and decoded out here: that is not the code's matter, which has little time and must not see it fail.
        name = sealed_field(event)
        told = self._fetched(event, name) if name and self._is_waited_for(event) else event
        self._publications.begin_step()
        self._call(self._wake, feed, told)
        if told is not event and isinstance(event, WorkflowStarted):
            self.started = event  # the large one was for the code
        while self._publications.waiting or (self._unfetched and not self._ended):
            if self._publications.waiting:
                self._settle_publications()
                continue
            taken, self._unfetched = self._unfetched, []
            signals = [
                (future, self._fetched(signal, "payload"), signal) for future, signal in taken
            ]
            self._call(self._hand_over, signals)
        commands = list(self._commands.values())
        self._commands.clear()
        return commands

    def replay(self, history: Sequence[HistoryEvent]) -> None:
        """Bring the code to where the history ends.

        Raises NondeterminismError when it asks for something else than the history holds at that event.
        """
        self.replaying = True
        read_history, self._read_history = self._read_history, lambda event_id: history[event_id:]
        self._recorded_patches = frozenset(
            event.patch_id for event in history if isinstance(event, WorkflowPatched)
        )
        self._publications.begin_replay(history)
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
        handler = self.handlers.queries.get(name)
        if handler is None:
            known = ", ".join(sorted(self.handlers.queries)) or "none"
            raise QueryError(f"its code answers no query {name!r} (it answers: {known})")
        answers: list[Payload] = []
        self._onlooker = "the handler of a query"
        try:
            self._call(lambda: answers.append(handler.answer(payload)))
        finally:
            self._onlooker = ""
        return answers[0]

    def validate(self, name: str, payload: Payload) -> None:
        """Whether the code lets this update pass, as it stands now.

        Raises UpdateRejectedError when it does not; what `fetch` raises; and TurnTimeoutError when it does not end: the
        machine is of no use then.
        """
        payload = self._fetch(payload)
        self._onlooker = "the validator of an update"
        try:
            self._call(self.handlers.validate, name, payload)
        finally:
            self._onlooker = ""
            self._code.refused = (
                None  # the update is rejected for it; nothing of a validator is in the history
            )

    def close(self) -> None:
        """Drop the code and all that it waits for."""
        self._ended = True
        while self.loop.forget_done():
            # The `finally` blocks of the code run; one that does not end is interrupted, then the next has its turn.
            with suppress(TurnTimeoutError, DeterminismError):
                self._call(self.loop.discard)
        self._activities.clear()
        self._timers.clear()
        self._children = None
        self._receivers.clear()
        self._conditions.clear()
        self.untaken.clear()
        self.handlers.part()
        self._read_history, self._past = read_nothing, []
        self._main = None
        self.loop.part()

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

    def _wake(self, feed: Callable[[Machine, Any], None], event: HistoryEvent) -> None:
        feed(self, event)
        self._run()

    def _hand_over(
        self,
        signals: Sequence[tuple[SignalFuture | SignalHandler, SignalReceived, SignalReceived]],
    ) -> None:
        """Resolve futures with (as it was told, as it stands on the log) signals; whatever is given up stays."""
        given_up = []
        for future, told, signal in signals:
            receivers = self._receivers.get(signal.name)
            if not future.done():
                self._give(future, told, signal)
            elif receivers:
                self._give(receivers.popleft(), told, signal)
            elif signal.name in self.handlers.signals:
                self.handlers.signals[signal.name].take(told)
            else:
                given_up.append(signal)
        for signal in reversed(given_up):
            self._signals.setdefault(signal.name, deque()).appendleft(signal)
        self._run()

    def _give(
        self, future: SignalFuture | SignalHandler, told: SignalReceived, signal: SignalReceived
    ) -> None:
        """Resolve it with a signal (as it was told, as it stands on the log), which it has until somebody takes it."""
        if isinstance(future, SignalFuture):
            self.untaken.give(future, signal)
        future.resolve(told)

    def _settle_publications(self) -> None:
        """Tell the code what became of its records, and let it go on."""
        settled = self._publications.settle(replaying=self.replaying)
        for future, record in settled:
            self._commands[future.publish_id] = record
        if settled and not self._ended:
            self._call(self._tell_published, settled)

    def _tell_published(self, settled: Sequence[tuple[PublishFuture, PublishRecord]]) -> None:
        for future, record in settled:
            future.tell(record.failure)
        self._run()

    def _run(self) -> None:
        self.loop.run_ready()
        if self._conditions:
            self._run_while_conditions_are_met()
        if self._unreadable is not None:
            raise self._unreadable
        if self._asked_too_much:
            # Checked here: code may have swallowed what was raised where it asked.
            raise TurnLimitError(
                f"The workflow's code asked for more than {COMMANDS_MAX} activities and timers without waiting for any "
                "of them. Split the work: into several rounds, or into several workflows."
            )
        if self._main is not None and self._main.done():
            self._end(self._main)

    def _run_while_conditions_are_met(self) -> None:
        for _ in range(CALLBACKS_MAX):
            waiting, self._conditions = self._conditions, []
            unmet = [future for future in waiting if not future.look()]
            self._conditions = unmet + self._conditions
            if len(unmet) == len(waiting):
                return
            self.loop.run_ready()
        raise TurnLimitError(
            f"The workflow's code waited for {CALLBACKS_MAX} conditions in one turn, all of which became true without "
            "anything that takes time. Wait for an activity, a timer or a signal in between."
        )

    # What the context asks for.

    def schedule_activity(
        self, activity: Activity[Any, Any] | str, data: Payload, decode: Callable[[Payload], Any]
    ) -> ActivityFuture:
        """Ask for an activity. `decode` turns its result into what the code sees."""
        self._refuse_onlooker("call an activity")
        self._command_id += 1
        activity_id = self._command_id
        name = activity if isinstance(activity, str) else activity.name
        future = ActivityFuture(self, activity_id, name, decode)
        if not self._ended:
            self._activities[activity_id] = future
            self._ask(_schedule(activity_id, activity, data), activity_id)
        return future

    def cancel_activity(self, activity_id: int) -> None:
        if self._activities.pop(activity_id, None) is not None:
            self._withdraw_or_add(activity_id, CancelActivity(activity_id))

    def receive_signal(self, name: str, hint: Any) -> SignalFuture:
        """The next signal of that name: one that is there already, or the first to come."""
        self._refuse_onlooker("receive a signal")
        if name in self.handlers.signals:
            raise refuse_two_ways(name)
        future = SignalFuture(self, name, decoder(hint))
        buffered = self._signals.get(name)
        if buffered:
            signal = buffered.popleft()
            if is_sealed(signal.payload):
                self._unfetched.append((future, signal))
            else:
                self._give(future, signal, signal)
        else:
            self._receivers.setdefault(name, deque()).append(future)
        return future

    def stop_receiving(self, future: SignalFuture) -> None:
        receivers = self._receivers.get(future.name)
        if receivers and future in receivers:
            receivers.remove(future)

    def wait_condition(self, condition: Callable[[], object]) -> ConditionFuture:
        """Done at once if it is met, else after the step of the code that makes it true."""
        self._refuse_onlooker("wait")
        future = ConditionFuture(self, condition)
        if not future.look():
            self._conditions.append(future)
        return future

    def on_query(self, name: str, function: Callable[..., Any]) -> None:
        """From now on this function answers that query."""
        self.handlers.on_query(name, function)

    def on_signal(self, name: str, function: Callable[..., Any]) -> None:
        """This function is called for the signals of that name: those that came before first, once the code rests."""
        self._refuse_onlooker("take signals")
        if self._receivers.get(name):
            raise refuse_two_ways(name)
        handler = self.handlers.on_signal(name, function)
        for signal in self._signals.pop(name, ()):
            handler.expect()
            self._unfetched.append((handler, signal))

    def on_update(
        self, name: str, function: Callable[..., Any], validator: Callable[..., Any] | None
    ) -> None:
        """From now on this function takes up updates of that name that `validator` lets pass."""
        self._refuse_onlooker("take updates")
        self.handlers.on_update(name, function, validator)

    def end_update(self, command: CompleteUpdate | FailUpdate) -> None:
        """An update's handler has answered."""
        if not self._ended:
            self._ask(command, f"\0{command.update_id}")

    def start_timer(self, due_ms: int, fire: Callable[[], None]) -> int:
        self._refuse_onlooker("wait")
        self._command_id += 1
        if not self._ended:
            self._timers[self._command_id] = fire
            self._ask(StartTimer(self._command_id, due_ms), self._command_id)
        return self._command_id

    def cancel_timer(self, timer_id: int) -> None:
        if self._timers.pop(timer_id, None) is not None:
            self._withdraw_or_add(timer_id, CancelTimer(timer_id))

    def publish(self, record: PublishRecord) -> PublishFuture:
        """Ask for a record to be published with this step."""
        self._refuse_onlooker("publish a record")
        self._command_id += 1
        future = PublishFuture(self, self._command_id)
        if not self._ended:
            command = msgspec.structs.replace(record, publish_id=self._command_id)
            self._ask(command, self._command_id)
            self._publications.waiting.append((future, command))
        return future

    def withdraw_publication(self, publish_id: int) -> None:
        """Nobody waits for it any more, and it was not brought out yet: it is not."""
        self._commands.pop(publish_id, None)

    @property
    def event_id(self) -> int:
        """Of the event that is being handled."""
        return self._event_id

    def continue_as_new(self, data: Payload, *, keep_signals: bool) -> NoReturn:
        """End the code: the run goes on as a new one. Raises ContinuedAsNew."""
        self._refuse_onlooker("continue as a new run")
        is_unheard = (
            self._cancel_requested
            and isinstance(self._main, WorkflowTask)
            and self._main.holds_request
        )
        self._continuation = ContinueWorkflow(data, keep_signals, is_unheard)
        raise ContinuedAsNew

    def unconsumed(self) -> list[SignalReceived]:
        """The signals that no code has taken, in the order in which they came, as they stand on the log."""
        waiting = [signal for signals in self._signals.values() for signal in signals]
        waiting += [signal for _, signal in self._unfetched]
        waiting += self.untaken.signals
        return sorted(waiting, key=lambda signal: signal.event_id)

    def history(self) -> History:
        """The events up to the one that is being handled. Only what is new is read since it was last asked for."""
        count = self._event_id
        known = len(self._past)
        if known < count:
            self._past += map(self._readable, self._read_history(known)[: count - known])
        asked = frozenset(
            command.activity
            for command in self._commands.values()
            if isinstance(command, ScheduleActivity)
        )
        return History(self._past, count, asked)

    def set_status(self, value: Payload) -> None:
        """What the code says of itself from now on."""
        self._refuse_onlooker("set the status")
        self.custom_status = value

    def patched(self, patch_id: str) -> bool:
        """Whether the code takes the new way of a change: always the same for one run.

        Its history knows, if the code came here before: with a mark it took the new way, and without one it was code
        that knew of no change. Who comes here for the first time takes the new way, and leaves the mark.
        """
        if patch_id not in self._patched:
            self._refuse_onlooker("be the first to ask for a patch")
            is_recorded = patch_id in self._recorded_patches
            self._patched[patch_id] = is_recorded or not self.replaying
            if not (is_recorded or self.replaying or self._ended):
                self._ask(RecordPatch(patch_id), patch_id)
        return self._patched[patch_id]

    @property
    def children(self) -> Children:
        """The children of this run, and its signals to others."""
        if self._children is None:  # most have none
            self._children = Children(self)
        return self._children

    @property
    def random(self) -> random.Random:
        """Seeded with the run's ID: the same numbers in every replay."""
        if self._random is None:
            self._random = random.Random(self.run_id)  # noqa: S311  # reproducible on purpose
        return self._random

    def code_line(self) -> str:
        """File and line where the user's code waits; when it does not, where it begins."""
        line = innermost_line(self._main.get_coro()) if self._main is not None else ""
        return line or first_line(self.workflow.function)

    @property
    def refused(self) -> DeterminismError | None:
        """What the code did first that no replay repeats."""
        return self._code.refused

    @property
    def awaited_signals(self) -> list[str]:
        """The names of the signals that the code waits for, or has handlers for."""
        received = {name for name, receivers in self._receivers.items() if receivers}
        return sorted(received.union(self.handlers.signals))

    @property
    def untaken_signals(self) -> list[str]:
        """The names of the signals that came and that the code did not receive, each as often as that."""
        return sorted(name for name, signals in self._signals.items() for _ in signals)

    def line_of(self, error: BaseException) -> str:
        """Where the user's code was when this was raised; when it was not there, where the code waits."""
        return raised_line(error) or self.code_line()

    def _refuse_onlooker(self, wanted: str) -> None:
        if self._onlooker:
            raise UsageError(f"{self._onlooker} may only look at what there is, not {wanted}")

    @property
    def ended(self) -> bool:
        """The code has come to its end, or is being dropped: what it asks for now is nobody's business."""
        return self._ended

    def next_number(self, what: str) -> int:
        """For a command that nothing else of the run is called by. Raises UsageError in the handler of a query."""
        self._refuse_onlooker(what)
        self._command_id += 1
        return self._command_id

    def withdraw(self, number: int) -> bool:
        """Take back what was asked for in this very activation; False when it is too late for that."""
        return self._commands.pop(number, None) is not None

    def ask(self, command: Command, key: int | str) -> None:
        """`key`: the command's number, or that below zero when it takes back an earlier one."""
        self._ask(command, key)

    def _ask(self, command: Command, key: int | str) -> None:
        if len(self._commands) >= COMMANDS_MAX:
            self._asked_too_much = True
            raise TurnInterrupted
        self._commands[key] = command

    def _withdraw_or_add(self, wanted_id: int, command: CancelActivity | CancelTimer) -> None:
        """What was asked for in this very activation is withdrawn and leaves no trace."""
        if self._commands.pop(wanted_id, None) is None and not self._ended:
            self._ask(command, -wanted_id)

    # Payloads that lie in the store, or are encoded.

    def _is_waited_for(self, event: HistoryEvent) -> bool:
        """Whether the code is told the payload now: nobody waits for a store on behalf of nobody."""
        if isinstance(event, ActivityCompleted | ActivityFailed):
            return event.activity_id in self._activities
        if isinstance(event, ChildCompleted | ChildFailed):
            return self.children.is_waited_for(event.child_id)
        if isinstance(event, SignalReceived):
            return event.name in self.handlers.signals or bool(self._receivers.get(event.name))
        return True

    def _fetched(self, event: E, name: str) -> E:
        return msgspec.structs.replace(event, **{name: opened(event, name, self._fetch)})

    def _readable(self, event: HistoryEvent) -> HistoryEvent:
        """For the code to look at: decoded. What lies in the store stays there, for it may be away."""
        name = sealed_field(event)
        if not name or (name != "failure" and is_stored(getattr(event, name))):
            return event
        try:
            return self._fetched(event, name)
        except PayloadError as error:
            if self._onlooker:
                raise
            self._unreadable = error
            raise TurnInterrupted from None

    # Feeding.

    def _start(self, event: WorkflowStarted) -> None:
        self.started = event
        self.run_id = event.run_id
        self.loop.seed(event.run_id)
        self.custom_status = event.custom_status
        self.status_on_log = (event.custom_status, event.custom_status)
        self._opening, self._carried_left = event, event.carried_count
        if not self._carried_left:
            self._begin()

    def _begin(self) -> None:
        assert self._opening is not None, "a run begins with its start"
        self._main = self.loop.create_task(self.workflow.run(self, self._opening.input))
        self._opening = None

    def _activity_completed(self, event: ActivityCompleted) -> None:
        future = self._activities.pop(event.activity_id, None)
        if future is not None:
            future.complete(event.result)

    def _activity_failed(self, event: ActivityFailed) -> None:
        future = self._activities.pop(event.activity_id, None)
        if future is not None:
            future.set_exception(
                to_activity_error(event.failure, activity=event.activity, attempts=event.attempt)
            )

    def _timer_fired(self, event: TimerFired) -> None:
        fire = self._timers.pop(event.timer_id, None)
        if fire is not None:
            fire()

    def _signal_received(self, event: SignalReceived) -> None:
        if self._carried_left:
            self._signals.setdefault(event.name, deque()).append(event)
            self._carried_left -= 1
            if not self._carried_left:
                self._begin()
            return
        handler = self.handlers.signals.get(event.name)
        if handler is not None:
            handler.take(event)
            return
        receivers = self._receivers.get(event.name)
        if receivers:
            assert isinstance(self._present, SignalReceived), "it is the one that is fed"
            self._give(receivers.popleft(), event, self._present)
        else:
            self._signals.setdefault(event.name, deque()).append(event)

    def _update_accepted(self, event: UpdateAccepted) -> None:
        self.handlers.begin_update(event)

    def _cancelled(self, event: CancelRequested) -> None:
        self._cancel_requested = True
        self.cancel_main(event.reason or "the workflow was cancelled")

    def cancel_main(self, why: str) -> None:
        """Ask the main code to end; it may clean up first."""
        if self._main is not None and not self._ended:
            self._main.cancel(why)

    def _end(self, main: asyncio.Task[Any]) -> None:
        self._commands[0] = self._outcome(main)
        self._ended = True
        self.handlers.ended()

    def _outcome(self, main: asyncio.Task[Any]) -> Command:
        failure = self.handlers.failure
        if failure is not None:
            return FailWorkflow(to_failure(_with_cleanup(failure, main)))
        if main.cancelled():
            if self._cancel_requested:
                return CancelWorkflowDone()
            return FailWorkflow(to_failure(asyncio.CancelledError("the workflow cancelled itself")))
        error = main.exception()
        if error is not None and self._continuation is not None and is_continued(error):
            return self._continuation
        if error is not None:
            return FailWorkflow(to_failure(error))
        try:
            return CompleteWorkflow(self.workflow.encode_result(main.result()))
        except UsageError as problem:
            return FailWorkflow(to_failure(problem))


def _with_cleanup(failure: Exception, main: asyncio.Task[Any]) -> BaseException:
    """What a handler raised; or what the main code raised while it cleaned up because of that, with it as the cause."""
    error = None if main.cancelled() else main.exception()
    if error is None:
        return failure
    if error.__cause__ is None and error is not failure:
        error.__cause__ = failure
    return error


def _schedule(
    activity_id: int, activity: Activity[Any, Any] | str, data: Payload
) -> ScheduleActivity:
    if isinstance(activity, str):
        return ScheduleActivity(
            activity_id,
            activity,
            data,
            queue="default",
            inline=False,
            start_to_close_ms=DEFAULT_START_TO_CLOSE_MS,
            retry=DEFAULT_RETRY,
        )
    return ScheduleActivity(
        activity_id,
        activity.name,
        data,
        activity.queue,
        activity.inline,
        activity.start_to_close_ms,
        activity.policy,
        activity.heartbeat_timeout_ms,
        activity.schedule_to_start_ms,
        activity.schedule_to_close_ms,
    )


def _of_children(feed: Callable[[Children, Any], None]) -> Callable[[Machine, Any], None]:
    return lambda machine, event: feed(machine.children, event)


_FEEDS: dict[type[HistoryEvent], Callable[[Machine, Any], None]] = {
    WorkflowStarted: Machine._start,
    ActivityCompleted: Machine._activity_completed,
    ActivityFailed: Machine._activity_failed,
    TimerFired: Machine._timer_fired,
    SignalReceived: Machine._signal_received,
    UpdateAccepted: Machine._update_accepted,
    CancelRequested: Machine._cancelled,
    **{kind: _of_children(feed) for kind, feed in FEEDS.items()},
}

ACTIVATIONS = frozenset(_FEEDS)
"""The events that wake a workflow's code."""
