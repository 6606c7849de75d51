from __future__ import annotations

import pytest

from weft.core import PublishRecord
from weft.errors import FencedError, LogError, LogUnavailableError, TopicError
from weft.host import Host
from weft.log import TopicInfo
from weft.topics import Namespace, partition_of
from weft.worker._publisher import FAILURES_MAX, FRESH_S, REFUSED_S, Publisher


class _Topics:
    """What a log says of its topics, and how often it was asked."""

    def __init__(self) -> None:
        self.infos: dict[str, TopicInfo] = {}
        self.error: LogError | None = None
        self.asked: list[str] = []

    def add(
        self, name: str, partitions: int = 4, *, bytes_max: int = 1000, compacted: bool = False
    ) -> None:
        self.infos[name] = TopicInfo(name, partitions, compacted, None, 1, bytes_max)

    def __call__(self, topic: str) -> TopicInfo | None:
        self.asked.append(topic)
        if self.error is not None:
            raise self.error
        return self.infos.get(topic)


class _Clock(Host):
    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def topics() -> _Topics:
    found = _Topics()
    found.add("news")
    return found


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def publisher(topics: _Topics, clock: _Clock) -> Publisher:
    return Publisher(Namespace("orders"), topics, clock)


def record(topic: str = "news", key: bytes | None = b"k", size: int = 10) -> PublishRecord:
    return PublishRecord(1, topic, key, b"x" * size)


def test_partition_is_the_one_of_javas_clients(publisher: Publisher) -> None:
    placed = [publisher.place("order-1", record(key=b"k%d" % n)).partition for n in range(50)]
    assert placed == [partition_of(b"k%d" % n, 4) for n in range(50)]
    assert set(placed) == {0, 1, 2, 3}


def test_records_without_a_key_go_where_their_workflow_belongs(publisher: Publisher) -> None:
    placed = [publisher.place(f"order-{n}", record(key=None)).partition for n in range(50)]
    assert placed == [partition_of(f"order-{n}".encode(), 4) for n in range(50)]


def test_topic_is_looked_at_once_and_again_after_a_while(
    publisher: Publisher, topics: _Topics, clock: _Clock
) -> None:
    for _ in range(3):
        publisher.place("order-1", record())
    assert topics.asked == ["news"]
    topics.add("news", 1000)
    clock.now_s += FRESH_S
    assert publisher.place("order-1", record()).partition == partition_of(b"k", 1000)
    topics.error = LogUnavailableError("away")
    clock.now_s += FRESH_S
    assert publisher.place("order-1", record()).partition == partition_of(b"k", 1000)


def test_missing_topic_says_how_it_is_made(publisher: Publisher, topics: _Topics) -> None:
    with pytest.raises(
        TopicError, match=r"no topic gone .*weft topics create --topic gone.*unblock"
    ):
        publisher.place("order-1", record("gone"))
    topics.add("gone")
    assert publisher.place("order-1", record("gone")).failure is None


def test_topic_that_may_not_be_written_to_says_how_it_is_allowed(
    publisher: Publisher, topics: _Topics
) -> None:
    topics.infos["closed"] = TopicInfo("closed", 1, False, None, 1, 1000, is_writable=False)
    with pytest.raises(TopicError, match=r"may not write to topic closed.*kafka-acls.sh"):
        publisher.place("order-1", record("closed"))
    topics.error = LogError("TOPIC_AUTHORIZATION_FAILED")
    with pytest.raises(
        TopicError, match="secret cannot be published to: TOPIC_AUTHORIZATION_FAILED"
    ):
        publisher.place("order-1", record("secret"))


def test_nothing_is_decided_when_the_log_does_not_answer(
    publisher: Publisher, topics: _Topics
) -> None:
    topics.error = LogUnavailableError("away")
    with pytest.raises(LogUnavailableError):
        publisher.place("order-1", record())


def test_record_is_refused_when_it_is_larger_than_the_topic_takes(
    publisher: Publisher, topics: _Topics
) -> None:
    assert publisher.place("order-1", record(size=899)).failure is None
    failure = publisher.place("order-1", record(size=900)).failure
    assert failure is not None
    assert failure.type == "RecordTooLargeError"
    topics.add("news", bytes_max=2000)
    assert publisher.place("order-1", record(size=900)).failure is None


def test_headers_count(publisher: Publisher) -> None:
    large = PublishRecord(1, "news", b"k", b"", (("h", b"x" * 888),))
    assert publisher.place("order-1", large).failure is None
    larger = PublishRecord(1, "news", b"k", b"", (("h", b"x" * 889),))
    assert publisher.place("order-1", larger).failure is not None


def test_compacted_topic_needs_a_key(publisher: Publisher, topics: _Topics) -> None:
    topics.add("table", compacted=True)
    failure = publisher.place("order-1", record("table", None)).failure
    assert failure is not None
    assert (failure.type, "without a key" in failure.message) == ("UsageError", True)


@pytest.mark.parametrize(
    "name", ["orders.state", "orders.x", "orders.tasks.mail", "bills.signals", "bills.tasks.mail"]
)
def test_engine_topics_of_any_namespace_are_refused(
    publisher: Publisher, topics: _Topics, name: str
) -> None:
    topics.add("bills.owners")
    topics.add(name)
    failure = publisher.place("order-1", record(name)).failure
    assert failure is not None
    assert failure.type == "UsageError"


@pytest.mark.parametrize("name", ["shop.events", "state", "shop.tasks.mail", "orders-x"])
def test_topics_that_only_look_like_the_engines_are_taken(
    publisher: Publisher, topics: _Topics, name: str
) -> None:
    topics.add(name)
    assert publisher.place("order-1", record(name)).failure is None


def test_topic_is_refused_for_a_while_when_transactions_with_it_go_on_failing(
    publisher: Publisher, clock: _Clock
) -> None:
    error = LogError("a broker says no")
    for _ in range(FAILURES_MAX - 1):
        assert publisher.note_failure({"news"}, error)
        publisher.place("order-1", record())
    publisher.note_failure({"news"}, error)
    with pytest.raises(TopicError, match="could not be written: a broker says no"):
        publisher.place("order-1", record())
    clock.now_s += REFUSED_S
    publisher.place("order-1", record())


def test_failures_count_only_in_a_row_and_never_when_fenced(publisher: Publisher) -> None:
    error = LogError("no")
    for _ in range(2 * FAILURES_MAX):
        assert publisher.note_failure({"news"}, error)
        publisher.note_success({"news"})
        assert not publisher.note_failure({"news"}, FencedError("another owner"))
    publisher.place("order-1", record())
    assert not publisher.note_failure(set(), error)
