"""One run in this process: its code, its history and its attempts, served by a task of its own.

Whatever happens to it is saved before anything follows from it: before an activity is begun, before a signal is
confirmed, before the result is told. A save that fails is tried again for as long as it takes, and the run waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from weft.activity import Activity, to_failure
from weft.client import failed_error
from weft.core import (
    CancelActivity,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteWorkflow,
    Decision,
    DispatchActivity,
    Due,
    FailWorkflow,
    Input,
    RecordPatch,
    Run,
    ScheduleActivity,
    StartTimer,
    apply,
    decide,
    decide_commands,
    decide_start,
    next_due_ms,
)
from weft.errors import UsageError, WorkflowFailedError
from weft.executor._attempt import Attempt
from weft.executor._contract import WorkflowStore
from weft.executor._errors import ExecutorError
from weft.executor._facts import Fact, Observer, note, tell_all
from weft.executor._history import RunHistory, status_of
from weft.executor._types import WorkflowStatus
from weft.host import Host
from weft.records import (
    NULL,
    AttemptStarted,
    Event,
    FailureInfo,
    HistoryEvent,
    Payload,
    Reply,
    StartWorkflow,
    WorkflowFailed,
)
from weft.workflow import ACTIVATIONS, Activities, Machine, Workflow

logger = logging.getLogger("weft.executor")

_SAVE_AGAIN_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before a save that failed is tried again; the last one repeats."""
_LOOK_S_MAX = 3600.0
"""A clock may be set: no wait for a timer is longer."""
_DONE_HERE: frozenset[type] = frozenset(
    {
        ScheduleActivity,
        CancelActivity,
        StartTimer,
        CancelTimer,
        RecordPatch,
        CompleteWorkflow,
        FailWorkflow,
        CancelWorkflowDone,
    }
)


