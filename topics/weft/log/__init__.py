"""The log and its two backends. `open_log` picks one; the rest of Weft sees the contract only."""

from weft.log._api import (
    FROM_END,
    FROM_START,
    Admin,
    AssignmentListener,
    DeliveryCallback,
    GroupConsumer,
    GroupMember,
    Headers,
    Log,
    LogRecord,
    Producer,
    Reader,
    TopicInfo,
    TopicPartition,
    TopicSpec,
    TransactionalProducer,
)
from weft.log._open import open_log

__all__ = [
    "FROM_END",
    "FROM_START",
    "Admin",
    "AssignmentListener",
    "DeliveryCallback",
    "GroupConsumer",
    "GroupMember",
    "Headers",
    "Log",
    "LogRecord",
    "Producer",
    "Reader",
    "TopicInfo",
    "TopicPartition",
    "TopicSpec",
    "TransactionalProducer",
    "open_log",
]
