"""The workflow worker: one thread, one loop, one transaction per poll.

poll a batch -> take the turns -> commit everything they did together with the consumed offsets -> answer clients. Group
commit makes the batch grow with the load. Whatever goes wrong with a commit, the answer is the same: forget the
partitions' memory, take a new producer, and read back from the log what really happened.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from weft.codec import encode
from weft.errors import CommitUnknownError, FencedError, LogError, LogFullError, LogUnavailableError
from weft.host import HOST, Host
from weft.log import (
    FROM_START,
    GroupConsumer,
    GroupMember,
    Log,
    LogRecord,
    TransactionalProducer,
)
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import STATUSES, ActivityTask, Reply, ReplyTo, ResultsRecord
from weft.topics import Namespace
from weft.worker._allocator import give_back
from weft.worker._batch import Batch
from weft.worker._cells import HOT_MAX
from weft.worker._hot_key import HotKey
from weft.worker._inline import InlineRunner
from weft.worker._memory import READ_BACK_MAX, Memory, StateReader
from weft.worker._partition import Partition
from weft.worker._producers import ProducersInTurn
from weft.worker._room import Room
from weft.worker._takeover import Takeover, fence_former_owners
from weft.worker._topic_watch import changed_count
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import UNGUARDED, Guard, Workflow, leave_loop

logger = logging.getLogger("weft.worker")

RECORDS_MAX = 1000
"""Records of one transaction: bounds its size, its latency and what a failed commit repeats."""
INLINE_MAX = 1000
"""Results of inline activities in one transaction."""
DUE_MAX = 1000
"""Timers and retries in one transaction."""
_FRESH_SHARE, _RECORDS_SHARE, _INLINE_SHARE = 0.2, 0.6, 0.5
"""Of a batch's room: each of what those before it leave over; the rest is for what is due."""
_REBUILD_RECORDS_MAX = 5000
_LEAVINGS_RECORDS_MIN = 10_000
"""Reading so many leaves memory behind that is worth giving back."""
_IDLE_S = 0.1
_LEASE_STEP_S = 0.5
"""The most that one round of the loop takes from the leases."""
_INLINE_WAIT_S = 0.001
_TOGETHER_S = 0.02
"""How long inline activities without checkpoints go on within one batch: what a crash repeats of them."""
_EARLY_MAX = 32
"""Of more inline activities than these, begun by one batch, none is waited for: the commit is not held up for them."""
_COMMIT_TIMEOUT_S = 30.0
_FENCE_TIMEOUT_S = 30.0
_COMMITTED_TIMEOUT_S = 10.0
_FENCED_MAX = 20
"""How often in a row this worker may be fenced before it gives up and says so."""
_RECOVERY_PAUSE_S = 0.2
_FULL_PAUSE_S = 1.0
_REPORT_S = 0.5