class LocalActivities(Activities):
    """Keeps in `called` what the code calls, by number: it may be functions that nobody else knows by a name."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.commands, machine.loop)
        self.called: dict[int, Activity[..., Any] | str] = {}

    def schedule(self, activity: Any, *args: Any) -> Any:
        future = super().schedule(activity, *args)
        self.called[future.activity_id] = activity
        return future


class LocalMachine(Machine):
    """One whose activities run in this process."""

    def __init__(self, workflow: Workflow[Any, Any], history: RunHistory) -> None:
        super().__init__(
            workflow,
            history.workflow_id,
            read_history=lambda event_id: history.events[event_id:],
        )
        self.activities = activities = LocalActivities(self)
        self.called = activities.called


class LocalRun:
    """Made by a DefaultExecutor; belongs to the event loop that it was made on."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        workflow_id: str,
        *,
        store: WorkflowStore | None,
        activities: Mapping[str, Activity[..., Any]],
        observers: Sequence[Observer],
        host: Host,
    ) -> None:
        self.workflow = workflow
        self.run = Run(workflow_id)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the end is durable; fails when the executor is closed before."""
        self.status = WorkflowStatus.RUNNING
        """As the store has it."""
        self._history = RunHistory(workflow_id)
        self.machine = LocalMachine(workflow, self._history)
        self._store = store
        self._activities = activities
        self._observers = observers
        self._host = host
        self._inbox: deque[tuple[Input, asyncio.Future[str] | None]] = deque()
        self._taken: list[asyncio.Future[str]] = []
        """Who waits for what was taken last to be durable."""
        self._result = NULL
        self._news = asyncio.Event()
        self._facts: list[Fact] = []
        self._effects: list[DispatchActivity] = []
        self._attempts: dict[tuple[int, int], Attempt] = {}
        self._details: dict[int, Payload] = {}
        self._serving: asyncio.Task[None] | None = None

    # From outside.

    async def start(self, record: StartWorkflow) -> None:
        """The first turn. Raises what the store raises; then there is no such run."""
        decision = decide_start(
            record,
            run_id=f"run-{self._host.token()}",
            version=self.workflow.version,
            now_ms=self._now_ms(),
        )
        self._turn(decision)
        if self._store is not None:
            await self._store.save(self._history.state(self.run))
        self._saved()
        self._serve_on()

    def resume(self, events: Sequence[Event]) -> None:
        """Go on where a stored history ends. Raises what a replay raises; then nothing has been done."""
        self.machine.replay(events)
        for event in events:
            apply(self.run, event)
            self._history.append(event)
        self._effects += [
            DispatchActivity(opened.activity_id, opened.attempt)
            for opened in self.run.activities.values()
            if not opened.waiting
        ]
        self._saved()
        self._serve_on()

    async def take(self, record: Input) -> str:
        """Bring something in, and return when it is durable; why it was dropped, if it was."""
        if self.run.ended:
            return "the run has ended"
        taken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._bring(record, taken)
        return await taken

    def query(self, name: str) -> Payload:
        """What the code's handler answers. Raises QueryError when there is none, and what it raises."""
        return self.machine.query(name, NULL)

    async def result(self) -> Any:
        """Raises WorkflowFailedError when the run did not complete."""
        await asyncio.shield(self.ended)
        run = self.run
        if run.status == "completed":
            return self.workflow.decode_result(self._result)
        reply = Reply("", "ended", run.run_id, run.status, failure=run.failure, reason=run.reason)
        error: WorkflowFailedError = failed_error(run.workflow_id, reply)
        raise error

    async def close(self) -> None:
        """Leave it as the store has it; it goes on when somebody resumes it."""
        tasks = [attempt.task for attempt in self._attempts.values() if attempt.task is not None]
        if self._serving is not None:
            tasks.append(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        text = f'workflow "{self.run.workflow_id}": the executor was closed before it ended'
        self._leave(ExecutorError("provider_unavailable", text))
        self.machine.close()

    def _leave(self, error: BaseException) -> None:
        for waiting in [*self._taken, *(taken for _, taken in self._inbox if taken is not None)]:
            if not waiting.done():
                waiting.set_exception(error)
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # maybe nobody waits for it

    # Serving.

    def _serve_on(self) -> None:
        if not self.run.ended:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add_done_callback(self._stopped)

    def _stopped(self, serving: asyncio.Task[None]) -> None:
        """Our own code is broken: whoever waits must hear of it."""
        error = None if serving.cancelled() else serving.exception()
        if error is not None:
            logger.error("workflow %s is served no more", self.run.workflow_id, exc_info=error)
            self._leave(error)

    async def _serve(self) -> None:
        while not self.run.ended:
            await self._wait()
            told = self._take_turns()
            self._taken = [waiting for waiting, _ in told]
            if self._facts:
                await self._save()
                self._saved()
            for waiting, dropped in told:
                if not waiting.done():
                    waiting.set_result(dropped)

    async def _wait(self) -> None:
        due_ms = next_due_ms(self.run)
        wait_s = _LOOK_S_MAX
        if due_ms:
            wait_s = min(wait_s, max(0.0, due_ms / 1000 - self._host.time()))
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _take_turns(self) -> list[tuple[asyncio.Future[str], str]]:
        """All that came in and all that is due: one save for everything. Returns who is to be told what."""
        taken = []
        while self._inbox:
            record, waiting = self._inbox.popleft()
            dropped = self._decide(record)
            if waiting is not None:
                taken.append((waiting, dropped))
        while not self.run.ended and 0 < next_due_ms(self.run) <= self._now_ms():
            self._decide(Due())
        return taken

    def _decide(self, record: Input) -> str:
        decision = decide(self.run, record, now_ms=self._now_ms(), draw=self._host.random())
        if not decision.dropped:
            self._turn(decision)
        return decision.dropped

    def _turn(self, decision: Decision) -> None:
        """Append what was decided, wake the code, append what it asks for."""
        self._effects += decision.effects
        for event in decision.events:
            self._append(event)
            if type(event) in ACTIVATIONS:
                try:
                    self._ask(self.machine.activate(event), event.time_ms)
                except (Exception, SystemExit, KeyboardInterrupt) as error:
                    # There is nobody here who would mend the code and let it go on.
                    logger.exception("a turn of workflow %s broke; it fails", self.run.workflow_id)
                    self._fail(to_failure(error))
                    return

    def _ask(self, commands: Sequence[Command], now_ms: int) -> None:
        unknown = [command for command in commands if type(command) not in _DONE_HERE]
        if unknown:
            kind = type(unknown[0]).__name__
            raise UsageError(
                f"the default executor cannot do what this workflow asks for ({kind}): the kafka executor can"
            )
        decision = decide_commands(self.run, commands, now_ms=now_ms)
        for event in decision.events:
            self._append(event)
        self._effects += decision.effects

    def _append(self, event: HistoryEvent) -> None:
        note(self._facts, self.run, event)
        apply(self.run, event)
        self._history.append(event)

    def _fail(self, failure: FailureInfo) -> None:
        if not self.run.ended:
            event_id = self.run.last_event_id + 1
            self._append(WorkflowFailed(event_id, self._now_ms(), failure))

    def _bring(self, record: Input, taken: asyncio.Future[str] | None = None) -> None:
        self._inbox.append((record, taken))
        self._news.set()

    # What follows once it is durable.

    async def _save(self) -> None:
        if self._store is None:
            return
        failures = 0
        while True:
            try:
                await self._store.save(self._history.state(self.run))
            except Exception as error:  # noqa: BLE001  # a store may raise anything
                pause_s = _SAVE_AGAIN_S[min(failures, len(_SAVE_AGAIN_S) - 1)]
                failures += 1
                logger.warning(
                    "workflow %s could not be saved (%s: %s) and waits; trying again in %g s",
                    self.run.workflow_id,
                    type(error).__name__,
                    error,
                    pause_s,
                )
                await asyncio.sleep(pause_s)
            else:
                return

    def _saved(self) -> None:
        self.status = status_of(self.run.status)
        facts, self._facts = self._facts, []
        effects, self._effects = self._effects, []
        self._cancel_stale()
        for effect in effects:
            self._begin(effect)
        if self.run.ended:
            self._end()
        tell_all(self._observers, facts)

    def _end(self) -> None:
        self._result = getattr(self._history.events[-1], "result", NULL)
        self.machine.close()
        while self._inbox:
            _, waiting = self._inbox.popleft()
            if waiting is not None and not waiting.done():
                waiting.set_result("the run has ended")
        if not self.ended.done():
            self.ended.set_result(None)

    def _begin(self, effect: DispatchActivity) -> None:
        opened = self.run.activities.get(effect.activity_id)
        if opened is None or opened.attempt != effect.attempt:
            return  # given up within the same turn
        called = self.machine.called.get(opened.activity_id, opened.name)
        activity = self._activities.get(called) if isinstance(called, str) else called
        details = self._details.get(opened.activity_id, NULL)
        attempt = Attempt(self.run, opened, activity, details)
        self._attempts[attempt.key] = attempt
        attempt.task = asyncio.get_running_loop().create_task(self._attempt(attempt))
        if opened.schedule_to_start_ms:
            ids = (self.run.run_id, *attempt.key)
            self._bring(AttemptStarted(*ids, self._now_ms()))

    async def _attempt(self, attempt: Attempt) -> None:
        try:
            outcome = await attempt.run()
        finally:
            self._details[attempt.key[0]] = attempt.details
            self._attempts.pop(attempt.key, None)
        self._bring(outcome)

    def _cancel_stale(self) -> None:
        """Nobody waits any more for attempts that have timed out, were cancelled, or whose run has ended."""
        open_ones = {
            (opened.activity_id, opened.attempt)
            for opened in self.run.activities.values()
            if not opened.waiting
        }
        for key in self._attempts.keys() - open_ones:
            self._attempts[key].cancel()
        for activity_id in self._details.keys() - self.run.activities.keys():
            del self._details[activity_id]
        for activity_id in self.machine.called.keys() - self.run.activities.keys():
            del self.machine.called[activity_id]

    def _now_ms(self) -> int:
        return int(self._host.time() * 1000)
