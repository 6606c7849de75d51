from __future__ import annotations

import time
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from weft.errors import LogUnavailableError
from weft.log import FROM_START
from weft.log.kafka._positions import starting_points


class SlowClient:
    """Uses the whole time of a question up, so many times, and says then that nobody leads the partition."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def offsets_for_times(self, asked: list[Any], timeout_s: float) -> list[TopicPartition]:
        if self.refusals:
            self.refusals -= 1
            time.sleep(timeout_s + 0.02)
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return [TopicPartition(one.topic, one.partition, 7) for one in asked]


def points(client: SlowClient, patience_s: float) -> list[int]:
    found = starting_points(
        cast("Consumer", client), {("orders", 0): FROM_START}, 0.01, patience_s=patience_s
    )
    return [point.offset for point in found]


def test_starts_are_asked_for_again_when_one_question_has_used_its_time_up() -> None:
    """A worker on a fresh topic of a busy broker ended after the first one."""
    assert points(SlowClient(refusals=2), patience_s=30.0) == [7]


def test_starts_are_not_known_when_patience_is_at_an_end() -> None:
    with pytest.raises(LogUnavailableError, match="orders-0 and others start"):
        points(SlowClient(refusals=1), patience_s=0.0)