class PartitionOwner:
    """Owns partitions of a namespace and takes their workflows' turns. `run` blocks; `stop` is thread-safe."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        *,
        workflows: Mapping[str, Workflow[Any, Any]],
        queues: frozenset[str],
        partition_count: int,
        inline: InlineRunner,
        metrics: WorkerMetrics,
        instance_id: str,
        payloads: Payloads | None = None,
        session_timeout_s: float = 6.0,
        turn_s_max: float | None = None,
        hot_max: int = HOT_MAX,
        memory_bytes_max: int | None = None,
        host: Host = HOST,
    ) -> None:
        self._log = log
        self._namespace = namespace
        self._workflows = workflows
        self._queues = queues
        self._partition_count = partition_count
        self._inline = inline
        self._metrics = metrics
        self._instance_id = instance_id
        self._session_timeout_s = session_timeout_s
        self._hot_max = hot_max
        self._memory: Memory | None = None
        if memory_bytes_max is not None:
            self._memory = Memory(memory_bytes_max, StateReader(log, namespace))
        self._host = host
        self._watchdog = TurnWatchdog(turn_s_max, host) if turn_s_max is not None else None
        self._guard: Guard = self._watchdog or UNGUARDED
        self._payloads = payloads or Payloads(namespace.name, host=host)
        self._transactional_id = f"weft-{namespace.name}-{instance_id}"
        self._topics = (namespace.signals, namespace.results, namespace.messages, namespace.queries)
        self._producer: ProducersInTurn | None = None
        self._replies = log.producer()
        self._consumer: GroupConsumer | None = None
        self._assigned: set[int] = set()
        self._serving: dict[int, Partition] = {}
        self._takeovers: list[Takeover] = []
        self._fresh: list[Partition] = []
        self._held: deque[LogRecord] = deque()
        """Read, and left over by the last batch, which was full. Gone with their partition."""
        self._inline_results: deque[tuple[object, str, ResultsRecord, bool]] = deque()
        self._batch_count = 0
        self._hot_key = HotKey(namespace.name)
        metrics.hot_key_share.set_function(lambda: self._hot_key.share)
        self._positions: dict[tuple[str, int], int] = {}
        self._assigned_at: dict[int, float] = {}
        self._joined_s = 0.0
        self._failures = 0
        self._fenced_count = 0
        self._unserved_since_s = 0.0
        self._report_at = 0.0
        self._looked_s = host.monotonic()
        self._stopping = host.event()
        self._drain_until = 0.0
        self.last_step = host.monotonic()

    # From outside.

    @property
    def ready(self) -> bool:
        """Every assigned partition is rebuilt and served; with none for a while, others must have them all."""
        if self.unserved_s():
            return False
        if self._assigned:
            return len(self._serving) == len(self._assigned)
        return (
            self._joined_s > 0 and self._host.monotonic() - self._joined_s > self._session_timeout_s
        )

    def unserved_s(self) -> float:
        """For how many seconds the log has kept this owner from serving; 0 while it serves."""
        now_s = self._host.monotonic()
        if self._unserved_since_s:
            return now_s - self._unserved_since_s
        # A call that does not come back, as a commit whose answer never arrives, serves nobody either.
        standing_s = now_s - self.last_step
        return standing_s if standing_s > self._session_timeout_s else 0.0

    def stop(self, drain_s: float) -> None:
        """Finish what is under way, for at most `drain_s`, then let `run` return."""
        self._drain_until = self._host.monotonic() + drain_s
        self._stopping.set()

    def run(self) -> None:
        """Serve until stopped. Raises what the worker cannot mend by rebuilding."""
        if self._watchdog is not None:
            self._watchdog.start()
        self._producer = self._new_producer()
        self._consumer = self._log.group_consumer(
            self._namespace.workflow_group,
            self._topics,
            self,
            instance_id=self._instance_id,
            session_timeout_s=self._session_timeout_s,
        )
        self._joined_s = self._host.monotonic()
        try:
            while not self._stopping.is_set():
                self._step()
            self._drain()
        finally:
            self._close()
            if self._watchdog is not None:
                self._watchdog.stop()

    # Assignment, told from inside of poll.

    def on_assigned(self, partitions: Sequence[int]) -> None:
        logger.info("partitions %s of %s assigned", list(partitions), self._namespace.name)
        if max(partitions) >= self._partition_count:
            fault = f"partition {max(partitions)} has been added"
            raise changed_count(self._namespace, self._partition_count, fault)
        self._assigned.update(partitions)
        self._begin_takeover(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        # Nothing is under way here: a batch is committed before the next poll.
        logger.info("partitions %s of %s given up", list(partitions), self._namespace.name)
        self._forget(partitions)
        self._assigned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        logger.warning(
            "partitions %s of %s lost to another worker", list(partitions), self._namespace.name
        )
        self._forget(partitions)
        self._assigned.difference_update(partitions)
        self._joined_s = self._host.monotonic()

    def on_stalled(self, partitions: Sequence[int]) -> None:
        try:
            fenced = self._fence_former(partitions)
        except LogError as error:
            if not error.retriable:
                raise
            # This is told again in a moment, as long as it lasts.
            logger.warning("nobody could be fenced for %s now: %s", list(partitions), error)
            return
        logger.warning("fenced %s, which left transactions open on %s", fenced, list(partitions))

    def _fence_former(self, partitions: Sequence[int]) -> list[str]:
        return fence_former_owners(self._log, self._namespace, partitions, self._transactional_id)

    # The loop.

    def _step(self) -> None:
        assert self._consumer is not None, "run() opens the consumer"
        self.last_step = self._host.monotonic()
        try:
            records = self._poll(self._consumer)
        except LogUnavailableError as error:
            # Nothing is in doubt, so nothing is forgotten.
            logger.warning("the log cannot be read: %s", error)
            self._wait_after_failure(error)
            return
        try:
            if self._producer is None:
                self._start_over()  # which reads these records again
                return
            member = self._consumer.member() if self._assigned else None
            self._advance_takeovers()
            batch = self._take_turns(records)
            if member is not None:
                self._commit(batch, member)
        except LogError as error:
            if not _is_mendable(error):
                raise
            self._recover(error)
        else:
            self._note_success()
            self._after_commit(batch)
            if self._memory is not None:
                self._memory.trim([partition.cells for partition in self._serving.values()])

    def _poll(self, consumer: GroupConsumer) -> list[LogRecord]:
        """What is there; when nothing is, the wait ends with the first record or result of an inline activity."""
        # While some are held, the poll is for the group's sake: what it brings is no more than is taken.
        records_max, wait_s = 1 if self._held else RECORDS_MAX, self._wait_s()
        if not (wait_s and self._inline.running):
            return consumer.poll(records_max, wait_s)
        records = consumer.poll(records_max, 0.0)
        if not records:
            self._inline.wait(min(wait_s, _INLINE_WAIT_S))
        return records

    def _take_turns(self, records: list[LogRecord]) -> Batch:
        batch = Batch(self._namespace)
        room = Room(batch, self._guard, self._host)
        now_ms = int(self._host.time() * 1000)
        serving = self._serving
        room.begin_part(_FRESH_SHARE)
        self._fresh = [
            partition
            for partition in self._fresh
            if not partition.resume_blocked(batch, now_ms, room)
        ]
        served = [record for record in records if record.partition in serving]
        if len(served) < len(records):
            self._put_back([record for record in records if record.partition not in serving])
        self._held.extend(served)
        room.begin_part(_RECORDS_SHARE)
        self._handle(batch, now_ms, room)
        begun_count = self._begin_early(batch)
        room.begin_part(_INLINE_SHARE)
        begun_count += self._handle_inline(batch, now_ms, room)
        room.begin_part(1.0)
        self._fire_due(batch, now_ms, room)
        passed_s = self._lease_time(len(records))
        for partition in serving.values():
            partition.watch_leases(batch, now_ms, passed_s, room)
        self._follow_inline(batch, room, begun_count)
        for partition in serving.values():
            partition.flush(batch)
        if self._guard.has_thread:
            leave_loop()
        return batch

    def _follow_inline(self, batch: Batch, room: Room, begun_count: int) -> None:
        """Take into this batch what soon comes of the inline activities that it has begun, unless they are many.

        One step of a run mostly; of those that need no checkpoint, as many as there is time for.
        """
        deadline_s = self._host.monotonic() + _TOGETHER_S
        while (
            0 < begun_count <= _EARLY_MAX and room.is_left and self._host.monotonic() < deadline_s
        ):
            self._inline.wait(_INLINE_WAIT_S)
            begun_count = self._handle_inline(batch, int(self._host.time() * 1000), room)

    def _begin_early(self, batch: Batch) -> int:
        """Begin the inline activities that follow from records alone; returns how many.

        These are on the log, so the activities may run before their own scheduling is. What follows from the result of
        an inline activity waits for the commit that makes that result durable.
        """
        early, batch.inline = batch.inline, []
        self._submit(early)
        return len(early)

    def _submit(self, inline: Sequence[tuple[int, str, ActivityTask]]) -> None:
        if inline:
            serving = self._serving
            self._inline.submit(
                [(serving[number], workflow_id, task) for number, workflow_id, task in inline]
            )

    def _handle(self, batch: Batch, now_ms: int, room: Room) -> None:
        """Take the turns of what was read, as far as there is room: the rest is held for the next batch."""
        held, serving, handled = self._held, self._serving, list[LogRecord]()
        memory = self._memory
        while held and room.is_left:
            if memory is not None and len(handled) % READ_BACK_MAX == 0:
                self._read_back(memory)
            record = held.popleft()
            handled.append(record)
            serving[record.partition].handle(record, batch, now_ms)
        batch.read(handled)
        self._hot_key.note(handled, self._host.monotonic())

    def _read_back(self, memory: Memory) -> None:
        """Have the bodies of the workflows in memory that the next records are for, where they are absent."""
        wanted: dict[int, list[str]] = {}
        for record in islice(self._held, READ_BACK_MAX):
            workflow_id = (record.key or b"").decode(errors="replace")
            wanted.setdefault(record.partition, []).append(workflow_id)
        memory.read_back([(self._serving[number].cells, ids) for number, ids in wanted.items()])

    def _handle_inline(self, batch: Batch, now_ms: int, room: Room) -> int:
        """Take what came of inline activities; returns how many were begun at once because of it."""
        self._inline_results.extend(self._inline.take())
        begun_count = 0
        for _ in range(min(INLINE_MAX, len(self._inline_results))):
            if not room.is_left:
                break
            owner, workflow_id, result, is_checkpoint = self._inline_results.popleft()
            # A result that was asked for before a failed commit belongs to a past that did not happen.
            if not isinstance(owner, Partition) or self._serving.get(owner.number) is not owner:
                continue
            mark = len(batch.inline)
            owner.handle_result(workflow_id, result, batch, now_ms)
            if is_checkpoint:
                batch.checkpointed.add(workflow_id)
            elif len(batch.inline) > mark and workflow_id not in batch.checkpointed:
                following = batch.inline[mark:]
                del batch.inline[mark:]
                self._submit(following)
                begun_count += len(following)
        return begun_count

    def _fire_due(self, batch: Batch, now_ms: int, room: Room) -> None:
        """What is due, shared out among the partitions; another one begins every time."""
        partitions = list(self._serving.values())
        self._batch_count += 1
        first = self._batch_count % max(len(partitions), 1)
        left = DUE_MAX
        for position, partition in enumerate(partitions[first:] + partitions[:first]):
            share = max(1, left // (len(partitions) - position))
            left -= partition.fire_due(batch, now_ms, share, room)
            if left <= 0 or not room.is_left:
                return

    def _lease_time(self, record_count: int) -> float:
        """How much time has passed for those whose heartbeats lie on the log by now: none while there is more to read.

        When this process stood still, it is not they who were silent.
        """
        now_s = self._host.monotonic()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        return 0.0 if self._held or record_count >= RECORDS_MAX else min(passed_s, _LEASE_STEP_S)

    def _put_back(self, records: Sequence[LogRecord]) -> None:
        """Read again what came before its partition was served (delivered while its pause took effect)."""
        assert self._consumer is not None, "run() opens the consumer"
        first: dict[tuple[str, int], int] = {}
        for record in records:
            if record.partition in self._assigned:
                first.setdefault((record.topic, record.partition), record.offset)
        for (topic, number), offset in first.items():
            self._consumer.seek(topic, number, offset)

    def _commit(self, batch: Batch, member: GroupMember) -> None:
        only_queries = all(topic == self._namespace.queries for topic, _ in batch.next_offsets)
        if not batch.writes and only_queries and not batch.needs_proof:
            return
        assert self._producer is not None, "run() makes the producer"
        began = self._host.monotonic()
        self._positions.update(batch.next_offsets)
        next_offsets = dict(batch.next_offsets)
        for number in batch.partitions:
            # Only the offsets call checks the generation: each partition that is written must be in it.
            signals = (self._namespace.signals, number)
            next_offsets.setdefault(signals, self._positions[signals])
        producer = self._producer.next()
        producer.begin()
        offsets: list[tuple[int, bytes, int]] = []
        if self._memory is None:
            for topic, partition, key, value, headers in batch.writes:
                producer.append(topic, partition, key, value, headers)
        else:
            self._append_noting(producer, batch, offsets)
        producer.send_offsets(next_offsets, member)
        producer.commit(_COMMIT_TIMEOUT_S)
        for number, key, offset in offsets:
            self._serving[number].placed(key, offset)
        self._metrics.batch_records.observe(batch.record_count)
        self._metrics.transaction_seconds.observe(self._host.monotonic() - began)

    def _append_noting(
        self, producer: TransactionalProducer, batch: Batch, offsets: list[tuple[int, bytes, int]]
    ) -> None:
        """Have it noted where the state lies that this batch writes: (partition, key, offset)."""
        state = self._namespace.state

        def note(partition: int, key: bytes, offset: int) -> None:
            offsets.append((partition, key, offset))

        for topic, partition, key, value, headers in batch.writes:
            on_offset = None
            if topic == state and key is not None and value is not None:
                on_offset = partial(note, partition, key)
            producer.append(topic, partition, key, value, headers, on_offset)

    def _after_commit(self, batch: Batch) -> None:
        self._submit(batch.inline)
        if batch.inline_stale:
            serving = self._serving
            self._inline.cancel([(serving[number], key) for number, key in batch.inline_stale])
        for to, reply in batch.replies:
            self._reply(to, reply)
        self._replies.poll(0)
        for workflow_id, keys in batch.removals:
            self._payloads.remove_soon(workflow_id, keys)
        self._report()

    def _reply(self, to: ReplyTo, reply: Reply) -> None:
        """A lost reply is asked for again, so nothing that is wrong with one may stop the partition."""
        try:
            self._replies.produce(
                self._namespace.replies, to.partition, to.client.encode(), encode(reply)
            )
        except (LogError, ValueError) as error:
            self._metrics.dropped.labels("reply that could not be written").inc()
            logger.warning("no reply to %r, partition %s: %s", to.client, to.partition, error)

    def _wait_s(self) -> float:
        if self._takeovers or self._fresh or self._held or self._inline_results:
            return 0.0
        if self._producer is None:
            return 0.0
        wait_s = _INLINE_WAIT_S if self._inline.running else _IDLE_S
        due = [
            due_ms for partition in self._serving.values() if (due_ms := partition.next_due_ms())
        ]
        if due:
            wait_s = min(wait_s, max(0.0, min(due) / 1000 - self._host.time()))
        return wait_s

    # Taking over.

    def _begin_takeover(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._assigned_at[number] = self._host.monotonic()
        self._takeovers.append(
            Takeover(self._log, self._namespace, partitions, self._new_partition, self._host)
        )

    def _new_partition(self, number: int) -> Partition:
        return Partition(
            number,
            namespace=self._namespace,
            partition_count=self._partition_count,
            workflows=self._workflows,
            queues=self._queues,
            guard=self._guard,
            payloads=self._payloads,
            hot_max=self._hot_max,
            memory=self._memory,
            host=self._host,
        )

    def _advance_takeovers(self) -> None:
        for takeover in list(self._takeovers):
            if not takeover.claimed:
                self._claim(takeover)
            for partition in takeover.read(_REBUILD_RECORDS_MAX, 0.05):
                self._serve(partition)
            if not takeover.numbers:
                self._metrics.rebuild_records.inc(takeover.record_count)
                takeover.close()
                self._takeovers.remove(takeover)
                if takeover.record_count >= _LEAVINGS_RECORDS_MIN:
                    give_back()

    def _claim(self, takeover: Takeover) -> None:
        assert self._consumer is not None, "run() opens the consumer"
        assert self._producer is not None, "run() makes the producer"
        wanted = [(topic, number) for number in takeover.numbers for topic in self._topics]
        committed = self._consumer.committed(wanted, _COMMITTED_TIMEOUT_S)
        for position in wanted:
            self._positions[position] = committed.get(position, 0)
        takeover.claim(
            self._producer,
            self._consumer.member(),
            {position: self._positions[position] for position in wanted},
            instance_id=self._instance_id,
            now_ms=int(self._host.time() * 1000),
            partition_count=self._partition_count,
        )

    def _serve(self, partition: Partition) -> None:
        assert self._consumer is not None, "run() opens the consumer"
        self._serving[partition.number] = partition
        self._fresh.append(partition)
        self._consumer.resume([partition.number])
        seconds = self._host.monotonic() - self._assigned_at[partition.number]
        self._metrics.rebuild_seconds.observe(seconds)
        logger.info(
            "partition %s of %s is served: %s workflows after %.2f s",
            partition.number,
            self._namespace.name,
            len(partition.cells),
            seconds,
        )

    def _forget(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            partition = self._serving.pop(number, None)
            if partition is not None:
                partition.close()
        self._fresh = [partition for partition in self._fresh if partition.number in self._serving]
        self._held = deque(record for record in self._held if record.partition in self._serving)
        for takeover in list(self._takeovers):
            takeover.drop(partitions)
            if not takeover.numbers:
                takeover.close()
                self._takeovers.remove(takeover)

    # When a commit fails.

    def _recover(self, error: LogError) -> None:
        """The commit did not happen, or nobody knows: forget everything; the next step reads back what the log says.

        A log that cannot be reached is waited for as long as it takes: whoever would take over needs it too. But who is
        fenced again and again shares his ID with a living process, and only a person can mend that.
        """
        self._forget(sorted(self._assigned))
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        self._metrics.transaction_aborts.labels(_reason(error)).inc()
        if isinstance(error, FencedError):
            self._fenced_count += 1
            if self._fenced_count > _FENCED_MAX:
                raise error
        logger.warning("a commit failed (%s); rebuilding %s", error, sorted(self._assigned))
        self._wait_after_failure(error)

    def _wait_after_failure(self, error: LogError) -> None:
        now_s = self._host.monotonic()
        self._unserved_since_s = self._unserved_since_s or now_s
        self._failures += 1
        if self._failures > 1:
            logger.warning(
                "nothing of %s has been served here for %.0f s, after %s failures; trying again",
                self._namespace.name,
                now_s - self._unserved_since_s,
                self._failures,
            )
        pause_s = _RECOVERY_PAUSE_S * min(self._failures - 1, 10)
        self._stopping.wait(_FULL_PAUSE_S if isinstance(error, LogFullError) else pause_s)

    def _note_success(self) -> None:
        if self._failures and not self._takeovers:
            logger.info(
                "%s: the log answers again after %.1f s", self._namespace.name, self.unserved_s()
            )
            self._failures = self._fenced_count = 0
            self._unserved_since_s = 0.0

    def _start_over(self) -> None:
        """A new producer, and every assigned partition taken over anew from its committed offsets."""
        assert self._consumer is not None, "run() opens the consumer"
        numbers = sorted(self._assigned)
        self._forget(numbers)
        self._producer = self._new_producer()
        if not numbers:
            return
        self._consumer.pause(numbers)
        wanted = [(topic, number) for number in numbers for topic in self._topics]
        committed = self._consumer.committed(wanted, _COMMITTED_TIMEOUT_S)
        for topic, number in wanted:
            self._consumer.seek(topic, number, committed.get((topic, number), FROM_START))
        self._begin_takeover(numbers)

    def _new_producer(self) -> ProducersInTurn:
        producer = ProducersInTurn(self._log, self._transactional_id)
        producer.fence(_FENCE_TIMEOUT_S)
        return producer

    # The end.

    def _drain(self) -> None:
        """Let inline activities finish and commit what they gave, as long as there is time."""
        if self._consumer is not None and self._assigned:
            self._consumer.pause(sorted(self._assigned))
        while (
            self._producer is not None  # or all is forgotten, and the next owner runs it again
            and (self._inline.running or self._inline_results)
            and self._host.monotonic() < self._drain_until
        ):
            self._step()

    def _close(self) -> None:
        for takeover in self._takeovers:
            takeover.close()
        if self._consumer is not None:
            self._consumer.close()
        if self._producer is not None:
            self._producer.close()
        self._replies.flush(5.0)
        self._replies.close()
        if self._memory is not None:
            self._memory.close()

    def _report(self) -> None:
        now = self._host.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + _REPORT_S
        partitions = list(self._serving.values())
        self._metrics.partitions.set(len(partitions))
        if self._memory is not None:
            self._memory.report(self._metrics)
        for status in STATUSES:
            count = sum(partition.statuses[status] for partition in partitions)
            self._metrics.runs.labels(status).set(count)
        for partition in partitions:
            partition.report(self._metrics)
        self._metrics.history_events_max.set(
            max((partition.long.events_max for partition in partitions), default=0)
        )
        self._metrics.history_bytes_max.set(
            max((partition.long.bytes_max for partition in partitions), default=0)
        )


def _is_mendable(error: LogError) -> bool:
    """Whether rebuilding from the log can help."""
    return error.retriable or isinstance(error, FencedError | CommitUnknownError)


def _reason(error: LogError) -> str:
    if isinstance(error, FencedError):
        return "fenced"
    return "unknown" if isinstance(error, CommitUnknownError) else "unavailable"
