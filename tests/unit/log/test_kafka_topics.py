from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from weft.log import TopicSpec
from weft.log.kafka import _admin

LED = SimpleNamespace(error=None, partitions={0: SimpleNamespace(leader=1)})
BROKERS = {number: SimpleNamespace(host=f"b{number}", port=9092) for number in (1, 2, 3)}


class Cluster:
    """Of three brokers. The second hears of a new topic late, and the third does not answer."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def client(self, settings: dict[str, Any], **_logger: object) -> Any:
        address = settings["bootstrap.servers"]
        return SimpleNamespace(
            poll=lambda _timeout: 0,
            create_topics=self._create,
            list_topics=lambda **_timeout: self._list(address),
        )

    def _create(self, topics: list[Any], **_timeout: object) -> dict[str, Future[None]]:
        done: Future[None] = Future()
        done.set_result(None)
        return {topic.topic: done for topic in topics}

    def _list(self, address: str) -> Any:
        self.asked[address] += 1
        if address == "b3:9092":
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        is_behind = address == "b2:9092" and self.asked[address] < 3
        return SimpleNamespace(brokers=BROKERS, topics={} if is_behind else {"orders": LED})


def test_topics_are_made_when_every_broker_that_answers_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that opened right after asked another broker, and was told that there is no such namespace."""
    cluster = Cluster()
    monkeypatch.setattr(_admin, "AdminClient", cluster.client)
    admin = _admin.KafkaAdmin({"bootstrap.servers": "b1:9092"}, "kafka b1:9092")
    assert admin.create_topics([TopicSpec("orders", 1)]) == ["orders"]
    assert (cluster.asked["b2:9092"], cluster.asked["b3:9092"]) == (3, 1)
