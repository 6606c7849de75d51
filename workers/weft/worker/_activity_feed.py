"""Taking tasks off one queue: the thread that polls.

It hands tasks over in batches, serves the delivery of their results, and commits how far the queue is done. While as
many attempts run as may, it takes nothing more, and soon pauses its partitions: polling must go on, or the group would
take this member for dead.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from weft.codec import MalformedError, decode_task
from weft.errors import FencedError, LogError
from weft.host import HOST, Host
from weft.log import GroupConsumer, Log, LogRecord
from weft.metrics import WorkerMetrics
from weft.records import AttemptResult
from weft.topics import Namespace
from weft.worker._activity_answered import AnsweredTasks
from weft.worker._activity_leases import LEASE_S, LeaseKeeper
from weft.worker._activity_offsets import OpenOffsets, QueueOffsets
from weft.worker._activity_results import GATHER_FROM, DeadTask, ResultWriter, TakenTask

logger = logging.getLogger("weft.worker")

_BATCH_MAX = 500
"""Tasks of one hand-over: the loop begins them all before it does anything else."""
_UNWRITTEN_MAX = 10_000
"""Tasks without a durable result, running or not, beyond which nothing more is taken."""
_COMMIT_S = 0.1
_COMMIT_TASKS = 500
_POLL_S = 0.1
_PAUSE_AFTER_S = 0.5
"""Pausing throws away what the client has fetched already: not for a moment's back-pressure."""
_REVOKE_FLUSH_S = 0.5
_CLOSE_FLUSH_S = 10.0
_TROUBLE_PAUSE_S = 0.5


