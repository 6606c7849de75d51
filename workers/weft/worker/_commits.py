"""What an owner brings on the log: batches, each in one transaction, and after it what may be told only then."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from weft.codec import encode
from weft.errors import CommitUnknownError, FencedError, LogError
from weft.executor import Observer, tell_all
from weft.host import HOST, Host
from weft.log import GroupMember, Log, TopicPartition, TransactionalProducer
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import Reply, ReplyTo
from weft.topics import Namespace
from weft.worker._batch import Batch
from weft.worker._partition import Partition
from weft.worker._producers import ProducersInTurn
from weft.worker._publisher import Publisher

logger = logging.getLogger("weft.worker")

_COMMIT_TIMEOUT_S = 30.0
_FENCE_TIMEOUT_S = 30.0
_FLUSH_TIMEOUT_S = 5.0


class Commits:
    """Of one owner; used by its thread. After a failed one the producers are dropped, and `open` makes new ones."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        transactional_id: str,
        *,
        partitions: Mapping[int, Partition],
        notes_places: bool,
        publisher: Publisher,
        payloads: Payloads,
        metrics: WorkerMetrics,
        observers: Sequence[Observer] = (),
        host: Host = HOST,
    ) -> None:
        """With `notes_places`, the partitions are told where on the log the state lies that was written."""
        self.transactional_id = transactional_id
        self.producers: ProducersInTurn | None = None
        """None before the first, and after a failure."""
        self.positions: dict[TopicPartition, int] = {}
        """The next offset of each topic of a partition that was claimed or committed."""
        self._log = log
        self._namespace = namespace
        self._partitions = partitions
        self._notes_places = notes_places
        self._publisher = publisher
        self._payloads = payloads
        self._metrics = metrics
        self._observers = observers
        self._host = host
        self._replies = log.producer()

    def open(self) -> None:
        """New producers, which fence whoever had their IDs."""
        producers = ProducersInTurn(self._log, self.transactional_id)
        producers.fence(_FENCE_TIMEOUT_S)
        self.producers = producers

    def drop(self) -> None:
        """Something has failed, or it is over: no more commits by these producers."""
        if self.producers is not None:
            self.producers.close()
            self.producers = None

    def close(self) -> None:
        self.drop()
        self._replies.flush(_FLUSH_TIMEOUT_S)
        self._replies.close()

    def commit(self, batch: Batch, member: GroupMember) -> None:
        """A failure that a topic of the users' may have caused is one that rebuilding mends: the topic is looked at
        anew before anything is written to it again."""
        try:
            self._commit(batch, member)
        except LogError as error:
            if not self._publisher.note_failure(batch.published, error) or is_mendable(error):
                raise
            topics = ", ".join(sorted(batch.published))
            raise CommitUnknownError(f"with records for {topics}: {error}") from error
        self._publisher.note_success(batch.published)

    def _commit(self, batch: Batch, member: GroupMember) -> None:
        only_queries = all(topic == self._namespace.queries for topic, _ in batch.next_offsets)
        if not batch.writes and only_queries and not batch.needs_proof:
            return
        assert self.producers is not None, "the owner opens them"
        began = self._host.monotonic()
        self.positions.update(batch.next_offsets)
        next_offsets = dict(batch.next_offsets)
        for number in batch.partitions:
            # Only the offsets call checks the generation: each partition that is written must be in it.
            signals = (self._namespace.signals, number)
            next_offsets.setdefault(signals, self.positions[signals])
        producer = self.producers.next()
        producer.begin()
        offsets: list[tuple[int, bytes, int]] = []
        if self._notes_places:
            self._append_noting(producer, batch, offsets)
        else:
            for topic, partition, key, value, headers in batch.writes:
                producer.append(topic, partition, key, value, headers)
        producer.send_offsets(next_offsets, member)
        producer.commit(_COMMIT_TIMEOUT_S)
        for number, key, offset in offsets:
            self._partitions[number].placed(key, offset)
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

    def tell(self, batch: Batch) -> None:
        """It is committed: answer clients, let payloads go that nobody has any more, and tell those who look on."""
        for to, reply in batch.replies:
            self._reply(to, reply)
        self._replies.poll(0)
        for workflow_id, keys in batch.removals:
            self._payloads.remove_soon(workflow_id, keys)
        tell_all(self._observers, batch.facts)

    def _reply(self, to: ReplyTo, reply: Reply) -> None:
        """A lost reply is asked for again, so nothing that is wrong with one may stop the partition."""
        try:
            self._replies.produce(
                self._namespace.replies, to.partition, to.client.encode(), encode(reply)
            )
        except (LogError, ValueError) as error:
            self._metrics.dropped.labels("reply that could not be written").inc()
            logger.warning("no reply to %r, partition %s: %s", to.client, to.partition, error)


def is_mendable(error: LogError) -> bool:
    """Whether rebuilding from the log can help."""
    return error.retriable or isinstance(error, FencedError | CommitUnknownError)
