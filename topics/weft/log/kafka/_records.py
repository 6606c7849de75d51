"""Messages of the library as records of the contract. On the hot path of every reader: one pass, no more."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, Message

from weft.errors import FencedError, LogError
from weft.log._api import LogRecord
from weft.log.kafka._errors import log_error
from weft.log.kafka._settings import logger

_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._RESOLVE,
        KafkaError._TRANSPORT,
    }
)
"""The client mends these by itself, or tells of them in another way."""


def records_of(messages: Sequence[Message]) -> list[LogRecord]:
    """The records among the messages; errors are left out."""
    return [
        LogRecord(
            message.topic(),  # type: ignore[arg-type]  # a message without an error has a place
            message.partition(),  # type: ignore[arg-type]
            message.offset(),  # type: ignore[arg-type]
            message.key(),
            message.value(),
            message.timestamp()[1],
            message.headers() or (),  # type: ignore[arg-type]  # bytes, as they were read
        )
        for message in messages
        if message.error() is None
    ]


def first_error(messages: Sequence[Message], name: str) -> LogError | None:
    """What went wrong with reading and does not pass by itself."""
    for message in messages:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            continue
        if error.code() in _PASSING or (error.retriable() and not error.fatal()):
            logger.warning("reading from %s: %s", name, error)
            continue
        if error.code() == KafkaError._FATAL:
            return fenced_error(error, name)
        topic = message.topic()
        where = f"{topic}-{message.partition()} of {name}" if topic else name
        return log_error(error, f"Reading from {where} failed")
    return None


def fenced_error(error: KafkaError, name: str) -> FencedError:
    """For a fatal error of a consumer. The library hides the reason's code, but a consumer has only this one."""
    return FencedError(
        f"Another process joined the group on {name} with this member's instance ID and has its partitions now "
        f"({error.str()}). Two processes must not share an instance ID; this one cannot go on."
    )
