"""The workflows of one owned partition: records and due times in, effects into a batch out.

No I/O happens here, and the clock comes in as an argument, so the same class serves on both logs and in tests. A
partition is made from its state records (`load`), served, and thrown away when a commit fails: nothing in it is the
truth.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from weft.host import HOST, Host
from weft.log import LogRecord
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import Claim, ResultsRecord
from weft.topics import Namespace
from weft.worker._batch import Batch
from weft.worker._cell import Cell
from weft.worker._cells import HOT_MAX
from weft.worker._code import Code
from weft.worker._directory import Directory
from weft.worker._held import HeldRuns
from weft.worker._intake import Intake
from weft.worker._mailbox import Mailbox
from weft.worker._memory import READ_BACK_MAX, Memory
from weft.worker._messenger import Messenger
from weft.worker._progress import activity_id_of
from weft.worker._publisher import Publisher
from weft.worker._queries import Queries
from weft.worker._rebuild import Rebuild
from weft.worker._register import Register
from weft.worker._requests import Requests
from weft.worker._results import Results
from weft.worker._room import Room
from weft.worker._runs import Runs
from weft.worker._shelf import Shelf
from weft.worker._turn import Turn
from weft.worker._updates import Updates
from weft.worker._waiters import Waiters
from weft.worker._watch import AttemptWatch
from weft.workflow import UNGUARDED, Guard, Workflow, workflows_of


class Partition:
    """Everything that the owner of partition `number` knows. Used by one thread.

    Records come in through the intake, which gives requests, results, messages and queries to those that know what they
    mean; these have the runs take turns. `flush` writes what has changed.
    """

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
        self._told_continued: Callable[[Cell], None] | None = None
        payloads = payloads or Payloads(namespace.name, host=host)
        messenger = Messenger(number, directory or Directory(namespace, partition_count), payloads)
        self._watch = AttemptWatch(number)
        code = Code(
            workflows_of(workflows),
            guard=guard,
            payloads=payloads,
            publisher=publisher or Publisher(namespace, host=host),
        )
        self._turn = turn = Turn(
            number,
            code,
            namespace=namespace.name,
            queues=queues,
            watch=self._watch,
            observed=observed,
            payloads=payloads,
            messenger=messenger,
        )
        turn.on_continued = self._leave_behind
        self._shelf = Shelf(namespace.state, number, memory) if memory is not None else None
        self._runs = runs = Runs(
            turn, self._watch, payloads, hot_max=hot_max, shelf=self._shelf, host=host
        )
        self.cells, self.long, self.dropped = runs.cells, runs.long, runs.dropped
        self._updates = updates = Updates(runs, turn)
        self._waiters = waiters = Waiters(runs)
        self._results = results = Results(runs, turn, self._watch)
        self.lost = results.lost
        self._register = Register(number, runs, turn, updates=updates, waiters=waiters, host=host)
        self.statuses, self.unmatched = self._register.statuses, self._register.unmatched
        self._held = HeldRuns(runs, turn, self._register, updates=updates, results=results)
        self._rebuild = Rebuild(
            namespace,
            number,
            self.cells,
            self._shelf,
            self._watch.progress,
            self.long,
            workflows=code.workflows,
        )
        self.intake = Intake(
            number,
            self.cells,
            namespace=namespace,
            partition_count=partition_count,
            requests=Requests(runs, self._register, self._held, updates=updates, waiters=waiters),
            results=results,
            mailbox=Mailbox(runs, self._register, messenger),
            queries=Queries(runs, code, updates=updates, waiters=waiters),
        )

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
        self._register.load(rebuilt)
        self._held.load(rebuilt.blocked)
        self._runs.clock.load(rebuilt.clock)
        self._runs.shed()

    def resume_blocked(self, batch: Batch, now_ms: int, room: Room | None = None) -> bool:
        """Try every blocked run again: this worker's code may be the one that fits.

        False when `room` is used up: the others are tried in the next batch, so that the partition is served in
        between.
        """
        return self._held.resume_blocked(batch, now_ms, room)

    # Serving.

    def handle(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        """One record that came in. What cannot be understood is put aside; it never stops the partition."""
        self.intake.take(record, batch, now_ms)
        self._runs.plan(batch)

    def handle_result(
        self, workflow_id: str, result: ResultsRecord, batch: Batch, now_ms: int
    ) -> None:
        """What came of an inline activity."""
        cell = self.cells.get(workflow_id)
        if cell is None:
            self._results.drop(result, "no such workflow", batch)
        else:
            self._results.take(cell, result, batch, now_ms)
            self._runs.plan(batch)

    def fire_due(self, batch: Batch, now_ms: int, count_max: int, room: Room | None = None) -> int:
        """Let what is due happen, oldest first; returns how many did.

        One item a workflow, and the next one when every other had its turn: a thousand timers of one must not hold up
        the others'. Stops when `count_max` have happened or `room` is used up.
        """
        fired, clock = 0, self._runs.clock
        while entries := clock.take(now_ms, count_max - fired):
            for position, (due_ms, workflow_id) in enumerate(entries):
                if room is not None and not room.is_left:
                    clock.put_back(entries[position:])
                    return fired
                if position % READ_BACK_MAX == 0:
                    following = entries[position : position + READ_BACK_MAX]
                    self.cells.read_back(workflow_id for _, workflow_id in following)
                if self.cells.due_ms(workflow_id) == due_ms:
                    cell = self.cells[workflow_id]
                    cell.due_ms = 0
                    self._runs.fire(cell, batch, now_ms)
                    self._runs.plan(batch)
                    fired += 1
        return fired

    def watch_leases(
        self, batch: Batch, now_ms: int, passed_s: float, room: Room | None = None
    ) -> None:
        """So much time has passed for the workers that hold leases: what they lost goes to others.

        As far as there is room; the rest with the next batch.
        """
        self._results.watch_leases(batch, now_ms, passed_s, room)

    def next_due_ms(self) -> int:
        """When something is due next; 0 is never."""
        return self._runs.clock.next_ms()

    def flush(self, batch: Batch) -> None:
        """Write one head for each workflow that changed, and the pages that its history completed."""
        runs, register, long = self._runs, self._register, self.long
        is_busy = self._watch.is_busy
        for cell in runs.changed.values():
            for key, value in cell.seal():
                batch.state(self.number, key, value)
            batch.state(self.number, cell.key, cell.encode_head())
            cell.planned_bytes = 0
            register.count(cell, cell.status)
            register.note_unmatched(cell)
            if is_busy:
                self._watch.settle(cell, batch)
            if cell.largest_bytes or long.knows(cell.workflow_id):
                runs.note_size(cell)
            self._updates.answer(cell, batch)
            if cell.ended:
                self._waiters.answer(cell, batch)
            self.cells.used(cell)
        runs.changed.clear()
        runs.shed()
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
        self._runs.close()
