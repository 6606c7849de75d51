"""The owner of a namespace's one partition in a world without a log: production's `Partition`, its topics in a dict.

Records go in encoded and state comes out encoded, as on the log. Each record is a turn of its own, and committed at
once. `crash` drops all but what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TypeVar, cast

import msgspec

from weft.codec import (
    decode_events,
    decode_state,
    decode_task,
    encode,
    opened,
    sealed_field,
)
from weft.errors import UnknownWorkflowError
from weft.executor import Observer, tell_all
from weft.log import LogRecord
from weft.payloads import PayloadCodecs, Payloads
from weft.records import (
    ActivityTask,
    Event,
    Head,
    Page,
    QueriesRecord,
    Reply,
    ReplyTo,
    ResultsRecord,
    SignalsRecord,
)
from weft.testing._loop import VirtualHost
from weft.testing._published import Published
from weft.testing._published import published as read_published
from weft.topics import Namespace
from weft.worker import Batch, Directory, Partition
from weft.workflow import Workflows

R = TypeVar("R", bound=msgspec.Struct)

NAMESPACE = Namespace("test")
ASKED_BY = ReplyTo("test", "request", 0)
"""Who asks, so that the owner answers."""
_DUE_MAX = 1000
_MESSAGES = ".messages"


class _AnyQueue:
    """A test has every task queue."""

    def __contains__(self, name: object) -> bool:
        return True


class _EveryNamespace(Directory):
    """A test has every namespace, with one partition each."""

    def _look(self, name: str) -> tuple[Namespace, int] | None:
        return Namespace(name), 1


class Owner:
    """Serves all workflows of one namespace of an environment."""

    def __init__(
        self,
        host: VirtualHost,
        *,
        now_ms: Callable[[], int],
        dispatch: Callable[[str, ActivityTask, bool], None],
        committed: Callable[[Sequence[str]], None],
        lost: Callable[[], None],
        post: Callable[[str, str, bytes], None],
        workflows: Workflows,
        published: list[Published],
        codecs: PayloadCodecs,
        namespace: Namespace = NAMESPACE,
        observers: Sequence[Observer] = (),
    ) -> None:
        """`dispatch` gets (workflow ID, task, is inline) of an attempt to run, `committed` the IDs of what changed.

        `lost` is called when this process dies, with what runs in it; `post` gets (topic, workflow ID, message) of what
        is for another workflow.
        """
        self.workflows = workflows
        self.namespace = namespace
        self.crashes: Callable[[str, str, int, int], bool] | None = None
        """Asked before each commit, with (workflow ID, run ID, first, last new event ID), whether it crashes there."""
        self.continued: list[tuple[str, list[Event]]] = []
        """Workflow IDs and whole histories of the runs that other ones have continued, oldest first."""
        self.checked_count = 0
        """How many of those were looked at."""
        self._continuing: list[tuple[str, list[Event]]] = []
        """The same, not committed yet."""
        self._host = host
        self._now_ms = now_ms
        self._dispatch = dispatch
        self._committed = committed
        self._lost = lost
        self.published = published
        self._observers = observers
        """What workflows have published, oldest first."""
        self.payloads = Payloads(namespace.name, codecs=codecs, host=host)
        self._post = post
        self._state: dict[bytes, bytes] = {}
        self._offset = 0
        self.partition = self._new_partition()

    def write(
        self, topic: str, workflow_id: str, record: SignalsRecord | ResultsRecord | QueriesRecord
    ) -> Reply | None:
        """Bring a record in, as a producer does; returns the answer to a request that asks for one."""
        return self.bring(topic, workflow_id, encode(record))

    def bring(self, topic: str, workflow_id: str, data: bytes) -> Reply | None:
        """A record as it lies on the topic."""
        self._offset += 1
        return self._turn(LogRecord(topic, 0, self._offset, workflow_id.encode(), data))

    def fire_due(self) -> None:
        """Let happen what is due by now."""
        self._turn(None)

    def next_due_ms(self) -> int:
        """When something is due next; 0 is never."""
        return self.partition.next_due_ms()

    def crash(self) -> None:
        """Lose all memory, and take the partition over again from what was written."""
        self._rebuild()
        self._commit(self._resumed())
        self._turn(None)

    def close(self) -> None:
        self.partition.close()

    # What was written.

    def head(self, workflow_id: str) -> Head:
        """Raises UnknownWorkflowError."""
        found = self._state.get(workflow_id.encode())
        if found is None:
            raise UnknownWorkflowError(f"There is no workflow {workflow_id!r} in this environment.")
        return cast("Head", decode_state(found))

    def history(self, workflow_id: str) -> list[Event]:
        """Every event of the newest run, decoded from the pages and the head as any owner would, payloads too."""
        head = self.head(workflow_id)
        events: list[Event] = []
        if head.page_count:
            prefix = f"{workflow_id}\0{head.run_id}\0".encode()
            states = [
                decode_state(value) for key, value in self._state.items() if key.startswith(prefix)
            ]
            pages = [state for state in states if isinstance(state, Page)]
            for page in sorted(pages, key=lambda page: page.number):
                events += decode_events(page.events)
        events += decode_events(head.tail)
        return [self.opened(workflow_id, event) for event in events]

    def opened(self, workflow_id: str, record: R) -> R:
        """A record or an event of that workflow as its payload was given."""
        name = sealed_field(record)
        if not name:
            return record
        value = opened(record, name, partial(self.payloads.decode, workflow_id=workflow_id))
        return msgspec.structs.replace(record, **{name: value})

    def chain(self, workflow_id: str) -> list[Event]:
        """Every event of the newest run, after those of the runs that it continues."""
        former = [event for one, events in self.continued if one == workflow_id for event in events]
        return [*former, *self.history(workflow_id)]

    def is_awaited(self, workflow_id: str, task: ActivityTask) -> bool:
        """Whether the run still waits for that attempt."""
        cell = self.partition.cells.get(workflow_id)
        if cell is None or cell.ended or cell.run_id != task.run_id:
            return False
        activity = cell.warm().activities.get(task.activity_id)
        return activity is not None and activity.attempt == task.attempt and not activity.waiting

    # Turns.

    def _turn(self, record: LogRecord | None) -> Reply | None:
        token_count = self._host.token_count
        batch = self._handled(record)
        crashed = self._crashes_at(batch)
        if crashed:
            # Before the commit: the turn is lost, and the record comes again. Then after it.
            self._rebuild()
            self._host.token_count = (
                token_count  # the same run ID: it is what the code's randomness follows from
            )
            self._commit(self._resumed())
            batch = self._handled(record)
        self._commit(batch)
        if crashed:
            self.crash()
        return next((reply for _, reply in batch.replies), None)

    def _handled(self, record: LogRecord | None) -> Batch:
        batch = Batch(self.namespace)
        if record is not None:
            batch.read([record])
            self.partition.handle(record, batch, self._now_ms())
        else:
            self.partition.fire_due(batch, self._now_ms(), _DUE_MAX)
        self.partition.flush(batch)
        return batch

    def _resumed(self) -> Batch:
        """Blocked runs are tried again, as whenever a worker takes over."""
        batch = Batch(self.namespace)
        self.partition.resume_blocked(batch, self._now_ms())
        self.partition.flush(batch)
        return batch

    def _commit(self, batch: Batch) -> None:
        self.continued += self._continuing
        self._continuing = []
        changed = []
        tasks: list[tuple[str, ActivityTask, bool]] = []
        for topic, _, key, value, headers in batch.writes:
            if topic in batch.published:
                self.published.append(read_published(topic, key, value, headers))
                continue
            assert key is not None, "all that an owner writes for itself has a key"
            if topic == self.namespace.state:
                if value is None:
                    self._state.pop(key, None)
                else:
                    self._state[key] = value
                    if b"\0" not in key:
                        changed.append(key.decode())
            elif topic.startswith(self.namespace.tasks("x")[:-1]) and value is not None:
                tasks.append((key.decode(), decode_task(value), False))
            elif topic.endswith(_MESSAGES) and value is not None:
                self._post(topic, key.decode(), value)
        tasks += [(workflow_id, task, True) for _, workflow_id, task in batch.inline]
        for workflow_id, task, is_inline in tasks:
            self._dispatch(workflow_id, task, is_inline)
        tell_all(self._observers, batch.facts)
        self._committed(changed)

    def _crashes_at(self, batch: Batch) -> bool:
        if self.crashes is None:
            return False
        for topic, _, key, value, _ in batch.writes:
            if topic == self.namespace.state and key and value and b"\0" not in key:
                head = cast("Head", decode_state(value))
                before = self._state.get(key)
                former = cast("Head", decode_state(before)) if before is not None else None
                first = former.event_count + 1 if former and former.run_id == head.run_id else 1
                if self.crashes(key.decode(), head.run_id, first, head.event_count):
                    return True
        return False

    def _rebuild(self) -> None:
        self._lost()
        self._continuing = []
        self.partition.close()
        self.partition = self._new_partition()
        for offset, (key, value) in enumerate(self._state.items()):
            self.partition.load(LogRecord(self.namespace.state, 0, offset, key, value))
        self.partition.loaded()

    def _new_partition(self) -> Partition:
        queues: Container[str] = _AnyQueue()
        partition = Partition(
            0,
            namespace=self.namespace,
            partition_count=1,
            workflows=self.workflows,
            queues=queues,
            directory=_EveryNamespace(self.namespace, 1),
            observed=bool(self._observers),
            payloads=self.payloads,
            host=self._host,
        )
        partition.tell_continued(
            lambda cell: self._continuing.append((cell.workflow_id, list(cell.history())))
        )
        return partition
