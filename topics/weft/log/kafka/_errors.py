"""Kafka's errors as the contract's."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

from weft.errors import (
    CommitUnknownError,
    FencedError,
    LogError,
    LogUnavailableError,
    RecordTooLargeError,
    TopicError,
)

STALE_GENERATION = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""The group went on without this member: its transaction can be aborted, and its producer still serves."""
_FENCED = STALE_GENERATION | {
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
}
_TOPIC = frozenset(
    {
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
    }
)
_TOO_LARGE = frozenset(
    {
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)
_UNAVAILABLE = frozenset(
    {
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY_BROKER,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._NODE_UPDATE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError._QUEUE_FULL,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
    }
)
_REFUSED = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_ADVICE = {
    FencedError: "Another owner took over: give the partitions up and forget what is in memory for them.",
    TopicError: "Make the topics (`weft topics create`) or compare them with what is wanted (`weft topics check`).",
    RecordTooLargeError: "Send less, or raise `max.message.bytes` of the topic.",
    LogUnavailableError: "The same call may succeed later; if it does not, look at the brokers and the network.",
    LogError: "Kafka's documentation of the error says more.",
}
_ADVICE_REFUSED = "Look at the credentials given to Weft and at the broker's access rules."


def kafka_error(exception: KafkaException) -> KafkaError:
    """What Kafka said. Some exceptions of the library hold a plain text instead."""
    error = exception.args[0]
    return error if isinstance(error, KafkaError) else KafkaError(KafkaError._FAIL, str(exception))


def log_error(error: KafkaError, what: str) -> LogError:
    """The contract's error for Kafka's. `what` says what was tried, and where."""
    kind = _kind(error)
    advice = _ADVICE_REFUSED if error.code() in _REFUSED else _ADVICE[kind]
    return kind(f"{what}: {error.str()} ({error.name()}). {advice}")


def commit_error(error: KafkaError, what: str) -> LogError:
    """As `log_error`, for the end of a transaction: whatever is not surely refused is unknown."""
    kind = _kind(error)
    if kind in (FencedError, RecordTooLargeError):
        return log_error(error, what)
    return CommitUnknownError(
        f"{what}: {error.str()} ({error.name()}). It may have been committed or not: close this producer, make a new "
        "one (which decides the transaction), and read again what its partitions hold."
    )


def undecided_error(
    group: str, name: str, partitions: Sequence[int], seconds: float
) -> LogUnavailableError:
    """For committed offsets that are part of a transaction which neither its producer nor a fence has ended."""
    return LogUnavailableError(
        f"The committed offsets of group {group} for partitions {list(partitions)} on {name} have been undecided for "
        f"{seconds:g} s: they belong to a transaction that has no end. Kafka ends what its producer left open after "
        "transaction.timeout.ms. If this lasts longer, a broker has lost the end, as a lone one does that is stopped "
        "under load: `kafka-transactions.sh find-hanging --broker-id N --max-transaction-timeout 1` lists what hangs, "
        "and `kafka-transactions.sh abort --topic T --partition P --start-offset O` ends it, line by line."
    )


def _kind(error: KafkaError) -> type[LogError]:
    code = error.code()
    if code in _FENCED:
        return FencedError
    if code in _TOPIC:
        return TopicError
    if code in _TOO_LARGE:
        return RecordTooLargeError
    if code in _UNAVAILABLE or error.retriable():
        return LogUnavailableError
    return LogError
