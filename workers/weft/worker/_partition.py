"""The workflows of one owned partition: records and due times in, effects into a batch out.

No I/O happens here, and the clock comes in as an argument, so the same class serves on both logs and in tests. A
partition is made from its state records (`load`), served, and thrown away when a commit fails: nothing in it is the
truth.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Container, Mapping
from itertools import islice
from typing import Any

from weft.codec import decode_messages, decode_results, decode_signals
from weft.core import Decision, Due, Input, LeaseExpired, Run, decide, decide_start
from weft.errors import PayloadDecodeError
from weft.host import HOST, Host
from weft.log import LogRecord
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import (
    HELD,
    AttemptCompleted,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptReleased,
    AttemptStarted,
    AttemptUnreadable,
    AwaitUpdate,
    Caller,
    Claim,
    Payload,
    PurgeWorkflow,
    QueriesRecord,
    QueryWorkflow,
    ReplyTo,
    ResultsRecord,
    ResumeWorkflow,
    SignalsRecord,
    StartWorkflow,
    Status,
    SuspendWorkflow,
    TerminateWorkflow,
    UnblockWorkflow,
    UpdateWorkflow,
    is_same_chain,
)
from weft.topics import Namespace
from weft.worker import _answers as answers
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._cells import HOT_MAX, Cells
from weft.worker._directory import Directory
from weft.worker._intake import Intake
from weft.worker._long import LongHistories
from weft.worker._mailbox import Mailbox
from weft.worker._memory import READ_BACK_MAX, Memory
from weft.worker._messenger import Messenger
from weft.worker._progress import activity_id_of
from weft.worker._publisher import Publisher
from weft.worker._rebuild import Rebuild
from weft.worker._room import Room
from weft.worker._shelf import Shelf
from weft.worker._turn import Turn
from weft.worker._updates import Updates
from weft.worker._watch import NOT_WAITED_FOR, AttemptWatch
from weft.workflow import UNGUARDED, Guard, Workflow

logger = logging.getLogger("weft.worker")

WAITERS_MAX = 1000
"""Clients that one workflow remembers as waiting: those that gave up are not told apart from those that wait."""


class Partition:
    """Everything that the owner of partition `number` knows. Used by one thread."""

    def __init__(
        self,
        number: int,
        *,
        namespace: Namespace,
        partition_count: int,
        workflows: Mapping[str, Workflow[Any, Any]],
        queues: Container[str],
        guard: Guard = UNGUARDED,
        payloads: Payloads | None = None,
        publisher: Publisher | None = None,
        hot_max: int = HOT_MAX,
        memory: Memory | None = None,
        directory: Directory | None = None,
        observed: bool = False,
        host: Host = HOST,
    ) -> None:
        """`memory` bounds what is kept of the workflows: the rest is left on the log until it is needed.

        `directory` knows the namespaces that messages go to; without one, that is the own alone. If it is `observed`, a
        batch has facts.
        """
        self.number = number
        self._shelf = Shelf(namespace.state, number, memory) if memory is not None else None
        self.cells = Cells(hot_max, self._shelf, self._may_leave)
        self.statuses: Counter[str] = Counter()
        """How many workflows there are, by status."""
        self.dropped: Counter[str] = Counter()
        """Records that changed nothing, by reason, since the owner last asked."""
        self.unmatched: dict[str, tuple[str, str]] = {}
        """Workflow and version of open runs that are not here, by workflow ID: they are blocked when their code is
        needed."""
        self.lost: Counter[str] = Counter()
        """Leased attempts that were lost with their workers, by reason."""
        self._watch = AttemptWatch(number)
        self._namespace = namespace
        self._host = host
        self.long = LongHistories()
        self._payloads = payloads or Payloads(namespace.name, host=host)
        directory = directory or Directory(namespace, partition_count)
        self.messenger = Messenger(number, directory, self._payloads)
        self.mailbox = Mailbox(self, self.messenger)
        self._turn = Turn(
            number,
            namespace=namespace.name,
            workflows=workflows,
            queues=queues,
            watch=self._watch,
            guard=guard,
            observed=observed,
            payloads=self._payloads,
            messenger=self.messenger,
            publisher=publisher or Publisher(namespace, host=host),
        )
        self._updates = Updates(self._turn, self._warm, self._take)
        self._told_continued: Callable[[Cell], None] | None = None
        self._turn.on_continued = self._leave_behind
        self._to_try: deque[str] = deque()
        """Runs that were blocked when the partition was loaded."""
        self._clock: list[tuple[int, str]] = []
        self._dirty: dict[str, Cell] = {}
        self._grown_bytes = 0
        """How much more the changed states will take than the batch knows."""
        self._rebuild = Rebuild(
            namespace,
            number,
            self.cells,
            self._shelf,
            self._watch.progress,
            self.long,
            workflows=self._turn.workflows,
        )
        self.intake = Intake(self, number, namespace=namespace, partition_count=partition_count)

    def tell_continued(self, told: Callable[[Cell], None]) -> None:
        """Let this be told of each run that another one continues, as long as its history is there."""
        self._told_continued = told

    def _leave_behind(self, cell: Cell, batch: Batch) -> None:
        """This run is continued by another one: who waits for what only it knows is told now."""
        self._updates.answer(cell, batch)
        if self._told_continued is not None:
            self._told_continued(cell)

    # Rebuilding.

    def load(self, record: LogRecord) -> Claim | None:
        """Take in one record of the state topic; returns it if it is a claim."""
        return self._rebuild.load(record)

    def loaded(self) -> None:
        """All state is in: count the workflows, and give open runs their pages and their place on the clock."""
        rebuilt = self._rebuild.done()
        self.statuses.update(rebuilt.statuses)
        self._to_try = rebuilt.blocked
        self.unmatched = rebuilt.unmatched
        for (workflow, version), count in Counter(rebuilt.unmatched.values()).items():
            logger.warning(
                "%s runs wait for code: %s", count, self._turn.workflows.problem(workflow, version)
            )
        self._clock = rebuilt.clock
        self.cells.shed(self._may_cool)

    def resume_blocked(self, batch: Batch, now_ms: int, room: Room | None = None) -> bool:
        """Try every blocked run again: this worker's code may be the one that fits.

        False when `room` is used up: the others are tried in the next batch, so that the partition is served in
        between.
        """
        tried_count = 0
        while self._to_try and (room is None or room.is_left):
            if tried_count % READ_BACK_MAX == 0:
                self.cells.read_back(islice(self._to_try, READ_BACK_MAX))
            tried_count += 1
            cell = self.cells.get(self._to_try.popleft())
            if cell is not None and cell.status == "blocked":
                self._try_again(cell, batch, now_ms)
                self._plan(batch)
        return not self._to_try

    # Serving.

    def handle(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        """One record that came in. What cannot be understood is put aside; it never stops the partition."""
        self.intake.take(record, batch, now_ms)
        self._plan(batch)

    def handle_result(
        self, workflow_id: str, result: ResultsRecord, batch: Batch, now_ms: int
    ) -> None:
        """What came of an inline activity."""
        cell = self.cells.get(workflow_id)
        if cell is None:
            self.drop_result(result, "no such workflow", batch)
        else:
            self.take_result(cell, result, batch, now_ms)
            self._plan(batch)

    def fire_due(self, batch: Batch, now_ms: int, count_max: int, room: Room | None = None) -> int:
        """Let what is due happen, oldest first; returns how many did.

        One item a workflow, and the next one when every other had its turn: a thousand timers of one must not hold up
        the others'. Stops when `count_max` have happened or `room` is used up.
        """
        fired = 0
        while entries := self._due_entries(now_ms, count_max - fired):
            for position, (due_ms, workflow_id) in enumerate(entries):
                if room is not None and not room.is_left:
                    for entry in entries[position:]:
                        heapq.heappush(self._clock, entry)
                    return fired
                if position % READ_BACK_MAX == 0:
                    following = entries[position : position + READ_BACK_MAX]
                    self.cells.read_back(workflow_id for _, workflow_id in following)
                if self.cells.due_ms(workflow_id) == due_ms:
                    cell = self.cells[workflow_id]
                    cell.due_ms = 0
                    self._fire(cell, batch, now_ms)
                    self._plan(batch)
                    fired += 1
        return fired

    def watch_leases(
        self, batch: Batch, now_ms: int, passed_s: float, room: Room | None = None
    ) -> None:
        """So much time has passed for the workers that hold leases: what they lost goes to others.

        As far as there is room; the rest with the next batch.
        """
        running = self._watch.running
        if not running.pass_time(passed_s):
            return
        while (room is None or room.is_left) and (silent := running.next_silent()) is not None:
            workflow_id, attempt = silent
            cell = self.cells.get(workflow_id)
            # A run that is held takes up nothing; it looks again after another lease's time.
            if cell is not None and not cell.ended and cell.status not in HELD:
                self._expire(cell, LeaseExpired(attempt.activity_id, attempt.lease), batch, now_ms)
                self._plan(batch)

    def _expire(self, cell: Cell, expired: LeaseExpired, batch: Batch, now_ms: int) -> None:
        self._warm(cell, batch)
        decision = self._decide(cell, expired, batch, now_ms)
        if decision is not None and decision.events:
            self._turn.take(cell, decision, batch)
            self._touch(cell)
            self._plan(batch)
            self.lost["silent"] += 1

    def _due_entries(self, now_ms: int, count_max: int) -> list[tuple[int, str]]:
        """Take at most so many entries that are due off the clock."""
        clock, entries = self._clock, list[tuple[int, str]]()
        while len(entries) < count_max and clock and clock[0][0] <= now_ms:
            entries.append(heapq.heappop(clock))
        return entries

    def next_due_ms(self) -> int:
        """When something is due next; 0 is never."""
        while self._clock:
            due_ms, workflow_id = self._clock[0]
            if self.cells.due_ms(workflow_id) == due_ms:
                return due_ms
            heapq.heappop(self._clock)
        return 0

    def flush(self, batch: Batch) -> None:
        """Write one head for each workflow that changed, and the pages that its history completed."""
        is_busy = self._watch.is_busy
        for cell in self._dirty.values():
            for key, value in cell.seal():
                batch.state(self.number, key, value)
            batch.state(self.number, cell.key, cell.encode_head())
            cell.planned_bytes = 0
            self._count(cell, cell.status)
            self._note_unmatched(cell)
            if is_busy:
                self._watch.settle(cell, batch)
            if cell.largest_bytes or self.long.knows(cell.workflow_id):
                self._note_size(cell)
            self._updates.answer(cell, batch)
            if cell.ended:
                self._answer_waiters(cell, batch)
            self.cells.used(cell)
        self._dirty.clear()
        self.cells.shed(self._may_cool)
        for workflow_id in self._watch.changed():
            self._watch.settle(self.cells[workflow_id], batch)

    def placed(self, key: bytes, offset: int) -> None:
        """A head or page of the batch that was just committed lies there. For partitions with a bound."""
        assert self._shelf is not None, "nobody asks without a bound"
        workflow_id, _, rest = key.decode().partition("\0")
        number = rest.rpartition("\0")[2]
        if workflow_id not in self.cells:
            return
        if not rest:
            self._shelf.note(workflow_id, offset)
        elif activity_id_of(number) is None:
            self._shelf.note_page(workflow_id, int(number), offset)

    def _note_unmatched(self, cell: Cell) -> None:
        run = cell.run
        if (
            run is not None
            and not run.ended
            and self._turn.workflows.find(run.workflow, run.version) is None
        ):
            self.unmatched[cell.workflow_id] = (run.workflow, run.version)
        elif self.unmatched:
            self.unmatched.pop(cell.workflow_id, None)

    def _may_cool(self, cell: Cell) -> bool:
        return self._may_leave(cell) and not self.long.knows(cell.workflow_id)

    def _may_leave(self, cell: Cell) -> bool:
        """Not what this process alone knows of: changes to be written, and attempts that run for it."""
        run = cell.run
        return (
            cell.encoded is not None
            and cell.workflow_id not in self._dirty
            and not (run is not None and (run.has_open_inline or run.leased_count))
            and cell.workflow_id not in self._watch.progress.by_workflow
        )

    def _note_size(self, cell: Cell) -> None:
        self.long.changed(cell)
        self._payloads.largest_bytes = max(self._payloads.largest_bytes, cell.largest_bytes)

    def report(self, metrics: WorkerMetrics) -> None:
        """Add what was counted since the last report."""
        metrics.turns.inc(self._turn.count)
        metrics.partition_records.labels(str(self.number)).inc(self.intake.record_count)
        metrics.forwarded.inc(self.intake.forwarded_count)
        for reason, count in self.dropped.items():
            metrics.dropped.labels(reason).inc(count)
        for topic, count in self.intake.deadlettered.items():
            metrics.deadletters.labels(topic).inc(count)
        for reason, count in self.lost.items():
            metrics.leases_lost.labels(reason).inc(count)
        self._turn.count = self.intake.record_count = self.intake.forwarded_count = 0
        self.lost.clear()
        self.dropped.clear()
        self.intake.deadlettered.clear()

    def close(self) -> None:
        """Drop all code that waits."""
        for cell in self.cells.hot():
            cell.close()
        self.cells.clear()

    # Requests. Each returns why it could not be met; empty when it was.

    def take_request(
        self, workflow_id: str, request: SignalsRecord, batch: Batch, now_ms: int
    ) -> str:
        cell = self.cells.get(workflow_id)
        if isinstance(request, StartWorkflow):
            return self._start(cell or Cell(workflow_id), request, batch, now_ms)
        to = request.reply_to
        if cell is None:
            if to is not None:
                batch.reply(to, answers.unknown(to))
            return f"there is no workflow {workflow_id!r}"
        if isinstance(request, UpdateWorkflow):
            return self._updates.take(cell, request, batch, now_ms)
        if isinstance(request, PurgeWorkflow):
            reason = self._purge(cell, request, batch)
        elif isinstance(request, UnblockWorkflow):
            reason = self._unblock(cell, batch, now_ms)
        elif isinstance(request, SuspendWorkflow):
            reason = self._suspend(cell, request.reason, batch, now_ms)
        elif isinstance(request, ResumeWorkflow):
            reason = self._resume(cell, batch, now_ms)
        elif cell.ended:
            reason = f"workflow {workflow_id!r} has ended ({cell.status})"
        else:
            self._take(cell, "signals", request, batch, now_ms)
            reason = ""
        if to is not None:
            answer = answers.refused(to, cell, reason) if reason else answers.accepted(to, cell)
            batch.reply(to, answer)
        return reason

    def _start(self, cell: Cell, request: StartWorkflow, batch: Batch, now_ms: int) -> str:
        to = request.reply_to
        exists = cell.workflow_id in self.cells
        if exists and request.request_id and cell.request_id == request.request_id:
            self._answer_start(cell, to, batch)
            return ""
        if exists and not cell.ended:
            if request.on_conflict == "use_existing":
                self._answer_start(cell, to, batch)
                return ""
            if request.on_conflict == "fail":
                if to is not None:
                    batch.reply(to, answers.conflict(to, cell))
                return f"workflow {cell.workflow_id!r} is running already"
            self._take(cell, "signals", TerminateWorkflow("replaced by a new run"), batch, now_ms)
        self.begin(cell, request, batch, now_ms)
        self._answer_start(cell, to, batch)
        return ""

    def begin(
        self,
        cell: Cell,
        request: StartWorkflow,
        batch: Batch,
        now_ms: int,
        *,
        parent: Caller | None = None,
        version: str = "",
        is_version_required: bool = False,
    ) -> None:
        """A new run, after the one before it, if there was one, has ended. `version` is the one that is wanted."""
        # Who waits for the former run must not get the result of the next.
        self._updates.answer(cell, batch)
        self._answer_waiters(cell, batch)
        self._watch.settle(cell, batch)
        self._delete_pages(cell, batch)
        self._remove_payloads(cell, batch)
        cell.new_run()
        self.cells[cell.workflow_id] = cell
        decision = decide_start(
            request,
            run_id=self._host.token(),
            version=self._turn.workflows.chosen(
                request.workflow,
                version or request.version,
                is_required=is_version_required or bool(request.version),
            ),
            now_ms=now_ms,
            parent=parent,
        )
        self._turn.start(cell, decision, batch)
        self._touch(cell)

    def _answer_start(self, cell: Cell, to: ReplyTo | None, batch: Batch) -> None:
        if to is None:
            return
        if to.until == "accepted":
            batch.reply(to, answers.accepted(to, cell))
        else:
            self._answer_at_end(cell, to, batch)

    def _answer_at_end(self, cell: Cell, to: ReplyTo, batch: Batch) -> None:
        """Answer at once when the end is on the log already, else with the batch that brings it there."""
        if cell.ended and cell.workflow_id not in self._dirty:
            batch.reply(to, answers.ended(to, cell))
            return
        if to.request not in cell.waiters and len(cell.waiters) >= WAITERS_MAX:
            del cell.waiters[next(iter(cell.waiters))]  # who still waits asks again
        cell.waiters[to.request] = to

    def _purge(self, cell: Cell, request: PurgeWorkflow, batch: Batch) -> str:
        if request.run_id and not is_same_chain(request.run_id, cell.run_id):
            return f"workflow {cell.workflow_id!r} has a newer run, {cell.run_id}"
        if not cell.ended:
            return f"workflow {cell.workflow_id!r} is {cell.status}: only ended workflows can be purged"
        self._answer_waiters(cell, batch)
        self._watch.settle(cell, batch)
        self._delete_pages(cell, batch)
        self._remove_payloads(cell, batch)
        batch.state(self.number, cell.key, None)
        self._dirty.pop(cell.workflow_id, None)
        self.unmatched.pop(cell.workflow_id, None)
        self._count(cell, None)
        cell.close()
        del self.cells[cell.workflow_id]
        return ""

    def _unblock(self, cell: Cell, batch: Batch, now_ms: int) -> str:
        if cell.status != "blocked":
            how = f"has ended ({cell.status})" if cell.ended else f"is {cell.status}, not blocked"
            return f"workflow {cell.workflow_id!r} {how}: there is nothing to unblock"
        if self._try_again(cell, batch, now_ms):
            return ""
        return f"workflow {cell.workflow_id!r} is still blocked: {cell.reason}"

    def _suspend(self, cell: Cell, reason: str, batch: Batch, now_ms: int) -> str:
        """Asked twice, it is done once."""
        if cell.status != "running":
            return _why_not(cell, "suspend")
        self._warm(cell, batch)
        self._turn.suspend(cell, reason, batch, now_ms)
        self._touch(cell)
        return ""

    def _resume(self, cell: Cell, batch: Batch, now_ms: int) -> str:
        """Asked twice, it is done once."""
        if cell.status != "suspended":
            return _why_not(cell, "resume")
        self._warm(cell, batch)
        deferred = self._turn.resume(cell, batch, now_ms)
        self._touch(cell)
        for event in deferred:
            self._take_up(cell, event.source, event.record, batch, now_ms)
        return "" if cell.ended else _why_not(cell, "resume")

    def _delete_pages(self, cell: Cell, batch: Batch) -> None:
        for key in cell.sealed_keys():
            batch.state(self.number, key, None)

    def _remove_payloads(self, cell: Cell, batch: Batch) -> None:
        if cell.stored:
            batch.removals.append((cell.workflow_id, list(cell.stored)))

    def answer_query(self, workflow_id: str, query: QueriesRecord, batch: Batch) -> None:
        cell = self.cells.get(workflow_id)
        to = query.reply_to
        if cell is None or (query.run_id and not is_same_chain(query.run_id, cell.run_id)):
            # A zombie does not know what was started since. Its other answers are true, if old, or asked for again.
            batch.needs_proof = True
            batch.reply(to, answers.unknown(to))
        elif isinstance(query, QueryWorkflow):
            self._ask_code(cell, query, batch)
        elif isinstance(query, AwaitUpdate):
            self._updates.ask(cell, query, batch)
        else:
            self._answer_at_end(cell, to, batch)
            if not cell.ended:
                batch.reply(to, answers.running(to, cell))

    def _ask_code(self, cell: Cell, query: QueryWorkflow, batch: Batch) -> None:
        # What a zombie tells may be long past: the answer waits for the proof that this is the owner.
        batch.needs_proof = True
        to = query.reply_to
        if cell.ended or cell.status == "blocked":
            batch.reply(to, answers.refused(to, cell, _why_not(cell, "ask")))
            return
        self._warm(cell, batch)
        answer, problem = self._turn.query(cell, query)
        self.cells.used(cell)
        batch.reply(
            to,
            answers.refused(to, cell, problem) if problem else answers.answered(to, cell, answer),
        )

    # Turns.

    def take_result(self, cell: Cell, result: ResultsRecord, batch: Batch, now_ms: int) -> None:
        if cell.run_id != result.run_id:
            self.drop_result(result, "result of an earlier run", batch)
        elif cell.ended:
            self.drop_result(result, "the run has ended", batch)
        elif isinstance(result, AttemptCompleted):  # nearly all of them
            if self._watch.running.by_workflow:
                self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt)
            self._take(cell, "results", result, batch, now_ms)
        elif isinstance(result, AttemptUnreadable):
            self._hold_unread(cell, result, batch, now_ms)
        else:
            self._take_attempt(cell, result, batch, now_ms)

    def _hold_unread(
        self, cell: Cell, result: AttemptUnreadable, batch: Batch, now_ms: int
    ) -> None:
        """No worker may act on what it cannot read: the run waits for one that can, with the attempt."""
        run = self._warm(cell, batch)
        self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt)
        if run.status in HELD:
            self._take(cell, "results", result, batch, now_ms)
        elif not decide(run, result, now_ms=now_ms, draw=0.0).events:
            self.drop_result(result, NOT_WAITED_FOR, batch)
        else:
            error = PayloadDecodeError(result.reason)
            self._turn.break_off(cell, error, batch, now_ms=now_ms, source="results", record=result)
            self._touch(cell)

    def _take_attempt(
        self,
        cell: Cell,
        result: AttemptFailed | AttemptStarted | AttemptHeartbeat | AttemptReleased,
        batch: Batch,
        now_ms: int,
    ) -> None:
        """How an attempt gets on, or how it ended without success."""
        run = self._warm(cell, batch)
        if isinstance(result, AttemptHeartbeat):
            if not self._watch.hear(cell.workflow_id, run, result):
                self.drop_result(result, NOT_WAITED_FOR, batch)
            return
        if isinstance(result, AttemptStarted):
            self._take(cell, "results", result, batch, now_ms)
            self._watch.grant(cell.workflow_id, cell.warm(), result, batch)
            return
        self._watch.running.end(cell.workflow_id, result.activity_id, result.attempt)
        self._watch.end(cell.workflow_id, run, result)
        is_taken = self._take(cell, "results", result, batch, now_ms)
        if is_taken and isinstance(result, AttemptReleased):
            self.lost["released"] += 1

    def drop_result(self, result: ResultsRecord, reason: str, batch: Batch) -> None:
        self.dropped[reason] += 1
        self._watch.answer_stale(result, reason, batch)

    def _try_again(self, cell: Cell, batch: Batch, now_ms: int) -> bool:
        """Bring a blocked run's code back by replay; where it fits, what came meanwhile is taken up.

        Returns whether the run goes on.
        """
        last_event_id = self._warm(cell, batch).last_event_id
        deferred = self._turn.unblock(cell, batch, now_ms)
        if cell.warm().last_event_id != last_event_id:
            self._touch(cell)
        for event in deferred:
            self._take_up(cell, event.source, event.record, batch, now_ms)
        self._note_unmatched(cell)
        return cell.status != "blocked"

    def take(self, cell: Cell, source: str, record: Input, batch: Batch, now_ms: int) -> None:
        """What another workflow brought about in an open run."""
        self._take(cell, source, record, batch, now_ms)

    def _take_up(self, cell: Cell, source: str, record: Payload, batch: Batch, now_ms: int) -> None:
        """A record that came while the run was held."""
        request = decode_signals(record) if source == "signals" else None
        if isinstance(request, UpdateWorkflow):
            if self._updates.take(cell, request, batch, now_ms):
                self.dropped["an update that was rejected"] += 1
        elif cell.ended:
            self.dropped["the run has ended"] += 1
        elif source == "results":
            result = decode_results(record)
            if isinstance(result, AttemptUnreadable):
                self._take(cell, source, result, batch, now_ms)
            else:
                self.take_result(cell, result, batch, now_ms)
        elif source == "messages":
            self._take(cell, source, decode_messages(record), batch, now_ms)
        else:
            self._take(cell, source, request, batch, now_ms)

    def _take(
        self,
        cell: Cell,
        source: str,
        request: Input | Any,
        batch: Batch,
        now_ms: int,
    ) -> bool:
        """Whether the run took it; what is kept for later, or says nothing new, it did not take."""
        run = self._warm(cell, batch)
        if run.status in HELD and not isinstance(request, TerminateWorkflow):
            self._turn.defer(cell, source, request, now_ms)
            self._touch(cell)
            return False
        decision = self._decide(cell, request, batch, now_ms, source)
        if decision is None:
            return False
        if decision.events:
            self._turn.take(cell, decision, batch, source=source, record=request)
            self._touch(cell)
            return True
        self.dropped[decision.dropped] += 1
        return False

    def _decide(
        self, cell: Cell, record: Input, batch: Batch, now_ms: int, source: str = ""
    ) -> Decision | None:
        """What the record means to the run; None when that broke the core: this run is blocked, the others go on."""
        try:
            return decide(cell.warm(), record, now_ms=now_ms, draw=self._host.random())
        except Exception as error:  # noqa: BLE001  # a bug of ours must not stop a partition
            kept = record if source else None
            self._turn.break_off(cell, error, batch, now_ms=now_ms, source=source, record=kept)
            self._touch(cell)
            return None

    def _fire(self, cell: Cell, batch: Batch, now_ms: int) -> None:
        run = self._warm(cell, batch)
        if run.status in HELD:
            if run.deadline_ms and run.deadline_ms <= now_ms:
                self._turn.time_out(cell, batch, now_ms)
                self._touch(cell)
                return
        else:
            decision = self._decide(cell, Due(), batch, now_ms)
            if decision is None:
                return
            if decision.events:
                self._turn.take(cell, decision, batch)
                self._touch(cell)
                return
        self._set_clock(cell, self._turn.next_look_ms(cell))

    def _warm(self, cell: Cell, batch: Batch) -> Run:
        """The run. When only its head was in memory, its inline activities are nowhere: they are run again.

        Workers that hold leased ones are given time to be heard of.
        """
        was_cold = cell.run is None
        run = cell.warm()
        if was_cold:
            was_held = run.status in HELD
            self._turn.restart_inline(cell, batch)
            if run.status in HELD and not was_held:
                self._touch(cell)
            self._watch.begin(cell.workflow_id, run)
        return run

    def _plan(self, batch: Batch) -> None:
        batch.planned_bytes += self._grown_bytes
        self._grown_bytes = 0

    def _touch(self, cell: Cell) -> None:
        self._dirty[cell.workflow_id] = cell
        self._grown_bytes += cell.tail_bytes - cell.planned_bytes
        cell.planned_bytes = cell.tail_bytes
        self._set_clock(cell, self._turn.next_look_ms(cell))

    def _set_clock(self, cell: Cell, due_ms: int) -> None:
        if due_ms and due_ms != cell.due_ms:
            heapq.heappush(self._clock, (due_ms, cell.workflow_id))
        cell.due_ms = due_ms

    def _count(self, cell: Cell, status: Status | None) -> None:
        if cell.counted != status:
            if cell.counted is not None:
                self.statuses[cell.counted] -= 1
            if status is not None:
                self.statuses[status] += 1
            cell.counted = status

    def _answer_waiters(self, cell: Cell, batch: Batch) -> None:
        for to in cell.waiters.values():
            batch.reply(to, answers.ended(to, cell))
        cell.waiters.clear()


def _why_not(cell: Cell, wanted: str) -> str:
    """Why a run cannot be suspended, resumed or asked; empty when it can."""
    who = f"workflow {cell.workflow_id!r}"
    if cell.ended:
        return f"{who} has ended ({cell.status}): there is nothing to {wanted}"
    if cell.status == "blocked":
        return f"{who} is blocked, which must be mended first: {cell.reason}"
    return ""
