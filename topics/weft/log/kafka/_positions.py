"""Where reading starts, and that it starts at once.

librdkafka looks up `FROM_START` and `FROM_END` by itself, half a second late; and a partition that is assigned, resumed
or sought back is fetched when the broker's thread next wakes, up to a second later. Asking the brokers for the offsets
does both better: the answer is there in a millisecond, and the question wakes the threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from weft.errors import LogUnavailableError
from weft.log._api import FROM_END, FROM_START, count_of_last
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._errors import kafka_error, log_error

_RETRY_S = 0.01
_WAKE_TIMEOUT_S = 0.005
"""What wakes the threads is the question. The answer may have to wait behind a fetch, and nobody needs it."""


def starting_points(
    client: Consumer,
    offsets: Mapping[TopicAndPartition, int],
    timeout_s: float,
    *,
    patience_s: float = 0.0,
) -> list[TopicPartition]:
    """The partitions with real offsets in place of `FROM_START`, `FROM_END` and `last(n)`. Raises `LogError`.

    The brokers are asked for `timeout_s` at a time, and again as long as there is no answer within `patience_s`: one
    question may use its time up on a broker that does not know yet that it leads a new partition.
    """
    points = [
        TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()
    ]
    unresolved = [point for point in points if point.offset < 0]
    if not unresolved:
        return points
    resolved = [point for point in points if point.offset >= 0]
    deadline_s = time.monotonic() + max(timeout_s, patience_s)
    while True:
        try:
            return resolved + _looked_up(client, unresolved, timeout_s)
        except LogUnavailableError:
            # A partition that was just made, or whose leader has just moved, has a leader in a moment.
            if time.monotonic() > deadline_s:
                raise
            threading.Event().wait(_RETRY_S)


def _looked_up(
    client: Consumer, unresolved: list[TopicPartition], timeout_s: float
) -> list[TopicPartition]:
    counts = [count_of_last(point.offset) for point in unresolved]
    asked = [
        TopicPartition(point.topic, point.partition, point.offset if count is None else FROM_END)
        for point, count in zip(unresolved, counts, strict=True)
    ]
    found = _answered(client, asked, timeout_s)
    if any(count is not None for count in counts):
        starts = [TopicPartition(point.topic, point.partition, FROM_START) for point in found]
        for point, count, start in zip(
            found, counts, _answered(client, starts, timeout_s), strict=True
        ):
            if count is not None:
                point.offset = max(start.offset, point.offset - count)
    return found


def _answered(
    client: Consumer, asked: list[TopicPartition], timeout_s: float
) -> list[TopicPartition]:
    what = f"Looking up where {asked[0].topic}-{asked[0].partition} and others start"
    try:
        # Asked for the offset at the time -2 or -1, the broker tells the first or the last one.
        found = client.offsets_for_times(asked, timeout_s)
    except KafkaException as exception:
        raise log_error(kafka_error(exception), what) from exception
    for one in found:
        if one.error is not None:
            raise log_error(one.error, what)
    return found


def wake(client: Consumer, partitions: Sequence[TopicPartition]) -> None:
    """Have the partitions fetched now."""
    question = [TopicPartition(one.topic, one.partition, FROM_START) for one in partitions]
    if question:
        with contextlib.suppress(KafkaException):
            client.offsets_for_times(question, _WAKE_TIMEOUT_S)
