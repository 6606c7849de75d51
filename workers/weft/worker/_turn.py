"""One step of one workflow: append what was decided, wake its code, append what the code asks for.

A turn is all or nothing. When the code cannot be driven (it is unknown here, it does not match its history, it broke
the engine) the turn's events are taken back and the run is blocked with the reason; the record that came is kept with
it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Container, Sequence

from weft.codec import decode_results, encode
from weft.core import (
    Command,
    Decision,
    DispatchActivity,
    PublishRecord,
    Run,
    decide,
    decide_commands,
    decide_refusal,
    next_due_ms,
    number_of,
)
from weft.errors import (
    LogUnavailableError,
    PayloadError,
    PayloadTooLargeError,
    TopicError,
    UpdateRejectedError,
)
from weft.executor import note
from weft.payloads import Payloads
from weft.records import (
    HELD,
    NULL,
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    AttemptUnreadable,
    CancelWorkflow,
    FailureInfo,
    HistoryEvent,
    Payload,
    RecordDeferred,
    UpdateWorkflow,
    WorkflowBlocked,
    WorkflowContinued,
    WorkflowReset,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTimedOut,
    WorkflowUnblocked,
)
from weft.worker._answers import LIFECYCLE, lifecycle_event
from weft.worker._batch import Batch
from weft.worker._bounds import Refused, bounded, is_within
from weft.worker._cell import Cell
from weft.worker._code import BROKEN, Code, running
from weft.worker._messenger import TELLING, Messenger
from weft.worker._next_run import CONTINUES_MAX, opening_after, opening_of, unneeded
from weft.worker._reasons import NAME_LENGTH_MAX, TEXT_LENGTH_MAX, told, writable
from weft.worker._sealing import readable, sealed, sealed_status
from weft.worker._watch import GIVES_UP, AttemptWatch
from weft.workflow import ACTIVATIONS

logger = logging.getLogger("weft.worker")

_TOLD_REASONS_MAX = 1000
"""Different reasons for blocked runs that one partition's log shows; the metrics and `weft list` have them all."""
REFUSED_MAX = 10_000
"""Activities and children that fail within one step because they are too large: code that asks again and again must
come to an end."""
_BEFORE_ANY_CODE = (WorkflowReset, WorkflowBlocked, RecordDeferred, WorkflowUnblocked)
"""What may follow the events that a run begins with, before its code does."""
_ENDLESS = (
    f"Its code has continued as a new run {CONTINUES_MAX} times without waiting for anything. Let it wait for a "
    "timer, a signal or an activity, or end; the run continues by itself then."
)


