"""An owned partition by hand: records in, one batch out and committed to topics in memory.

After every turn the partition is made anew from what was written, once from every state record and once from what
compaction would keep, and both must equal the live one. In the modes `reloaded` and `compacted` the new one takes over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from weft.codec import decode_events, decode_state, decode_task, encode, encode_payload
from weft.core import Run
from weft.log import LogRecord
from weft.payloads import Payloads
from weft.records import (
    ActivityTask,
    AttemptCompleted,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptStarted,
    AwaitResult,
    CancelWorkflow,
    FailureInfo,
    Head,
    HistoryEvent,
    OnConflict,
    Page,
    Progress,
    PurgeWorkflow,
    Reply,
    ReplyTo,
    ResultsRecord,
    ResumeWorkflow,
    SignalWorkflow,
    StartWorkflow,
    SuspendWorkflow,
    TerminateWorkflow,
    UnblockWorkflow,
)
from weft.topics import Namespace
from weft.worker._batch import AttemptKey, Batch, Write
from weft.worker._cell import Cell, page_key
from weft.worker._cells import HOT_MAX
from weft.worker._directory import Directory
from weft.worker._memory import Memory
from weft.worker._partition import Partition
from weft.worker._turn import kept_results
from weft.workflow import UNGUARDED, Guard, Workflow

NOW_MS = 1_700_000_000_000
NAMESPACE = Namespace("orders")
ORDER = "order-42"
Mode = Literal["live", "reloaded", "compacted"]


def ended_reply(request: str = "q-1") -> ReplyTo:
    return ReplyTo("client-1", request, 3, "ended")


def accepted_reply(request: str = "q-1") -> ReplyTo:
    return ReplyTo("client-1", request, 3, "accepted")


def worker_reply(lease: str) -> ReplyTo:
    return ReplyTo("worker-1", lease, 3)


class Served:
    """Partition `number` with its owner's part played by the test."""

    def __init__(
        self,
        *workflows: Workflow[Any, Any],
        mode: Mode = "live",
        queues: Iterable[str] = ("default",),
        number: int = 0,
        partition_count: int = 1,
        checked: bool = True,
        guard: Guard = UNGUARDED,
        payloads: Payloads | None = None,
        hot_max: int = HOT_MAX,
        memory_bytes_max: int | None = None,
        namespace: Namespace = NAMESPACE,
        directory: Directory | None = None,
    ) -> None:
        self.namespace = namespace
        self._directory = directory
        self.payloads = payloads or Payloads(namespace.name)
        self.workflows = {workflow.name: workflow for workflow in workflows}
        self.queues = frozenset(queues)
        self.number = number
        self.partition_count = partition_count
        self.now_ms = NOW_MS
        self.mode: Mode = mode
        self.written: dict[str, list[Write]] = defaultdict(list)
        self.replies: list[Reply] = []
        self.inline: list[ActivityTask] = []
        self.inline_stale: list[AttemptKey] = []
        self.batch = Batch(self.namespace)
        self._checked = checked
        self._guard = guard
        self._hot_max = hot_max
        self.memory = Memory(memory_bytes_max, self) if memory_bytes_max is not None else None
        self._passed_s = 0.0
        self._running_inline: set[tuple[str, int, int]] = set()
        self._next_offset: dict[tuple[str, int], int] = defaultdict(int)
        self.partition = self._new_partition(self.memory)

    # The owner's loop.

    def turn(self, *records: LogRecord) -> Batch:
        """One poll: these records, then what is due, one commit."""
        self.batch = batch = Batch(self.namespace)
        batch.read(records)
        for record in records:
            self.partition.handle(record, batch, self.now_ms)
        self._finish(batch)
        return batch

    def turn_inline(self, key: str, result: ResultsRecord) -> Batch:
        """One poll that brings the result of an inline activity."""
        self.batch = batch = Batch(self.namespace)
        self.partition.handle_result(key, result, batch, self.now_ms)
        self._finish(batch)
        return batch

    def advance(self, milliseconds: int) -> Batch:
        """Let time pass, for leases too, then one poll without records."""
        self.now_ms += milliseconds
        self._passed_s = milliseconds / 1000
        return self.turn()

    def take_over(self, *workflows: Workflow[Any, Any], compacted: bool = True) -> Batch:
        """The worker died; another one, with this code (or the same), reads the state and tries blocked runs again."""
        if workflows:
            self.workflows = {workflow.name: workflow for workflow in workflows}
        self.rebuild(compacted=compacted)
        self.batch = batch = Batch(self.namespace)
        self.partition.resume_blocked(batch, self.now_ms)
        self._finish(batch)
        return batch

    def rebuild(self, *, compacted: bool = True) -> None:
        """Forget everything and read it back; what ran in this process is lost."""
        self.partition.close()
        self.partition = self.reloaded(compacted=compacted, memory=self.memory)
        self._trim()
        self._running_inline.clear()

    def close(self) -> None:
        self.partition.close()
        assert self.memory is None or self.memory.kept_bytes == 0, "what is gone counts no more"

    def _finish(self, batch: Batch) -> None:
        self.partition.fire_due(batch, self.now_ms, 1000)
        self.partition.watch_leases(batch, self.now_ms, self._passed_s)
        self._passed_s = 0.0
        self.partition.flush(batch)
        for write in batch.writes:
            self.written[write[0]].append(write)
            self._note_place(write)
            assert write[1] == self.number or write[0].endswith(".messages")
        self.replies += [reply for _, reply in batch.replies]
        self.inline_stale += [key for _, key in batch.inline_stale]
        for _, _, task in batch.inline:
            self.inline.append(task)
            self._running_inline.add((task.run_id, task.activity_id, task.attempt))
        self._trim()
        if self._checked:
            self.check_reload()
            self._trim()
        if self.mode != "live":
            self.rebuild(compacted=self.mode == "compacted")

    # The memory's bound.

    def _note_place(self, write: Write) -> None:
        topic, _, key, value, _ = write
        if self.memory is not None and topic == self.namespace.state and key and value is not None:
            self.partition.placed(key, len(self.written[topic]) - 1)

    def _trim(self) -> None:
        if self.memory is not None:
            self.memory.trim([self.partition.cells])

    def read_at(self, offsets: Mapping[int, Collection[int]]) -> list[LogRecord]:
        """Implements `ReadAt`: the state topic, where an offset is how many were written before."""
        assert set(offsets) == {self.number}
        records = []
        for offset in offsets[self.number]:
            topic, number, key, value, headers = self.written[self.namespace.state][offset]
            records.append(LogRecord(topic, number, offset, key, value, headers=headers))
        return records

    # Records.

    def record(self, topic: str, value: object, key: str | bytes | None = ORDER) -> LogRecord:
        """A record at the next offset. `value` is a record, bytes as they are, or None."""
        data = value if isinstance(value, bytes | None) else encode(value)
        offset = self._next_offset[topic, self.number]
        self._next_offset[topic, self.number] += 1
        raw_key = key.encode() if isinstance(key, str) else key
        return LogRecord(topic, self.number, offset, raw_key, data)

    def signals(self, value: object, key: str | bytes | None = ORDER) -> LogRecord:
        return self.record(self.namespace.signals, value, key)

    def results(self, value: object, key: str | bytes | None = ORDER) -> LogRecord:
        return self.record(self.namespace.results, value, key)

    def messages(self, value: object, key: str | bytes | None = ORDER) -> LogRecord:
        return self.record(self.namespace.messages, value, key)

    def queries(self, value: object, key: str | bytes | None = ORDER) -> LogRecord:
        return self.record(self.namespace.queries, value, key)

    def start(
        self,
        workflow: str,
        value: object = None,
        *,
        key: str = ORDER,
        request_id: str = "request-1",
        on_conflict: OnConflict = "fail",
        timeout_ms: int = 0,
        reply_to: ReplyTo | None = None,
    ) -> Batch:
        request = StartWorkflow(
            workflow, request_id, encode_payload(value), timeout_ms, on_conflict, reply_to
        )
        return self.turn(self.signals(request, key))

    def signal(
        self, name: str, payload: object = None, *, id: str = "", reply_to: ReplyTo | None = None
    ) -> Batch:
        return self.turn(self.signals(SignalWorkflow(name, encode_payload(payload), id, reply_to)))

    def cancel(self, reason: str = "", reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(CancelWorkflow(reason, reply_to)))

    def terminate(self, reason: str = "", reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(TerminateWorkflow(reason, reply_to)))

    def purge(self, run_id: str = "", reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(PurgeWorkflow(run_id, reply_to)))

    def unblock(self, reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(UnblockWorkflow(reply_to)))

    def suspend(self, reason: str = "", reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(SuspendWorkflow(reason, reply_to)))

    def resume(self, reply_to: ReplyTo | None = None) -> Batch:
        return self.turn(self.signals(ResumeWorkflow(reply_to)))

    def ask(self, reply_to: ReplyTo, run_id: str = "") -> Batch:
        return self.turn(self.queries(AwaitResult(reply_to, run_id)))

    def complete(self, task: ActivityTask, result: object = None, key: str = ORDER) -> Batch:
        return self.turn(self.results(self.completed(task, result), key))

    def fail(self, task: ActivityTask, kind: str = "Blip", *, non_retryable: bool = False) -> Batch:
        failure = FailureInfo(kind, "on purpose", non_retryable=non_retryable)
        record = AttemptFailed(task.run_id, task.activity_id, task.attempt, failure)
        return self.turn(self.results(record))

    def hold(self, task: ActivityTask, lease: str = "lease-1", lease_ms: int = 10_000) -> Batch:
        """A worker says that it has been running the attempt for a while."""
        return self.turn(self.results(self.started(task, lease, lease_ms)))

    def started(
        self, task: ActivityTask, lease: str = "lease-1", lease_ms: int = 10_000
    ) -> AttemptStarted:
        return AttemptStarted(
            task.run_id,
            task.activity_id,
            task.attempt,
            self.now_ms,
            lease_ms,
            lease,
            worker_reply(lease),
        )

    def beat(self, task: ActivityTask, details: object = None, lease: str = "lease-1") -> Batch:
        return self.turn(self.results(self.heartbeat(task, details, lease)))

    @staticmethod
    def heartbeat(
        task: ActivityTask, details: object = None, lease: str = "lease-1"
    ) -> AttemptHeartbeat:
        return AttemptHeartbeat(
            task.run_id,
            task.activity_id,
            task.attempt,
            lease,
            encode_payload(details),
            worker_reply(lease),
        )

    @staticmethod
    def completed(task: ActivityTask, result: object = None) -> AttemptCompleted:
        return AttemptCompleted(task.run_id, task.activity_id, task.attempt, encode_payload(result))

    # What was written.

    def tasks(self, queue: str = "default") -> list[ActivityTask]:
        """Every task that ever went to this queue."""
        return [decode_task(write[3]) for write in self.written[self.namespace.tasks(queue)]]

    @property
    def task(self) -> ActivityTask:
        """The newest task."""
        return self.tasks()[-1]

    @property
    def lifecycle(self) -> list[str]:
        """What was published about workflows, in order."""
        events = [decode_json(write[3]) for write in self.written[self.namespace.events]]
        return [event["type"].removeprefix("weft.workflow.") for event in events]

    @property
    def deadletters(self) -> list[Write]:
        return self.written[self.namespace.deadletters]

    @property
    def compacted(self) -> dict[bytes, bytes]:
        """The state topic as compaction leaves it: the last value of each key, without tombstones."""
        return {key: value for _, key, value in self._state(compacted=True) if value is not None}

    def _state(self, *, compacted: bool) -> list[tuple[int, bytes, bytes | None]]:
        """What is on the topic: (offset, key, value)."""
        written = [
            (offset, key or b"", value)
            for offset, (_, _, key, value, _) in enumerate(self.written[self.namespace.state])
        ]
        if not compacted:
            return written
        latest = {key: offset for offset, key, _ in written}
        return [one for one in written if latest[one[1]] == one[0] and one[2] is not None]

    @property
    def progress(self) -> list[Progress]:
        """What the log says of the progress of activities."""
        states = [decode_state(value) for value in self.compacted.values()]
        return [state for state in states if isinstance(state, Progress)]

    def head(self, key: str = ORDER) -> Head:
        state = decode_state(self.compacted[key.encode()])
        assert isinstance(state, Head)
        return state

    def history(self, key: str = ORDER) -> list[HistoryEvent]:
        """The history as any reader of the state topic puts it together: the pages, then the tail."""
        head, state, events = self.head(key), self.compacted, list[HistoryEvent]()
        for number in range(head.page_count):
            page = decode_state(state[page_key(key, head.run_id, number)])
            assert isinstance(page, Page)
            assert (page.run_id, page.number) == (head.run_id, number)
            assert page.first_event_id == len(events) + 1
            events += decode_events(page.events)
        events += decode_events(head.tail)
        assert [event.event_id for event in events] == list(range(1, head.event_count + 1))
        return events

    def story(self, key: str = ORDER) -> list[str]:
        return [type(event).__name__ for event in self.history(key)]

    # Made anew.

    def reloaded(self, *, compacted: bool, memory: Memory | None = None) -> Partition:
        partition = self._new_partition(memory)
        for offset, key, value in self._state(compacted=compacted):
            partition.load(LogRecord(self.namespace.state, self.number, offset, key, value))
        partition.loaded()
        return partition

    def check_reload(self) -> None:
        for compacted in (False, True):
            again = self.reloaded(compacted=compacted)
            assert set(again.cells) == set(self.partition.cells)
            assert +again.statuses == +self.partition.statuses
            assert progress_of(again) == progress_of(self.partition)
            for workflow_id, cell in self.partition.cells.items():
                _check_cell(again.cells[workflow_id], cell)
                if not cell.ended:
                    self._check_brought_out(again.cells[workflow_id].warm())
            again.close()

    def _check_brought_out(self, run: Run) -> None:
        """Every attempt that the run waits for is on its queue, or runs in this process."""
        tasks = {(task.run_id, task.activity_id, task.attempt) for task in self.tasks()}
        tasks |= {(task.run_id, task.activity_id, task.attempt) for task in self.tasks("slow")}
        kept = kept_results(run)
        for activity in run.activities.values():
            if (activity.activity_id, activity.attempt) in kept:
                continue  # it has ended, and the run will hear of it
            if not activity.waiting:
                where = self._running_inline if activity.inline else tasks
                assert (run.run_id, activity.activity_id, activity.attempt) in where, activity

    def _new_partition(self, memory: Memory | None) -> Partition:
        return Partition(
            self.number,
            namespace=self.namespace,
            partition_count=self.partition_count,
            workflows=self.workflows,
            queues=self.queues,
            guard=self._guard,
            payloads=self.payloads,
            hot_max=self._hot_max,
            memory=memory,
            directory=self._directory,
        )


