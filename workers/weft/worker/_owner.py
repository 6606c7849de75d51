"""The workflow worker: one thread, one loop, one transaction per poll.

poll a batch -> take the turns -> commit everything they did together with the consumed offsets -> answer clients. Group
commit makes the batch grow with the load. Whatever goes wrong with a commit, the answer is the same: forget the
partitions' memory, take a new producer, and read back from the log what really happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from weft.errors import CommitUnknownError, FencedError, LogError, LogUnavailableError
from weft.executor import Observer
from weft.host import HOST, Host
from weft.log import (
    GroupConsumer,
    Log,
    LogRecord,
)
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.topics import Namespace
from weft.worker._batch import Batch
from weft.worker._cells import HOT_MAX
from weft.worker._commits import Commits, is_mendable
from weft.worker._directory import Directory
from weft.worker._inline import InlineRunner
from weft.worker._memory import Memory, StateReader
from weft.worker._outage import Outage
from weft.worker._partition import Partition
from weft.worker._publisher import Publisher, TopicLook
from weft.worker._report import Report
from weft.worker._serving import INLINE_WAIT_S, RECORDS_MAX, Serving
from weft.worker._takeover import fence_former_owners
from weft.worker._takeovers import Takeovers
from weft.worker._topic_watch import changed_count
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import UNGUARDED, Guard, Workflow

logger = logging.getLogger("weft.worker")


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
        self._partition_count = partition_count
        self._inline = inline
        self._metrics = metrics
        self._instance_id = instance_id
        self._session_timeout_s = session_timeout_s
        self._memory: Memory | None = None
        if memory_bytes_max is not None:
            self._memory = Memory(memory_bytes_max, StateReader(log, namespace))
        self._host = host
        self._watchdog = TurnWatchdog(turn_s_max, host) if turn_s_max is not None else None
        guard: Guard = self._watchdog or UNGUARDED
        payloads = payloads or Payloads(namespace.name, host=host)
        self._topic_look = TopicLook(log)
        publisher = Publisher(namespace, self._topic_look, host)
        self._consumer: GroupConsumer | None = None
        self._assigned: set[int] = set()
        self._serving = Serving(
            namespace,
            inline=inline,
            guard=guard,
            memory=self._memory,
            put_back=self._put_back,
            host=host,
        )
        metrics.hot_key_share.set_function(lambda: self._serving.hot_key.share)
        self._commits = self._new_commits(publisher, payloads, observers)
        self._takeovers = self._new_takeovers(
            partial(
                Partition,
                namespace=namespace,
                partition_count=partition_count,
                workflows=workflows,
                queues=queues,
                guard=guard,
                payloads=payloads,
                publisher=publisher,
                hot_max=hot_max,
                memory=self._memory,
                directory=Directory(namespace, partition_count, log),
                observed=bool(observers),
                host=host,
            )
        )
        self._report = Report(metrics, self._memory, host)
        self._joined_s = 0.0
        self._outage = Outage(namespace.name, host)
        self._stopping = host.event()
        self._drain_until = 0.0
        self.last_step = host.monotonic()

    def _new_commits(
        self, publisher: Publisher, payloads: Payloads, observers: Sequence[Observer]
    ) -> Commits:
        return Commits(
            self._log,
            self._namespace,
            f"weft-{self._namespace.name}-{self._instance_id}",
            partitions=self._serving.partitions,
            notes_places=self._memory is not None,
            publisher=publisher,
            payloads=payloads,
            metrics=self._metrics,
            observers=observers,
            host=self._host,
        )

    def _new_takeovers(self, make: Callable[[int], Partition]) -> Takeovers:
        return Takeovers(
            self._log,
            self._namespace,
            make=make,
            commits=self._commits,
            serving=self._serving,
            metrics=self._metrics,
            instance_id=self._instance_id,
            partition_count=self._partition_count,
            host=self._host,
        )

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
        outage_s = self._outage.seconds
        if outage_s is not None:
            return outage_s
        # A call that does not come back, as a commit whose answer never arrives, serves nobody either.
        standing_s = self._host.monotonic() - self.last_step
        return standing_s if standing_s > self._session_timeout_s else 0.0

    def stop(self, drain_s: float) -> None:
        """Finish what is under way, for at most `drain_s`, then let `run` return."""
        self._drain_until = self._host.monotonic() + drain_s
        self._stopping.set()

    def run(self) -> None:
        """Serve until stopped. Raises what the worker cannot mend by rebuilding."""
        if self._watchdog is not None:
            self._watchdog.start()
        self._commits.open()
        self._consumer = self._log.group_consumer(
            self._namespace.workflow_group,
            self._takeovers.topics,
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
        self._takeovers.begin(partitions)

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
            fenced = fence_former_owners(
                self._log, self._namespace, partitions, self._commits.transactional_id
            )
        except LogError as error:
            if not error.retriable:
                raise
            # This is told again in a moment, as long as it lasts.
            logger.warning("nobody could be fenced for %s now: %s", list(partitions), error)
            return
        logger.warning("fenced %s, which left transactions open on %s", fenced, list(partitions))

    # The loop.

    def _step(self) -> None:
        assert self._consumer is not None, "run() opens the consumer"
        self.last_step = self._host.monotonic()
        try:
            records = self._poll(self._consumer)
        except LogUnavailableError as error:
            # Nothing is in doubt, so nothing is forgotten.
            logger.warning("the log cannot be read: %s", error)
            self._stopping.wait(self._outage.note(error))
            return
        try:
            if self._commits.producers is None:
                self._start_over(self._consumer)  # which reads these records again
                return
            member = self._consumer.member() if self._assigned else None
            self._takeovers.advance(self._consumer)
            batch = self._serving.take_turns(records)
            if member is not None:
                self._commits.commit(batch, member)
        except LogError as error:
            if not is_mendable(error):
                raise
            self._recover(error)
        else:
            if not self._takeovers.are_under_way:
                self._outage.end()
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

    def _after_commit(self, batch: Batch) -> None:
        self._serving.submit(batch.inline)
        self._serving.cancel(batch.inline_stale)
        self._commits.tell(batch)
        self._report.make(self._serving.partitions.values())

    def _wait_s(self) -> float:
        if self._takeovers.are_under_way or self._commits.producers is None:
            return 0.0
        return self._serving.wait_s()

    def _forget(self, partitions: Sequence[int]) -> None:
        self._serving.forget(partitions)
        self._takeovers.drop(partitions)

    # When a commit fails.

    def _recover(self, error: LogError) -> None:
        """The commit did not happen, or nobody knows: forget everything; the next step reads back what the log says.

        A log that cannot be reached is waited for as long as it takes: whoever would take over needs it too. But who is
        fenced again and again shares his ID with a living process, and only a person can mend that.
        """
        self._forget(sorted(self._assigned))
        self._commits.drop()
        self._metrics.transaction_aborts.labels(_reason(error)).inc()
        if isinstance(error, FencedError):
            self._outage.note_fenced(error)
        logger.warning("a commit failed (%s); rebuilding %s", error, sorted(self._assigned))
        self._stopping.wait(self._outage.note(error))

    def _start_over(self, consumer: GroupConsumer) -> None:
        """New producers, and every assigned partition taken over anew from its committed offsets."""
        numbers = sorted(self._assigned)
        self._forget(numbers)
        self._commits.open()
        if numbers:
            self._takeovers.begin_anew(numbers, consumer)

    # The end.

    def _drain(self) -> None:
        """Let inline activities finish and commit what they gave, as long as there is time."""
        if self._consumer is not None and self._assigned:
            self._consumer.pause(sorted(self._assigned))
        while (
            self._commits.producers
            is not None  # or all is forgotten, and the next owner runs it again
            and self._serving.inline_is_open
            and self._host.monotonic() < self._drain_until
        ):
            self._step()

    def _close(self) -> None:
        self._takeovers.close()
        if self._consumer is not None:
            self._consumer.close()
        self._commits.close()
        self._topic_look.close()
        if self._memory is not None:
            self._memory.close()


def _reason(error: LogError) -> str:
    if isinstance(error, FencedError):
        return "fenced"
    return "unknown" if isinstance(error, CommitUnknownError) else "unavailable"