class Turn:
    """Takes the steps of one partition's workflows."""

    def __init__(
        self,
        partition: int,
        code: Code,
        *,
        namespace: str,
        queues: Container[str],
        watch: AttemptWatch,
        payloads: Payloads,
        messenger: Messenger,
        observed: bool = False,
    ) -> None:
        self.count = 0
        self._code = code
        self._observed = observed
        self._told_reasons: set[str] = set()
        self.on_continued: Callable[[Cell, Batch], None] | None = None
        """Told of a run that another one continues, as long as its history is there."""
        self._messenger = messenger
        self._payloads = payloads
        self._queues = queues
        self._watch = watch
        self._partition = partition
        self._namespace = namespace
        self.workflows = code.workflows

    def start(self, cell: Cell, decision: Decision, batch: Batch) -> None:
        """The first turn of a new run. A workflow that this worker does not know starts blocked."""
        started = decision.events[0]
        assert isinstance(started, WorkflowStarted), "a run begins with its start"
        self._open(cell, decision.events, batch)
        self._follow(cell, batch)

    def _open(self, cell: Cell, opening: Sequence[HistoryEvent], batch: Batch) -> None:
        """Append what a new run begins with, and let its code begin."""
        for event in opening:
            self._append(cell, event, batch)
        run = running(cell)
        problem = self.workflows.problem(run.workflow, run.version)
        if problem:
            self._block(cell, problem, batch, opening[0].time_ms, "", None)
            return
        cell.machine = self._code.new_machine(cell)
        self._wake(cell, opening, batch, now_ms=opening[0].time_ms)
        self.count += 1

    def _follow(self, cell: Cell, batch: Batch) -> None:
        """As long as the run has asked to continue as a new one: begin that."""
        count = 0
        while (run := running(cell)).status == "continued":
            count += 1
            continued = cell.last_event()
            assert isinstance(continued, WorkflowContinued), "its last event says so"
            if self.on_continued is not None:
                self.on_continued(cell, batch)
            opening = self._prepare_next(cell, run, continued, batch)
            if count > CONTINUES_MAX:
                for event in opening:
                    self._append(cell, event, batch)
                self._block(cell, _ENDLESS, batch, continued.time_ms, "", None)
                return
            self._open(cell, opening, batch)
            if continued.cancel_requested and not running(cell).ended:
                self._pass_on_cancellation(cell, run, batch, continued.time_ms)

    def _prepare_next(
        self, cell: Cell, run: Run, continued: WorkflowContinued, batch: Batch
    ) -> Sequence[HistoryEvent]:
        """Clear the former run away; returns what the next begins with."""
        machine = cell.machine
        assert machine is not None, "its code has just ended it"
        assert machine.started is not None, "its code has begun"
        events = opening_after(
            machine.started,
            run,
            continued,
            machine.unconsumed(),
            version=self.workflows.chosen(run.workflow, ""),
            custom_status=cell.custom_status,
        )
        self.clear_away(cell, batch, unneeded(cell.stored, events))
        custom_status = cell.custom_status
        cell.new_run()
        cell.custom_status = custom_status
        return events

    def clear_away(self, cell: Cell, batch: Batch, removed: Collection[str]) -> None:
        """Of a run that has ended: its attempts, its pages, and those keys of its payloads in the store."""
        self._watch.settle(cell, batch)
        for key in cell.sealed_keys():
            batch.state(self._partition, key, None)
        if removed:
            batch.removals.append((cell.workflow_id, list(removed)))

    def _pass_on_cancellation(self, cell: Cell, former: Run, batch: Batch, now_ms: int) -> None:
        """The former run's code was asked to end and has not heard of it."""
        decision = decide(
            running(cell), CancelWorkflow(former.cancel_reason), now_ms=now_ms, draw=0.0
        )
        self._take(
            cell, decision, batch, source="signals", record=CancelWorkflow(former.cancel_reason)
        )

    def take(
        self,
        cell: Cell,
        decision: Decision,
        batch: Batch,
        *,
        source: str = "",
        record: object = None,
    ) -> None:
        """Append a decision's events and let the code answer. `record` is kept if the run has to be blocked."""
        self._take(cell, decision, batch, source=source, record=record)
        self._follow(cell, batch)

    def _take(
        self,
        cell: Cell,
        decision: Decision,
        batch: Batch,
        *,
        source: str = "",
        record: object = None,
    ) -> None:
        now_ms = decision.events[0].time_ms
        wakes = not ACTIVATIONS.isdisjoint(map(type, decision.events)) or (
            bool(decision.effects) and self._code.brings_activities(cell)
        )
        if wakes and cell.machine is None:
            problem = self._code.drive(cell)
            if problem:
                self._block(cell, problem, batch, now_ms, source, record)
                return

        def step() -> None:
            for event in decision.events:
                self._append(cell, event, batch)
                if type(event) in ACTIVATIONS:
                    self._activate(cell, event, batch)
            for effect in decision.effects:
                self._dispatch(cell, effect, batch)

        self._guarded(cell, step, batch, now_ms=now_ms, source=source, record=record)
        self.count += 1

    def defer(self, cell: Cell, source: str, record: object, now_ms: int) -> None:
        """Keep a record for a blocked or suspended run."""
        event_id = running(cell).last_event_id + 1
        cell.append(RecordDeferred(event_id, now_ms, source, Payload(encode(record))))

    def unblock(self, cell: Cell, batch: Batch, now_ms: int) -> Sequence[RecordDeferred]:
        """Try the code of a blocked run again; returns the records that were kept for it when it fits."""
        run = running(cell)
        history = cell.history()
        opening = opening_of(history)
        started = opening[0]
        assert isinstance(started, WorkflowStarted), "a run begins with its start"
        never_ran = not started.seed_run_id and all(
            isinstance(event, _BEFORE_ANY_CODE) for event in history[len(opening) :]
        )
        # Nobody knew it when it began, if it has no version: now it gets the newest.
        version = run.version or (self.workflows.chosen(run.workflow, "") if never_ran else "")
        problem = (
            self.workflows.problem(run.workflow, version) if never_ran else self._code.drive(cell)
        )
        if problem:
            if writable(problem) != run.reason:
                # Other code, other trouble: who mends it must not read of the last one's.
                self._block(cell, problem, batch, now_ms, "", None)
            return ()
        deferred = run.deferred
        given = "" if run.version else version
        self._append(cell, WorkflowUnblocked(run.last_event_id + 1, now_ms, given), batch)
        if never_ran:
            cell.machine = self._code.new_machine(cell)
            self._wake(cell, opening, batch, now_ms=now_ms)
            self._follow(cell, batch)
        return deferred

    def suspend(self, cell: Cell, reason: str, batch: Batch, now_ms: int) -> None:
        """Hold a running run. Its code goes, and comes back by replay when it is resumed."""
        cell.close()
        event_id = running(cell).last_event_id + 1
        self._append(cell, WorkflowSuspended(event_id, now_ms, writable(reason)), batch)

    def resume(self, cell: Cell, batch: Batch, now_ms: int) -> Sequence[RecordDeferred]:
        """Let a suspended run go on, or block it if its code no longer fits; returns the records kept for it."""
        run = running(cell)
        problem = self._code.drive(cell) if cell.machine is None else ""
        if problem:
            self._block(cell, problem, batch, now_ms, "", None)
            return ()
        deferred = run.deferred
        self._append(cell, WorkflowResumed(run.last_event_id + 1, now_ms), batch)
        return deferred

    def why_not_from(
        self,
        workflow_id: str,
        events: Sequence[HistoryEvent],
        *,
        begins_anew: bool,
        bytes_max: int,
    ) -> str:
        """Why no run can go on from these events; empty when one can. `begins_anew`: no code has seen any of them."""
        trial = Cell(workflow_id)
        run = trial.new_run()
        for event in events:
            trial.append(event)
        if trial.tail_bytes > bytes_max:
            return (
                f"its events up to there have {trial.tail_bytes:,} bytes; {bytes_max:,} is the most"
            )
        for activity in run.activities.values():
            if not activity.inline and activity.queue not in self._queues:
                return f"activity {activity.name!r} is open there, and its task queue {activity.queue!r} has no topic"
        if begins_anew:
            return self.workflows.problem(run.workflow, run.version)
        problem = self._code.drive(trial)
        trial.close()
        return problem

    def give_way(self, cell: Cell, next_run_id: str, batch: Batch, now_ms: int) -> None:
        """End an open run for a next one; its children that are open end with it, as each was started."""
        if cell.ended:
            return
        event_id = running(cell).last_event_id + 1
        self._append(cell, WorkflowContinued(event_id, now_ms, next_run_id), batch)

    def begin_from(
        self, cell: Cell, events: Sequence[HistoryEvent], batch: Batch, *, begins_anew: bool
    ) -> None:
        """Begin a run with events that another one has had, and a reset as their last. Nobody hears of those again."""
        *kept, reset = events
        for event in kept:
            cell.append(event)
        self._append(cell, reset, batch)
        if begins_anew:
            started = kept[0]
            assert isinstance(started, WorkflowStarted), "a run begins with its start"
            cell.custom_status = started.custom_status
            cell.machine = self._code.new_machine(cell)
            self._wake(cell, kept, batch, now_ms=reset.time_ms)
            self._follow(cell, batch)
            return
        problem = self._code.drive(cell)
        if problem:
            self._block(cell, problem, batch, reset.time_ms, "", None)
            return
        self._guarded(
            cell, lambda: None, batch, now_ms=reset.time_ms
        )  # what the code says of itself

    def bring_out(self, cell: Cell, attempts: Sequence[tuple[int, int]], batch: Batch) -> None:
        """Those of these attempts, (activity, attempt), that the run still waits for."""
        for activity_id, attempt in attempts:
            activity = running(cell).activities.get(activity_id)
            if activity is not None and (activity.attempt, activity.waiting) == (attempt, False):
                self._dispatch(cell, DispatchActivity(activity_id, attempt), batch)

    def validate(
        self, cell: Cell, request: UpdateWorkflow, batch: Batch, now_ms: int
    ) -> FailureInfo | None:
        """Why the code of a running run does not let an update pass, which stays nowhere then.

        When the code cannot be asked there is no saying: the run is blocked then.
        """
        if cell.machine is None:
            problem = self._code.drive(cell)
            if problem:
                self._block(cell, problem, batch, now_ms, "", None)
                return None
        machine = cell.machine
        assert machine is not None, "the code was driven"
        try:
            machine.validate(request.update, request.payload)
        except UpdateRejectedError as error:
            failure = FailureInfo(
                writable(error.type[:NAME_LENGTH_MAX]), writable(error.reason[:TEXT_LENGTH_MAX])
            )
            return self._payloads.encode_failure(failure, cell.workflow_id)
        except PayloadError as error:
            self.break_off(cell, error, batch, now_ms=now_ms)
        except BROKEN as error:
            reason = f"the validator of update {request.update!r} raised {told(error, machine)}"
            cell.close()  # where it was broken off nobody knows
            return FailureInfo(type(error).__name__, reason)
        return None

    def break_off(
        self,
        cell: Cell,
        error: BaseException,
        batch: Batch,
        *,
        now_ms: int,
        source: str = "",
        record: object = None,
    ) -> None:
        """Block a run whose turn could not be taken: its code goes, and comes back by replay when it is tried again."""
        reason = told(error, cell.machine)
        cell.close()
        self._block(cell, reason, batch, now_ms, source, record)

    def time_out(self, cell: Cell, batch: Batch, now_ms: int) -> None:
        """End a blocked or suspended run whose time is over."""
        run = running(cell)
        event = WorkflowTimedOut(run.last_event_id + 1, now_ms, run.timeout_ms)
        self._append(cell, event, batch)

    def restart_inline(self, cell: Cell, batch: Batch) -> None:
        """After a takeover: run inline activities again whose results were never written."""
        run = running(cell)
        if run.has_open_inline and self._code.brings_activities(cell) and cell.machine is None:
            problem = self._code.drive(cell)
            if problem:
                if run.status not in HELD:
                    self._block(cell, problem, batch, run.updated_ms, "", None)
                return
        kept = kept_results(run)
        for activity in running(cell).activities.values():
            attempt = (activity.activity_id, activity.attempt)
            if activity.inline and not activity.waiting and attempt not in kept:
                self._dispatch(cell, DispatchActivity(*attempt), batch)

    def next_look_ms(self, cell: Cell) -> int:
        """When the partition's clock must have this cell again; 0 is never."""
        run = running(cell)
        if run.status in HELD:
            return run.deadline_ms
        return next_due_ms(run)

    def _wake(
        self, cell: Cell, opening: Sequence[HistoryEvent], batch: Batch, *, now_ms: int
    ) -> None:
        def step() -> None:
            for event in opening:
                self._activate(cell, event, batch)

        self._guarded(cell, step, batch, now_ms=now_ms)

    def _guarded(
        self,
        cell: Cell,
        step: Callable[[], None],
        batch: Batch,
        *,
        now_ms: int,
        source: str = "",
        record: object = None,
    ) -> None:
        """Do one step of a run. When it breaks, nothing of it stays, and the run is blocked.

        Raises LogUnavailableError when the log was asked and did not answer: the whole batch is given up then.
        """
        mark, writes, inline = len(cell.tail), len(batch.writes), len(batch.inline)
        facts = len(batch.facts)
        try:
            step()
            if cell.machine is not None:
                cell.custom_status = sealed_status(cell.machine, self._payloads)
        except LogUnavailableError:
            raise  # no fault of this run's: all that is not committed is forgotten
        except BROKEN as error:
            del batch.writes[writes:], batch.inline[inline:], batch.facts[facts:]
            cell.rewind(mark)
            self.break_off(cell, error, batch, now_ms=now_ms, source=source, record=record)

    def _activate(self, cell: Cell, event: HistoryEvent, batch: Batch) -> None:
        assert cell.machine is not None, "the code is driven before it is woken"
        commands = cell.machine.activate(event)
        if not commands:
            return
        refused = self._ask(cell, commands, event.time_ms, batch)
        if refused:
            self._refuse(cell, refused, event.time_ms, batch)

    def _ask(
        self, cell: Cell, commands: Sequence[Command], now_ms: int, batch: Batch
    ) -> Sequence[Refused]:
        """Append what the code asked for and bring it out; returns what cannot be: too large, or without a receiver."""
        run = running(cell)
        if self._payloads.has_codecs:
            commands = sealed(commands, self._payloads, cell.workflow_id)
        refused: Sequence[Refused] = self._messenger.unreachable(commands)
        if not is_within(commands, self._payloads.bytes_max):
            commands, too_large = bounded(
                commands, self._payloads, workflow_id=cell.workflow_id, run_id=run.run_id
            )
            refused = [*refused, *too_large]
        events, effects, _ = decide_commands(run, commands, now_ms=now_ms)
        if refused:
            refused_ids = {number_of(command) for command, _ in refused}
            effects = [effect for effect in effects if effect.activity_id not in refused_ids]
            for command, event in zip(commands, events, strict=True):
                is_told = number_of(command) not in refused_ids
                self._append(cell, event, batch, is_told=is_told)
        else:
            for event in events:
                self._append(cell, event, batch)
        for command in commands:
            if type(command) is PublishRecord and command.failure is None:
                batch.publish(command)
        if run.ended:
            return ()
        for effect in effects:
            self._dispatch(cell, effect, batch)
        return refused

    def _refuse(self, cell: Cell, refused: Sequence[Refused], now_ms: int, batch: Batch) -> None:
        """Fail what could not be brought out, as events: a replay must find the same, whatever takes it then."""
        assert cell.machine is not None, "the code has just asked"
        waiting = deque(refused)
        count = 0
        while waiting:
            command, failure = waiting.popleft()
            failed = decide_refusal(running(cell), command, failure, now_ms=now_ms)
            if failed is None:
                continue  # the code has given it up since, or has ended
            count += 1
            if count > REFUSED_MAX:
                raise PayloadTooLargeError(
                    f"more than {REFUSED_MAX} activities of one step are too large, and its code asks on: "
                    f"{failure.message}"
                )
            self._append(cell, failed, batch)
            waiting += self._ask(cell, cell.machine.activate(failed), now_ms, batch)

    def _append(
        self, cell: Cell, event: HistoryEvent, batch: Batch, *, is_told: bool = True
    ) -> None:
        """`is_told`: other workflows hear of it, if it is one that they should hear of."""
        run = running(cell)
        if run.open_inline_count and type(event) in GIVES_UP:
            self._watch.give_up(cell.workflow_id, run, event)
        if type(event) in TELLING and is_told:
            self._messenger.tell(run, event, batch)
        if self._observed:
            told = readable(event, self._payloads, cell.workflow_id)
            note(batch.facts, run, told)
        cell.append(event)
        kind = LIFECYCLE.get(type(event))
        if kind is not None:
            published = lifecycle_event(self._namespace, running(cell), event, kind)
            batch.event(self._partition, cell.key, published)

    def _block(
        self, cell: Cell, reason: str, batch: Batch, now_ms: int, source: str, record: object
    ) -> None:
        event_id = running(cell).last_event_id + 1
        if reason not in self._told_reasons and len(self._told_reasons) < _TOLD_REASONS_MAX:
            self._told_reasons.add(
                reason
            )  # a thousand runs of a workflow that is not here are one line
            logger.warning("workflow %r is blocked: %s", cell.workflow_id, writable(reason))
        self._append(cell, WorkflowBlocked(event_id, now_ms, writable(reason)), batch)
        if record is not None:
            self.defer(cell, source, record, now_ms)

    def _dispatch(self, cell: Cell, effect: DispatchActivity, batch: Batch) -> None:
        run = running(cell)
        activity = run.activities.get(effect.activity_id)
        if activity is None:
            return  # scheduled and given up within one turn
        progress = self._watch.progress
        task = ActivityTask(
            run.run_id,
            activity.activity_id,
            effect.attempt,
            activity.name,
            activity.input,
            run.workflow,
            activity.start_to_close_ms,
            run.updated_ms,
            activity.heartbeat_timeout_ms,
            activity.schedule_to_start_ms,
            NULL
            if not progress.by_workflow
            else progress.details(cell.workflow_id, run.run_id, activity.activity_id),
            run.traceparent,
        )
        if activity.inline:
            batch.inline.append((self._partition, cell.workflow_id, task))
        elif activity.queue in self._queues:
            batch.task(self._partition, cell.key, activity.queue, task)
        else:
            raise TopicError(
                f"activity {activity.name!r} goes to task queue {activity.queue!r}, which has no topic. Make it "
                f"with `weft topics create --queue {activity.queue}` and restart the worker; the run continues then."
            )


def kept_results(run: Run) -> set[tuple[int, int]]:
    """(activity, attempt) of those that have ended while the run was held."""
    records = (decode_results(one.record) for one in run.deferred if one.source == "results")
    return {
        (record.activity_id, record.attempt)
        for record in records
        if isinstance(record, AttemptCompleted | AttemptFailed | AttemptUnreadable)
    }
