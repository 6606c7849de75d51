"""Writing the results of attempts, until each of them is durable."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.codec import MalformedError, encode
from weft.errors import CommitUnknownError, LogError, RecordTooLargeError
from weft.host import HOST, Host
from weft.log import DeliveryCallback, Log, LogRecord, Producer
from weft.records import (
    ActivityTask,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptReleased,
    AttemptResult,
    AttemptStarted,
    FailureInfo,
    deadletters,
)
from weft.worker._activity_offsets import OpenOffsets
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._deadletters import labelled

if TYPE_CHECKING:
    from weft.worker._activity_leases import Lease

logger = logging.getLogger("weft.worker")

_RETRY_S = 0.5
GATHER_S = 0.002
GATHER_FROM = 32
"""Tasks under way from which on a result waits a moment for others: a request for each keeps broker and worker busy."""


class TakenTask:
    """A task that is under way here: where it came from, and whom to tell once its result is durable.

    Raises MalformedError when the record's key is no workflow ID.
    """

    __slots__ = (
        "_writer",
        "key",
        "lease",
        "offset",
        "offsets",
        "partition",
        "pulse",
        "released",
        "task",
        "topic",
        "value",
        "workflow_id",
    )
    headers = ()

    def __init__(
        self,
        writer: ResultWriter,
        task: ActivityTask,
        record: LogRecord,
        offsets: OpenOffsets,
    ) -> None:
        self._writer = writer
        self.topic = writer.topic
        self.task = task
        self.key = record.key or b""
        self.workflow_id = _workflow_id(self.key)
        self.partition = record.partition
        self.offset = record.offset
        self.offsets = offsets
        self.value = b""
        """Its result, once there is one."""
        self.pulse = AttemptPulse(writer.host, self.report_long)
        self.lease: Lease | None = None
        """Of a long attempt."""
        self.released = False
        """Its offset does not wait for it any more."""

    def on_delivery(self, error: LogError | None, _partition: int, _offset: int) -> None:
        if error is not None:
            self._writer.on_refused(self, error)
            return
        self.release()
        if self.lease is not None:
            self.lease.ended = True
        self._writer.on_durable()

    def report_long(self, started_ms: int) -> None:
        self._writer.on_long(self, started_ms)

    def release(self) -> None:
        """The task need not be read again. In the thread that polls."""
        if not self.released:
            self.released = True
            self.offsets.done(self.offset)
            self._writer.on_released()


class DeadTask:
    """A record of a queue that is no task, on its way to the dead letters."""

    __slots__ = ("_offset", "_offsets", "_writer", "headers", "key", "partition", "topic", "value")

    def __init__(
        self, writer: ResultWriter, topic: str, record: LogRecord, reason: str, offsets: OpenOffsets
    ) -> None:
        self._writer = writer
        self._offset = record.offset
        self._offsets = offsets
        self.topic = topic
        self.partition = record.partition
        self.key = record.key
        self.value = record.value
        self.headers = labelled(record, reason)

    def on_delivery(self, error: LogError | None, _partition: int, _offset: int) -> None:
        if error is None:
            self._offsets.done(self._offset)
            self._writer.on_released()
            self._writer.on_durable()
        else:
            self._writer.on_refused(self, error)

    def shrink(self, error: LogError) -> None:
        """Whatever was on the queue, it does not fit beside its labels: these must do."""
        logger.error("a dead letter is written without its key and its value: %s", error)
        labels = tuple(header for header in self.headers if header[0] in deadletters.ABOUT)
        self.key, self.value, self.headers = None, None, labels


def _workflow_id(key: bytes) -> str:
    try:
        workflow_id = key.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"its key is no workflow ID: {error}") from None
    if not workflow_id:
        raise MalformedError("it has no key, which would be the workflow ID")
    return workflow_id


def _ignore(_taken: TakenTask, _started_ms: int) -> None:
    pass


class ResultWriter:
    """Writes to the results topic, and dead letters.

    `write` and `write_note` may be called from any thread, the rest from one. `on_released` is called for each record
    of a queue that need not be read again, `on_durable` for each result and each dead letter that is durable.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        on_released: Callable[[], None],
        on_durable: Callable[[], None],
        host: Host = HOST,
    ) -> None:
        self.host = host
        self._log = log
        self.topic = topic
        self._prompt: Producer | None = None
        self._gathering: Producer | None = None
        """For results among many. Only what nobody orders may be written by two."""
        self.gathers = False
        """Whether results wait a moment for others."""
        self._unsent: deque[TakenTask | DeadTask] = deque()
        self._retry_at_s = 0.0
        self._closed = False
        self.on_long: Callable[[TakenTask, int], None] = _ignore
        """Called for each attempt that takes long, in its loop."""
        self.on_released = on_released
        self.on_durable = on_durable
        self.error: LogError | None = None
        """What cannot be mended by writing again."""

    def open(self) -> None:
        """Before anything else. Raises LogUnavailableError; may be called again."""
        if self._prompt is None:
            self._prompt = self._log.producer()
        if self._gathering is None:
            self._gathering = self._log.producer(gather_s=GATHER_S)

    def write(self, taken: TakenTask, result: AttemptResult) -> None:
        """Never raises because of the log: what cannot be written now is kept and written later."""
        taken.value = encode(result)
        self._produce(taken)

    def put_aside(self, dead: DeadTask) -> None:
        """Write a dead letter. Never raises because of the log, as `write`."""
        self._produce(dead)

    def write_note(
        self,
        taken: TakenTask,
        note: AttemptStarted | AttemptHeartbeat | AttemptReleased,
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        """Tell the owner how an attempt gets on. What is lost here the next note makes good."""
        if self._closed:
            return
        try:
            prompt, _ = self._opened
            prompt.produce(self.topic, taken.partition, taken.key, encode(note), (), on_delivery)
        except LogError as error:
            logger.warning("%s of %s: %s", taken.task.activity, taken.workflow_id, error)
            if on_delivery is not None:
                on_delivery(error, taken.partition, -1)

    def serve(self) -> None:
        """Serve delivery callbacks, and write again what was refused."""
        for producer in self._opened:
            producer.poll(0)
        if self._unsent and self.host.monotonic() >= self._retry_at_s:
            self._retry_at_s = self.host.monotonic() + _RETRY_S
            for _ in range(len(self._unsent)):
                self._produce(self._unsent.popleft())

    def wait(self, timeout_s: float) -> None:
        """Serve callbacks until there were some."""
        _, gathering = self._opened
        gathering.poll(timeout_s)
        self.serve()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything that was written is durable."""
        if self._gathering is None:
            return
        deadline_s = self.host.monotonic() + timeout_s
        while True:
            self.serve()
            undelivered_count = sum(
                producer.flush(max(0.0, deadline_s - self.host.monotonic()))
                for producer in self._opened
            )
            if not (undelivered_count or self._unsent):
                return
            if self.error is not None or self.host.monotonic() >= deadline_s:
                logger.error(
                    "%s results could not be written; their activities will run again",
                    undelivered_count + len(self._unsent),
                )
                return

    def close(self) -> None:
        self._closed = True
        for producer in (self._prompt, self._gathering):
            if producer is not None:
                producer.close()

    def on_refused(self, taken: TakenTask | DeadTask, error: LogError) -> None:
        """The log did not take a result."""
        if isinstance(error, RecordTooLargeError) and isinstance(taken, DeadTask):
            taken.shrink(error)
            self._produce(taken)
        elif isinstance(error, RecordTooLargeError) and isinstance(taken, TakenTask):
            logger.error("%s of %s: %s", taken.task.activity, taken.workflow_id, error)
            failure = FailureInfo("RecordTooLargeError", str(error), non_retryable=True)
            task = taken.task
            self.write(taken, AttemptFailed(task.run_id, task.activity_id, task.attempt, failure))
        elif error.retriable or isinstance(error, CommitUnknownError):
            # Written twice is harmless: the owner takes one result of an attempt.
            if not self._unsent:
                logger.warning("results cannot be written now (%s); trying again", error)
            self._unsent.append(taken)
        else:
            self.error = error

    @property
    def _opened(self) -> tuple[Producer, Producer]:
        assert self._prompt is not None, "opened before any task is taken"
        assert self._gathering is not None, "opened before any task is taken"
        return self._prompt, self._gathering

    def _produce(self, taken: TakenTask | DeadTask) -> None:
        if self._closed:
            return
        prompt, gathering = self._opened
        try:
            (gathering if self.gathers else prompt).produce(
                taken.topic,
                taken.partition,
                taken.key,
                taken.value,
                taken.headers,
                taken.on_delivery,
            )
        except LogError as error:
            self.on_refused(taken, error)
