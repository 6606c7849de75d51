"""Whether the brokers can be reached at all. Kafka's consumer tells nobody: it finds nothing to read, and waits."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException

from weft.log.kafka._errors import kafka_error, log_error

_LOOK_TIMEOUT_S = 1.0


class Reach:
    """`note` is for the client's error callback, `check` for a poll that brought nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_down = False

    def note(self, error: KafkaError) -> None:
        """The client says this once, when the last of its connections is gone, and nothing when one is back."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_down = True

    def check(self, client: Consumer, topic: str) -> None:
        """Ask, if the brokers were out of reach when they were last heard of. Raises `LogError` if they still are."""
        if not self._is_down:
            return
        try:
            client.list_topics(topic, _LOOK_TIMEOUT_S)
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception), f"No broker of {self._name} can be reached"
            ) from exception
        self._is_down = False
