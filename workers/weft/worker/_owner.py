"""The workflow worker: one thread, one loop, one transaction per poll.

poll a batch -> take the turns -> commit everything they did together with the consumed offsets -> answer clients. Group
commit makes the batch grow with the load. Whatever goes wrong with a commit, the answer is the same: forget the
partitions' memory, take a new producer, and read back from the log what really happened.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from weft.codec import encode
from weft.errors import CommitUnknownError, FencedError, LogError, LogFullError, LogUnavailableError
from weft.executor import Observer, tell_all
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
from weft.records import STATUSES, Reply, ReplyTo
from weft.topics import Namespace
from weft.worker._allocator import give_back
from weft.worker._batch import Batch
from weft.worker._cells import HOT_MAX
from weft.worker._directory import Directory
from weft.worker._inline import InlineRunner
from weft.worker._memory import Memory, StateReader
from weft.worker._partition import Partition
from weft.worker._producers import ProducersInTurn
from weft.worker._publisher import Publisher, TopicLook
from weft.worker._serving import INLINE_WAIT_S, RECORDS_MAX, Serving
from weft.worker._takeover import Takeover, fence_former_owners
from weft.worker._topic_watch import changed_count
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import UNGUARDED, Guard, Workflow

logger = logging.getLogger("weft.worker")

_REBUILD_RECORDS_MAX = 5000
_LEAVINGS_RECORDS_MIN = 10_000
"""Reading so many leaves memory behind that is worth giving back."""
_COMMIT_TIMEOUT_S = 30.0
_FENCE_TIMEOUT_S = 30.0
_COMMITTED_TIMEOUT_S = 10.0
_FENCED_MAX = 20
"""How often in a row this worker may be fenced before it gives up and says so."""
_RECOVERY_PAUSE_S = 0.2
_FULL_PAUSE_S = 1.0
_REPORT_S = 0.5
_UNMATCHED_MAX = 100
_LABEL_LENGTH_MAX = 100


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
        observers: Sequence[Observer] = (),
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
        self._observers = observers
        self._session_timeout_s = session_timeout_s
        self._directory = Directory(namespace, partition_count, log)
        self._hot_max = hot_max
        self._memory: Memory | None = None
        if memory_bytes_max is not None:
            self._memory = Memory(memory_bytes_max, StateReader(log, namespace))
        self._host = host
        self._watchdog = TurnWatchdog(turn_s_max, host) if turn_s_max is not None else None
        self._guard: Guard = self._watchdog or UNGUARDED
        self._payloads = payloads or Payloads(namespace.name, host=host)
        self._topic_look = TopicLook(log)
        self._publisher = Publisher(namespace, self._topic_look, host)
        self._transactional_id = f"weft-{namespace.name}-{instance_id}"
        self._topics = (namespace.signals, namespace.results, namespace.messages, namespace.queries)
        self._producer: ProducersInTurn | None = None
        self._replies = log.producer()
        self._consumer: GroupConsumer | None = None
        self._assigned: set[int] = set()
        self._serving = Serving(
            namespace,
            inline=inline,
            guard=self._guard,
            memory=self._memory,
            put_back=self._put_back,
            host=host,
        )
        metrics.hot_key_share.set_function(lambda: self._serving.hot_key.share)
        self._takeovers: list[Takeover] = []
        self._positions: dict[tuple[str, int], int] = {}
        self._assigned_at: dict[int, float] = {}
        self._joined_s = 0.0
        self._failures = 0
        self._fenced_count = 0
        self._unserved_since_s = 0.0
        self._report_at = 0.0
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
            return len(self._serving.partitions) == len(self._assigned)
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
            batch = self._serving.take_turns(records)
            if member is not None:
                self._commit_blaming(batch, member)
        except LogError as error:
            if not _is_mendable(error):
                raise
            self._recover(error)
        else:
            self._note_success()
            self._after_commit(batch)
            if self._memory is not None:
                self._memory.trim(
                    [partition.cells for partition in self._serving.partitions.values()]
                )

    def _poll(self, consumer: GroupConsumer) -> list[LogRecord]:
        """What is there; when nothing is, the wait ends with the first record or result of an inline activity."""
        # While some are held, the poll is for the group's sake: what it brings is no more than is taken.
        records_max, wait_s = 1 if self._serving.is_full else RECORDS_MAX, self._wait_s()
        if not (wait_s and self._inline.running):
            return consumer.poll(records_max, wait_s)
        records = consumer.poll(records_max, 0.0)
        if not records:
            self._inline.wait(min(wait_s, INLINE_WAIT_S))
        return records

    def _put_back(self, records: Sequence[LogRecord]) -> None:
        """Read again what came before its partition was served (delivered while its pause took effect)."""
        assert self._consumer is not None, "run() opens the consumer"
        first: dict[tuple[str, int], int] = {}
        for record in records:
            if record.partition in self._assigned:
                first.setdefault((record.topic, record.partition), record.offset)
        for (topic, number), offset in first.items():
            self._consumer.seek(topic, number, offset)

    def _commit_blaming(self, batch: Batch, member: GroupMember) -> None:
        """Commit. A failure that a topic of the users' may have caused is one that rebuilding mends: the topic is
        looked at anew before anything is written to it again."""
        try:
            self._commit(batch, member)
        except LogError as error:
            if not self._publisher.note_failure(batch.published, error) or _is_mendable(error):
                raise
            topics = ", ".join(sorted(batch.published))
            raise CommitUnknownError(f"with records for {topics}: {error}") from error
        self._publisher.note_success(batch.published)

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
            self._serving.partitions[number].placed(key, offset)
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
        self._serving.submit(batch.inline)
        self._serving.cancel(batch.inline_stale)
        for to, reply in batch.replies:
            self._reply(to, reply)
        self._replies.poll(0)
        for workflow_id, keys in batch.removals:
            self._payloads.remove_soon(workflow_id, keys)
        tell_all(self._observers, batch.facts)
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
        return 0.0 if self._takeovers or self._producer is None else self._serving.wait_s()

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
            publisher=self._publisher,
            hot_max=self._hot_max,
            memory=self._memory,
            directory=self._directory,
            observed=bool(self._observers),
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
        self._serving.begin(partition)
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
        self._serving.forget(partitions)
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
            and self._serving.inline_is_open
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
        self._topic_look.close()
        if self._memory is not None:
            self._memory.close()

    def _report(self) -> None:
        now = self._host.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + _REPORT_S
        partitions = list(self._serving.partitions.values())
        self._metrics.partitions.set(len(partitions))
        if self._memory is not None:
            self._memory.report(self._metrics)
        for status in STATUSES:
            count = sum(partition.statuses[status] for partition in partitions)
            self._metrics.runs.labels(status).set(count)
        self._report_unmatched(partitions)
        for partition in partitions:
            partition.report(self._metrics)
        self._metrics.history_events_max.set(
            max((partition.long.events_max for partition in partitions), default=0)
        )
        self._metrics.history_bytes_max.set(
            max((partition.long.bytes_max for partition in partitions), default=0)
        )

    def _report_unmatched(self, partitions: Sequence[Partition]) -> None:
        """A start may name anything: of names and versions only so many are shown, and only so much of each."""
        runs = Counter(one for partition in partitions for one in partition.unmatched.values())
        gauge = self._metrics.workflows_unmatched
        gauge.clear()
        for (workflow, version), count in runs.most_common(_UNMATCHED_MAX):
            gauge.labels(workflow[:_LABEL_LENGTH_MAX], version[:_LABEL_LENGTH_MAX]).set(count)


def _is_mendable(error: LogError) -> bool:
    """Whether rebuilding from the log can help."""
    return error.retriable or isinstance(error, FencedError | CommitUnknownError)


def _reason(error: LogError) -> str:
    if isinstance(error, FencedError):
        return "fenced"
    return "unknown" if isinstance(error, CommitUnknownError) else "unavailable"