class TaskFeed:
    """One member of a queue's consumer group. `run` is for a thread of its own, the other methods for the loop."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        queue: str,
        metrics: WorkerMetrics,
        *,
        instance_id: str,
        concurrency: int,
        session_timeout_s: float,
        begin: Callable[[list[TakenTask]], None],
        lease_s: float = LEASE_S,
        partition_count: int = 1,
        host: Host = HOST,
    ) -> None:
        self._log = log
        self._topic = namespace.tasks(queue)
        self._deadletters = namespace.deadletters
        self._group = namespace.activity_group(queue)
        self._metrics = metrics
        self._instance_id = instance_id
        self._concurrency = concurrency
        self._session_timeout_s = session_timeout_s
        self._begin = begin
        self._host = host
        self._writer = ResultWriter(
            log, namespace.results, self._note_released, self._note_durable, host
        )
        self.leases = LeaseKeeper(
            self._writer,
            metrics,
            log,
            namespace.replies,
            partition_count=partition_count,
            lease_s=lease_s,
            host=host,
        )
        self._consumer: GroupConsumer | None = None
        self._offsets = QueueOffsets(self._topic)
        self._answered = AnsweredTasks(log, namespace, host)
        self._held: list[LogRecord] = []
        """Read while the pause took effect; begun when there is room."""
        self._taken_count = 0
        self._ended_count = 0
        self._unwritten_count = 0
        self._dropped_count = 0
        """Of these, cancelled ones, which never have a result."""
        self._done_count = 0
        """Tasks that were done with since the last commit."""
        self._commit_due_s = 0.0
        self._full_since_s = 0.0
        self._paused = False
        self._joined_s = 0.0
        self._fenced = False
        self._in_trouble = True
        self._room = host.event()
        self._stopping = host.event()
        self._finishing = host.event()
        self._on_stopped: Callable[[], None] | None = None
        self.waits = False
        """The thread has nothing to do until an attempt ends: then call `wake`."""
        self.error: BaseException | None = None
        """What ended `run` before its time."""

    @property
    def ready(self) -> bool:
        """In the group: with partitions, or for so long that others must have them all."""
        if self.error is not None or self._in_trouble:
            return False
        return (
            bool(self._offsets) or self._host.monotonic() - self._joined_s > self._session_timeout_s
        )

    def write(self, taken: TakenTask, result: AttemptResult) -> None:
        """Write the result of a task that was taken."""
        self._writer.write(taken, result)

    def note_ended(self) -> None:
        """An attempt is over, with or without a result."""
        self._ended_count += 1

    def note_dropped(self) -> None:
        """An attempt was cancelled by its owner: it is over, and there is nothing to write."""
        self._dropped_count += 1

    def wake(self) -> None:
        self._room.set()

    def stop(self, on_stopped: Callable[[], None]) -> None:
        """Take no more tasks; `on_stopped` is called, in the thread, when the last hand-over has been made."""
        self._on_stopped = on_stopped
        self._stopping.set()
        self._room.set()

    def finish(self) -> None:
        """After `stop`: write what there is, commit, leave the group. `run` returns."""
        self._finishing.set()
        self._room.set()

    def run(self) -> None:
        """Serve until `finish`."""
        try:
            while not self._finishing.is_set():
                self._step_or_rest()
            self._leave(_CLOSE_FLUSH_S)
        # Carried to whoever watches this worker: the thread has nobody else to tell.
        except BaseException as error:
            logger.exception("%s is no longer served", self._topic)
            self.error = error
            with contextlib.suppress(Exception):
                self._leave(_REVOKE_FLUSH_S)
        finally:
            self._tell_stopped()

    # The group's partitions; called from inside of the consumer's poll and close.

    def on_assigned(self, partitions: Sequence[int]) -> None:
        logger.info("%s: partitions %s assigned", self._topic, list(partitions))
        self._offsets.assign(partitions)
        self._answered.assign(partitions)
        if self._consumer is not None and not self._paused:
            self._consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        """What is done is committed; what runs goes on, but may be run again by the next owner."""
        logger.info("%s: partitions %s given up", self._topic, list(partitions))
        self._writer.flush(_REVOKE_FLUSH_S)
        self._commit_last(partitions)
        self._forget(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        logger.warning("%s: partitions %s lost to another worker", self._topic, list(partitions))
        self._forget(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        """Offsets of this group are never part of a transaction, so this passes by itself."""

    def _forget(self, partitions: Iterable[int]) -> None:
        self._offsets.forget(partitions)
        self._answered.forget(partitions)
        self._held = [record for record in self._held if record.partition in self._offsets]

    # The loop.

    def _step_or_rest(self) -> None:
        self.leases.serve()
        try:
            if self._consumer is None:
                self._join()
            self._step()
            self._fenced = False
            if self._in_trouble:
                self._in_trouble = False
                logger.info("%s is served", self._topic)
        except FencedError as error:
            if self._fenced:
                raise  # it does not pass: a second process has this member's instance ID
            self._fenced = True
            logger.warning("%s: fenced (%s); looking again", self._topic, error)
            self._rest()
        except LogError as error:
            if not error.retriable:
                raise
            if not self._in_trouble:
                logger.warning("%s cannot be served now (%s); trying again", self._topic, error)
            self._rest()

    def _join(self) -> None:
        self._writer.open()
        self._consumer = self._log.group_consumer(
            self._group,
            [self._topic],
            self,
            instance_id=self._instance_id,
            session_timeout_s=self._session_timeout_s,
        )
        self._joined_s = self._host.monotonic()

    def _rest(self) -> None:
        self._in_trouble = True
        self._tell_if_stopping()
        self._finishing.wait(_TROUBLE_PAUSE_S)

    def _step(self) -> None:
        room = self._room_count()
        if self._stopping.is_set():
            self._pause()
            self._tell_stopped()
            self._finishing.wait(_POLL_S / 2)
        elif room <= 0:
            self._wait_for_room()
        else:
            self._take(self._fetch(room))
        self._writer.serve()
        if self._writer.error is not None:
            raise self._writer.error
        if self._done_count >= _COMMIT_TASKS or (
            self._done_count and self._host.monotonic() >= self._commit_due_s
        ):
            self._commit_what_is_ours()

    def _room_count(self) -> int:
        running_count = self._taken_count - self._ended_count
        unwritten_count = self._unwritten_count - self._dropped_count
        return min(self._concurrency - running_count, _UNWRITTEN_MAX - unwritten_count)

    def _wait_for_room(self) -> None:
        now_s = self._host.monotonic()
        self._full_since_s = self._full_since_s or now_s
        if self._paused or now_s - self._full_since_s >= _PAUSE_AFTER_S:
            self._pause()
        if self._unwritten_count - self._dropped_count >= _UNWRITTEN_MAX:
            self._writer.wait(_POLL_S)
            return
        self._room.clear()
        self.waits = True
        if self._room_count() <= 0 and not self._stopping.is_set():
            self._room.wait(_POLL_S)
        self.waits = False

    def _pause(self) -> None:
        """Read nothing more, and yet stay a member."""
        assert self._consumer is not None, "joined before every step"
        if not self._paused:
            self._paused = True
            self._consumer.pause(list(self._offsets))
        self._held += self._consumer.poll(_BATCH_MAX, 0)

    def _fetch(self, room: int) -> list[LogRecord]:
        assert self._consumer is not None, "joined before every step"
        self._full_since_s = 0.0
        if self._held:
            records, self._held = self._held[:room], self._held[room:]
            return records
        if self._paused:
            self._paused = False
            self._consumer.resume(list(self._offsets))
        wait_s = _POLL_S
        if self._done_count:
            wait_s = min(wait_s, max(0.0, self._commit_due_s - self._host.monotonic()))
        return self._consumer.poll(min(room, _BATCH_MAX), wait_s)

    def _take(self, records: Sequence[LogRecord]) -> None:
        batch: list[TakenTask] = []
        self._answered.look({record.partition for record in records})
        for record in records:
            offsets = self._offsets.get(record.partition)
            if offsets is None:
                continue  # given up since it was read
            offsets.take(record.offset)
            try:
                task = decode_task(record.value)
                taken = TakenTask(self._writer, task, record, offsets)
            except MalformedError as error:
                self._put_aside(record, error, offsets)
                continue
            if self._answered.has(record.partition, taken.key, task):
                offsets.done(record.offset)
                self._done_count += 1
                self._metrics.answered_tasks.inc()
            else:
                batch.append(taken)
        if batch:
            self._taken_count += len(batch)
            self._unwritten_count += len(batch)
            self._writer.gathers = self._unwritten_count >= GATHER_FROM
            self._begin(batch)

    def _put_aside(self, record: LogRecord, error: MalformedError, offsets: OpenOffsets) -> None:
        """Only owners write tasks, so nobody waits for this one: its activity times out, or was never there."""
        logger.error(
            "the record at %s-%s@%s is no task and becomes a dead letter: %s",
            record.topic,
            record.partition,
            record.offset,
            error,
        )
        self._metrics.deadletters.labels(record.topic).inc()
        self._unwritten_count += 1
        self._writer.put_aside(
            DeadTask(self._writer, self._deadletters, record, str(error), offsets)
        )

    def _note_released(self) -> None:
        self._done_count += 1

    def _note_durable(self) -> None:
        self._unwritten_count -= 1

    def _commit_what_is_ours(self) -> None:
        try:
            self._commit(self._offsets)
        except LogError as error:
            if not (error.retriable or isinstance(error, FencedError)):
                raise
            # In a rebalance that is normal: the next poll tells which partitions are still ours.
            logger.info("%s: offsets were not committed, trying again: %s", self._topic, error)
            self._commit_due_s = self._host.monotonic() + _TROUBLE_PAUSE_S

    def _commit(self, partitions: Iterable[int]) -> None:
        assert self._consumer is not None, "joined before every step"
        self._done_count = 0
        self._commit_due_s = self._host.monotonic() + _COMMIT_S
        next_offsets = self._offsets.next_offsets(partitions)
        if not next_offsets:
            return
        try:
            self._consumer.commit(next_offsets)
        except LogError:
            self._done_count = 1  # so that it is tried again
            raise
        self._offsets.committed(next_offsets)

    def _commit_last(self, partitions: Sequence[int]) -> None:
        try:
            self._commit(partitions)
        except LogError as error:
            logger.warning(
                "%s: done tasks of partitions %s were not committed and will run again: %s",
                self._topic,
                list(partitions),
                error,
            )

    # The end.

    def _tell_if_stopping(self) -> None:
        if self._stopping.is_set():
            self._tell_stopped()

    def _tell_stopped(self) -> None:
        on_stopped, self._on_stopped = self._on_stopped, None
        if on_stopped is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                on_stopped()

    def _leave(self, flush_s: float) -> None:
        self._writer.flush(flush_s)
        try:
            if self._consumer is not None:
                self._commit_last(list(self._offsets))
                self._consumer.close()
        finally:
            self.leases.close()
            self._writer.close()
