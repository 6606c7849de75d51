"""The transactional producer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from weft.errors import LogError, LogUnavailableError, UsageError, WeftError
from weft.log._api import GroupMember, Headers, OffsetCallback
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._errors import STALE_GENERATION, commit_error, kafka_error, log_error
from weft.log.kafka._limits import TopicLimits
from weft.log.kafka._producer import enqueue
from weft.log.kafka._settings import Settings, logger
from weft.log.kafka._watched import WatchedCalls

_SEND_OFFSETS_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class KafkaMember:
    """Proof of a membership: Kafka's own form of group, generation and member ID."""

    metadata: bytes


class KafkaTransactionalProducer:
    """Implements `weft.log.TransactionalProducer`.

    When `send_offsets` raises `FencedError` because the generation is stale, `abort` ends the transaction and the
    producer goes on. After any other error of `send_offsets`, `commit` or `abort` it is spent: every further call
    raises that error again. librdkafka could sometimes go on, but a record that the broker refused leaves a gap in its
    numbering that spoils the next transaction too.
    """

    def __init__(
        self, settings: Settings, name: str, limits: TopicLimits, transactional_id: str
    ) -> None:
        self.transactional_id = transactional_id
        self._name = name
        self._limits = limits
        self._client = Producer(settings, logger=logger)
        self._watched = WatchedCalls(f"weft-kafka-{transactional_id}")
        self._has_id = False
        self._open = False
        self._closed = False
        self._spent: WeftError | None = None

    def fence(self, timeout_s: float) -> None:
        """Takes 0.5 to 1 s when the previous holder left a transaction open, a few milliseconds otherwise."""
        self._check_not_spent()
        try:
            self._client.init_transactions(timeout_s)
        except KafkaException as exception:
            error = log_error(
                kafka_error(exception),
                f"Transactional ID {self.transactional_id} could not be taken on {self._name} within {timeout_s:g} s",
            )
            raise error from exception
        self._has_id = True

    def begin(self) -> None:
        self._check_not_spent()
        if not self._has_id:
            raise UsageError(
                f"Transactional producer {self.transactional_id} must call fence() before its first begin()."
            )
        if self._open:
            raise UsageError(
                f"Transactional producer {self.transactional_id} has a transaction open already."
            )
        try:
            self._client.begin_transaction()
        except KafkaException as exception:
            raise self._end(kafka_error(exception), "could not begin a transaction") from exception
        self._open = True

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        """A `RecordTooLargeError` or `TopicError` leaves the transaction as it was: the rest can be committed."""
        if not self._open:
            self._refuse_closed()
        self._limits.check(topic, key, value, headers)
        try:
            report = _report_to(on_offset) if on_offset is not None else None
            enqueue(self._client, topic, partition, key, value, headers, report)
        except BufferError:
            raise LogUnavailableError(
                f"{len(self._client)} records of transactional producer {self.transactional_id} wait to be sent to "
                f"{self._name}, and the queue takes no more: abort, and make smaller transactions."
            ) from None
        except KafkaException as exception:
            raise self._append_error(exception, topic, partition) from exception

    def _append_error(self, exception: KafkaException, topic: str, partition: int) -> LogError:
        error = kafka_error(exception)
        where = f"a record for {topic}-{partition} was refused"
        if error.code() in (KafkaError._FATAL, KafkaError._STATE):
            # The reason came while earlier records were being sent; only the next call to the coordinator tells it.
            return self._end(self._hidden_error() or error, where)
        return log_error(error, f"Transactional producer {self.transactional_id}: {where}")

    def _hidden_error(self) -> KafkaError | None:
        try:
            self._client.commit_transaction(0)
        except KafkaException as exception:
            return kafka_error(exception)
        return None

    def send_offsets(
        self, next_offsets: Mapping[TopicAndPartition, int], member: GroupMember
    ) -> None:
        """Raises `FencedError` when the generation is stale: `abort`, and take the partitions up anew."""
        if not self._open:
            self._refuse_closed()
        if not isinstance(member, KafkaMember):
            raise UsageError("send_offsets needs the member() of a group consumer of the same log.")
        offsets = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in next_offsets.items()
        ]
        what = "could not add the consumed offsets to its transaction"
        try:
            self._watched.make(
                _SEND_OFFSETS_TIMEOUT_S,
                self._client.send_offsets_to_transaction,
                offsets,
                member.metadata,
                _SEND_OFFSETS_TIMEOUT_S,
            )
        except KafkaException as exception:
            raise self._end(kafka_error(exception), what) from exception
        except TimeoutError:
            late = KafkaError(
                KafkaError._TIMED_OUT, f"no answer within {_SEND_OFFSETS_TIMEOUT_S:g} s"
            )
            raise self._end(late, what) from None

    def commit(self, timeout_s: float) -> None:
        if not self._open:
            self._refuse_closed()
        try:
            self._client.commit_transaction(timeout_s)
        except KafkaException as exception:
            raise self._end(
                kafka_error(exception), f"did not commit its transaction within {timeout_s:g} s"
            ) from exception
        self._open = False

    def abort(self, timeout_s: float) -> None:
        """Does nothing when no transaction is open."""
        self._check_not_spent()
        if not self._open:
            return
        try:
            self._client.abort_transaction(timeout_s)
        except KafkaException as exception:
            raise self._end(
                kafka_error(exception), f"did not abort its transaction within {timeout_s:g} s"
            ) from exception
        self._open = False

    def _end(self, error: KafkaError, what: str) -> LogError:
        """The error to raise. Unless it only says that the group has moved on, the producer is spent."""
        failure = commit_error(error, f"Transactional producer {self.transactional_id} {what}")
        if error.fatal() or error.code() not in STALE_GENERATION:
            self._spent = failure
        return failure

    def _refuse_closed(self) -> None:
        self._check_not_spent()
        raise UsageError(
            f"Transactional producer {self.transactional_id} has no open transaction; call begin() first."
        )

    def _check_not_spent(self) -> None:
        if self._spent is not None:
            raise type(self._spent)(str(self._spent))

    def close(self) -> None:
        """An open transaction stays undecided until its ID is taken again (`fence`), or it times out."""
        if self._closed:
            return
        self._closed = True
        self._open = False
        self._spent = UsageError(
            f"Transactional producer {self.transactional_id} was used after it was closed."
        )
        self._watched.close()
        if not self._watched.hangs:
            self._client.purge()
        # The client ends, with its threads and connections, when it is forgotten.
        del self._client


def _report_to(on_offset: OffsetCallback) -> Callable[[KafkaError | None, Message], None]:
    """Served within `commit`, which flushes. What was not written makes that fail, so it is not told here."""

    def report(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None and offset >= 0:
            on_offset(offset)

    return report
