from __future__ import annotations

from itertools import count

import pytest
from confluent_kafka import KafkaError

from weft.errors import CommitUnknownError, LogUnavailableError
from weft.log.kafka._admin import KafkaAdmin
from weft.log.kafka._errors import commit_error, log_error


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError._DESTROY_BROKER,
        KafkaError._TRANSPORT,
    ],
)
def test_error_passes_when_it_comes_of_leaders_and_brokers_that_move(code: int) -> None:
    """A worker that started while a broker was replaced ended of each of the first five."""
    error = log_error(KafkaError(code), "Looking something up")
    assert type(error) is LogUnavailableError
    assert type(commit_error(KafkaError(code), "It")) is CommitUnknownError


def test_topics_are_never_asked_for_with_less_than_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A try that took longer than it was given left a negative rest, which the library refuses as no number."""
    asked: list[float] = []
    clock = count(0.0, 4.5)

    def describe(_self: KafkaAdmin, _client: object, _names: object, timeout_s: float) -> None:
        asked.append(timeout_s)
        raise LogUnavailableError("no answer")

    monkeypatch.setattr("weft.log.kafka._admin.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(KafkaAdmin, "_describe", describe)
    monkeypatch.setattr(KafkaAdmin, "_new_client", lambda _self: None)
    admin = KafkaAdmin.__new__(KafkaAdmin)
    monkeypatch.setattr(admin, "_client", None, raising=False)
    with pytest.raises(LogUnavailableError):
        admin.describe_topics(["orders"], 8.0)
    assert asked
    assert min(asked) > 0
