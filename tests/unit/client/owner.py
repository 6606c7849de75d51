"""A stand-in for the workers: it reads requests, writes states and answers, all by the real records.

It knows four workflows by name and runs nobody's code. Its memory is lost when it is stopped; a new one goes on from
the log, as a worker would. Tests make it lose replies.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Self

from weft.codec import (
    decode_events,
    decode_queries,
    decode_signals,
    decode_state,
    encode,
    join_events,
)
from weft.core import Run, apply, next_due_ms
from weft.log import FROM_END, FROM_START, Log, LogRecord
from weft.records import (
    ActivityScheduled,
    AwaitResult,
    CancelRequested,
    CancelWorkflow,
    FailureInfo,
    Head,
    HistoryEvent,
    Page,
    Payload,
    PurgeWorkflow,
    Reply,
    ReplyTo,
    SignalReceived,
    SignalsRecord,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
    TimerStarted,
    UnblockWorkflow,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowUnblocked,
)
from weft.topics import Namespace, partition_of

PAGE_EVENTS = 2
"""Events of one page: few, so that histories soon have several."""
FAILURE = FailureInfo(
    "CardDeclined", "no money", Payload(b'{"code":51}'), cause=FailureInfo("BankError", "said no")
)

_run_numbers = itertools.count(1)


class OwnedRun:
    """A run and its whole history."""

    def __init__(self, workflow_id: str) -> None:
        self.run = Run(workflow_id)
        self.events: list[HistoryEvent] = []
        self.waiters: dict[str, ReplyTo] = {}

    def add(self, event_type: type[HistoryEvent], *values: object) -> None:
        event = event_type(self.run.last_event_id + 1, int(time.time() * 1000), *values)
        apply(self.run, event)
        self.events.append(event)

    def pages(self) -> list[Page]:
        """All but the last event, which stays in the head."""
        sealed = self.events[:-1]
        chunks = [sealed[at : at + PAGE_EVENTS] for at in range(0, len(sealed), PAGE_EVENTS)]
        return [
            Page(self.run.run_id, number, chunk[0].event_id, _joined(chunk))
            for number, chunk in enumerate(chunks)
        ]

    def head(self) -> Head:
        run = self.run
        return Head(
            run_id=run.run_id,
            workflow=run.workflow,
            status=run.status,
            created_ms=run.created_ms,
            updated_ms=run.updated_ms,
            event_count=run.last_event_id,
            version=run.version,
            request_id=run.request_id,
            page_count=len(self.pages()),
            next_due_ms=next_due_ms(run),
            reason=run.reason,
            tail=_joined(self.events[-1:]),
        )

    def reply(self, to: ReplyTo) -> Reply:
        run = self.run
        return Reply(
            to.request, "ended", run.run_id, run.status, run.result, run.failure, run.reason
        )


def _joined(events: Sequence[HistoryEvent]) -> Payload:
    return join_events([encode(event) for event in events])


class FakeOwner:
    """Owns every partition of the namespace while its `with` block lasts."""

    def __init__(self, log: Log, namespace: Namespace, partition_count: int) -> None:
        self.requests: list[SignalsRecord | AwaitResult] = []
        """Everything that it took."""
        self.runs: dict[str, OwnedRun] = {}
        self.replies_to_lose = 0
        self._log = log
        self._namespace = namespace
        self._partition_count = partition_count
        self._replies: list[tuple[ReplyTo, Reply]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-owner")

    def __enter__(self) -> Self:
        self._reader = self._log.reader()
        self._producer = self._log.producer()
        self._rebuild()
        self._reader.assign(
            self._offsets(self._namespace.signals, FROM_START if not self.runs else FROM_END)
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._producer.close()
        self._reader.close()

    def _offsets(self, topic: str, signals_from: int) -> dict[tuple[str, int], int]:
        partitions = range(self._partition_count)
        offsets = {(topic, partition): signals_from for partition in partitions}
        return offsets | {
            (self._namespace.queries, partition): FROM_END for partition in partitions
        }

    def _rebuild(self) -> None:
        pages: dict[tuple[str, str, int], Page] = {}
        heads: dict[str, Head] = {}
        offsets = {
            (self._namespace.state, number): FROM_START for number in range(self._partition_count)
        }
        for record in self._reader.read_to_end(offsets, 10):
            assert record.key is not None
            workflow_id, _, page = record.key.decode().partition("\0")
            if record.value is None and not page:
                heads.pop(workflow_id, None)
            elif record.value is not None:
                state = decode_state(record.value)
                if isinstance(state, Page):
                    pages[workflow_id, state.run_id, state.number] = state
                elif isinstance(state, Head):
                    heads[workflow_id] = state
        for workflow_id, head in heads.items():
            owned = self.runs[workflow_id] = OwnedRun(workflow_id)
            chunks = [
                pages[workflow_id, head.run_id, number].events for number in range(head.page_count)
            ]
            for chunk in [*chunks, head.tail]:
                for event in decode_events(chunk):
                    apply(owned.run, event)
                    owned.events.append(event)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for record in self._reader.poll(1000, 0.02):
                self._take(record)
            if self._replies:
                assert self._producer.flush(10) == 0
                self._answer()
            self._producer.poll(0)

    def _answer(self) -> None:
        replies, self._replies = self._replies, []
        for to, reply in replies:
            if self.replies_to_lose:
                self.replies_to_lose -= 1
                continue
            topic = self._namespace.replies
            self._producer.produce(topic, to.partition, to.client.encode(), encode(reply))

    def _take(self, record: LogRecord) -> None:
        assert record.key is not None
        workflow_id = record.key.decode()
        if record.topic == self._namespace.queries:
            query = decode_queries(record.value)
            self.requests.append(query)
            self._take_query(workflow_id, query)
            return
        request = decode_signals(record.value)
        self.requests.append(request)
        if isinstance(request, StartWorkflow):
            self._take_start(workflow_id, request)
            return
        owned = self.runs.get(workflow_id)
        to = request.reply_to
        if owned is None:
            self._reply(to, "unknown")
        elif isinstance(request, PurgeWorkflow):
            self._take_purge(owned, request)
        elif isinstance(request, UnblockWorkflow):
            self._take_unblock(owned, to)
        elif owned.run.ended:
            self._reply(to, "refused", owned, reason=f"workflow {workflow_id!r} has ended")
        else:
            self._take_request(owned, request)
            self._store(owned)
            self._reply(to, "accepted", owned)

    def _take_query(self, workflow_id: str, query: AwaitResult) -> None:
        owned = self.runs.get(workflow_id)
        if owned is None or (query.run_id and query.run_id != owned.run.run_id):
            self._reply(query.reply_to, "unknown")
        else:
            self._wait(owned, query.reply_to)

    def _take_start(self, workflow_id: str, request: StartWorkflow) -> None:
        to = request.reply_to
        owned = self.runs.get(workflow_id)
        if owned is not None and owned.run.request_id != request.request_id and not owned.run.ended:
            if request.on_conflict == "fail":
                self._reply(to, "conflict", owned, reason="already running")
                return
            if request.on_conflict == "terminate_existing":
                owned.add(WorkflowTerminated, "replaced by a new run")
                self._store(owned)
        is_theirs = request.on_conflict == "use_existing"
        if owned is None or (
            owned.run.request_id != request.request_id and (owned.run.ended or not is_theirs)
        ):
            owned = self._new_run(workflow_id, request)
        if to is not None and to.until == "ended":
            self._wait(owned, to)
        else:
            self._reply(to, "accepted", owned)

    def _new_run(self, workflow_id: str, request: StartWorkflow) -> OwnedRun:
        if workflow_id in self.runs:
            self._delete_pages(self.runs[workflow_id])
        owned = self.runs[workflow_id] = OwnedRun(workflow_id)
        owned.add(
            WorkflowStarted,
            f"run-{next(_run_numbers)}",
            request.workflow,
            "1",
            request.input,
            request.timeout_ms,
            request.request_id,
        )
        match request.workflow:
            case "echo":
                owned.add(WorkflowCompleted, request.input)
            case "fail":
                owned.add(WorkflowFailed, FAILURE)
            case "blocked":
                owned.add(WorkflowBlocked, "Its code asked for something else.")
            case "wait":
                owned.add(ActivityScheduled, 1, "charge", Payload(b'["card"]'))
                owned.add(TimerStarted, 2, 2_000_000_000_000)
        self._store(owned)
        return owned

    def _take_request(self, owned: OwnedRun, request: SignalsRecord) -> None:
        match request:
            case SignalWorkflow():
                if request.id and request.id in owned.run.signal_ids:
                    return
                owned.add(SignalReceived, request.signal, request.payload, request.id)
                if request.signal == "finish":
                    owned.add(WorkflowCompleted, request.payload)
            case CancelWorkflow():
                owned.add(CancelRequested, request.reason)
                owned.add(WorkflowCancelled, request.reason)
            case TerminateWorkflow():
                owned.add(WorkflowTerminated, request.reason)

    def _take_purge(self, owned: OwnedRun, request: PurgeWorkflow) -> None:
        to = request.reply_to
        if request.run_id and request.run_id != owned.run.run_id:
            self._reply(to, "refused", owned, reason="it has a newer run")
        elif not owned.run.ended:
            self._reply(to, "refused", owned, reason="only ended workflows can be purged")
        else:
            self._delete_pages(owned)
            self._write(owned.run.workflow_id, "", None)
            del self.runs[owned.run.workflow_id]
            self._reply(to, "accepted", owned)

    def _take_unblock(self, owned: OwnedRun, to: ReplyTo | None) -> None:
        """Its second try fits."""
        if owned.run.status != "blocked":
            self._reply(to, "refused", owned, reason=f"it is {owned.run.status}, not blocked")
        elif len(owned.events) == 2:
            owned.add(WorkflowBlocked, "Its code asks for something else again.")
            self._store(owned)
            self._reply(to, "refused", owned, reason=f"it is still blocked: {owned.run.reason}")
        else:
            owned.add(WorkflowUnblocked)
            self._store(owned)
            self._reply(to, "accepted", owned)

    def _wait(self, owned: OwnedRun, to: ReplyTo) -> None:
        if owned.run.ended:
            self._replies.append((to, owned.reply(to)))
        else:
            owned.waiters[to.request] = to

    def _reply(
        self, to: ReplyTo | None, outcome: str, owned: OwnedRun | None = None, *, reason: str = ""
    ) -> None:
        if to is None:
            return
        run = owned.run if owned is not None else Run("")
        self._replies.append(
            (to, Reply(to.request, outcome, run.run_id, run.status, reason=reason))  # type: ignore[arg-type]
        )

    def _store(self, owned: OwnedRun) -> None:
        for page in owned.pages():
            self._write(owned.run.workflow_id, f"\0{page.run_id}\0{page.number}", encode(page))
        self._write(owned.run.workflow_id, "", encode(owned.head()))
        if owned.run.ended:
            self._replies += [(to, owned.reply(to)) for to in owned.waiters.values()]
            owned.waiters.clear()

    def _delete_pages(self, owned: OwnedRun) -> None:
        for page in owned.pages():
            self._write(owned.run.workflow_id, f"\0{page.run_id}\0{page.number}", None)

    def _write(self, workflow_id: str, suffix: str, value: bytes | None) -> None:
        partition = partition_of(workflow_id.encode(), self._partition_count)
        key = f"{workflow_id}{suffix}".encode()
        self._producer.produce(self._namespace.state, partition, key, value)