def progress_of(partition: Partition) -> dict[str, dict[int, Progress]]:
    """What a partition knows of its activities' progress."""
    book = partition._watch.progress
    return {
        workflow_id: {activity_id: entry.progress for activity_id, entry in entries.items()}
        for workflow_id, entries in book.by_workflow.items()
    }


def _check_cell(again: Cell, live: Cell) -> None:
    assert (again.status, again.run_id, again.request_id) == (
        live.status,
        live.run_id,
        live.request_id,
    )
    assert again.head == live.head
    assert again.history_bytes == live.history_bytes
    assert again.event_count == live.event_count
    if live.ended:
        assert live.run is None, "an ended run leaves memory"
        assert again.last_event() == live.last_event()
        assert set(again.stored) <= set(live.stored), (
            "the live one also has what never came to the log"
        )
        return
    assert again.history() == live.history()
    live_run = live.run
    assert live_run is None or again.warm() == live_run
    assert live_run is None or again.tail == live.tail


def decode_json(value: bytes | None) -> Any:
    assert value is not None
    return json.loads(value)


def replies_of(batch: Batch) -> list[Reply]:
    return [reply for _, reply in batch.replies]


def topics_of(batch: Batch) -> list[str]:
    """The topics that a batch writes to, without the namespace, in order."""
    return [topic.removeprefix("orders.") for topic, *_ in batch.writes]
