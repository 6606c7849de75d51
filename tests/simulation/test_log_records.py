"""Plain records, compaction and retention on the simulated log."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.bench import TIMEOUT_S, Bench
from weft.errors import LogUnavailableError
from weft.log import FROM_START, LogRecord, TopicSpec


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    "fault,values", [("delivery_failed", []), ("delivery_unknown", [b"0", b"1"])]
)
def test_error_says_nothing_about_what_was_written(
    bench: Bench, fault: str, values: list[bytes]
) -> None:
    bench.faults.order(fault)
    told = bench.write(b"0", b"1")
    assert [type(error) for error in told] == [LogUnavailableError] * 2
    assert bench.values() == values


def test_record_is_not_queued_when_the_queue_is_full(bench: Bench) -> None:
    producer = bench.log.producer()
    bench.faults.order("queue_full")
    with pytest.raises(LogUnavailableError):
        producer.produce("orders", 0, b"key", b"refused")
    producer.produce("orders", 0, b"key", b"taken")
    assert producer.flush(TIMEOUT_S) == 0
    assert bench.values() == [b"taken"]


def test_only_a_foreign_producer_writes_twice(bench: Bench) -> None:
    bench.faults.order("duplicate", 100)
    bench.write(b"once")
    foreign = bench.log.foreign_producer()
    foreign.produce("orders", 0, b"key", b"twice")
    assert foreign.flush(TIMEOUT_S) == 0
    assert bench.values() == [b"once", b"twice", b"twice"]


def test_what_was_sent_arrives_and_what_was_queued_does_not_when_its_process_dies(
    bench: Bench,
) -> None:
    log = bench.connect("dies")
    producer = log.producer()
    bench.faults.order("delivery_late")
    producer.produce("orders", 0, b"key", b"sent")
    bench.sleep(0.0005)
    producer.produce("orders", 0, b"key", b"queued")
    log.connection.process.kill()
    bench.sleep(10.0)
    assert bench.values() == [b"sent"]


def test_order_is_kept_when_delivery_is_late(bench: Bench) -> None:
    producer = bench.log.producer()
    for number in range(20):
        bench.faults.order("delivery_late")
        producer.produce("orders", 0, b"key", b"%d" % number)
        bench.sleep(0.01)
    assert producer.flush(200.0) == 0
    assert bench.values() == [b"%d" % number for number in range(20)]


def test_poll_gives_fewer_and_later_what_it_gives(bench: Bench) -> None:
    bench.write(*[b"%d" % number for number in range(50)])
    reader = bench.log.reader()
    reader.assign({("orders", 0): FROM_START})
    read: list[LogRecord] = []
    for _ in range(60):
        bench.faults.order("short_fetch")
        read += reader.poll(50, 0.0)
    assert [record.offset for record in read] == list(range(50))


def test_cleaning_leaves_undecided_and_newest_records_alone(bench: Bench) -> None:
    bench.write(b"0", b"1", topic="state")
    producer = bench.producer()
    producer.begin()
    producer.append("state", 0, b"key", b"undecided")
    bench.sleep(0.1)
    bench.write(b"3", b"4", topic="state")
    assert bench.cluster.compact() == 1
    producer.commit(TIMEOUT_S)
    assert bench.values("state") == [b"1", b"undecided", b"3", b"4"]
    assert bench.cluster.compact() == 3
    assert bench.values("state") == [b"4"]
    assert bench.records("state")[0].offset == 4


def test_tombstone_goes_after_its_delay_and_not_before_what_it_deletes(bench: Bench) -> None:
    bench.write(b"0", None, topic="state")
    bench.write(b"filler", b"filler", key=b"filler", topic="state")
    assert bench.cluster.compact(tombstone_delay_s=60.0) == 1
    assert bench.values("state") == [None, b"filler", b"filler"]
    bench.sleep(59.0)
    assert bench.cluster.compact(tombstone_delay_s=60.0) == 0
    bench.sleep(2.0)
    assert bench.cluster.compact(tombstone_delay_s=60.0) == 1
    assert bench.values("state") == [b"filler", b"filler"]


@pytest.mark.parametrize("seed", range(10))
def test_last_values_are_the_same_with_and_without_cleaning(bench: Bench, seed: int) -> None:
    random = Random(seed)
    producer = bench.producer()
    cleaned = bench.log.reader()
    cleaned.assign({("state", 0): FROM_START})
    followed: list[LogRecord] = []
    for _ in range(40):
        producer.begin()
        for _ in range(random.randrange(5)):
            value = random.choice([None, b"%d" % random.randrange(1000)])
            producer.append("state", 0, b"%d" % random.randrange(6), value)
        producer.commit(TIMEOUT_S) if random.random() < 0.7 else producer.abort(TIMEOUT_S)
        bench.sleep(random.uniform(0.0, 2.0))
        bench.cluster.compact(tombstone_delay_s=20.0, is_whole=random.random() < 0.3)
        followed += cleaned.poll(3, 0.0)
    followed += cleaned.poll(1000, 0.0)
    everything = [
        entry.record
        for entry in bench.cluster.inspect.everything("state", 0)
        if entry.record is not None and entry.decided
    ]
    expected = living(everything)
    assert living(bench.records("state")) == expected
    # Whoever reads slowly, behind the cleaner, may miss values and tombstones, and never the last value of a key.
    assert expected.items() <= living(followed).items()
    offsets = [record.offset for record in followed]
    assert offsets == sorted(set(offsets))
    assert len(bench.records("state")) < len(everything)


def living(records: list[LogRecord]) -> dict[bytes | None, bytes]:
    last = {record.key: record.value for record in records}
    return {key: value for key, value in last.items() if value is not None}


def test_old_records_go_when_the_topic_keeps_them_for_a_time_only(bench: Bench) -> None:
    bench.cluster.create_topic(TopicSpec("short", 1, retention_ms=60_000))
    bench.write(b"old", topic="short")
    bench.sleep(61.0)
    bench.write(b"new", b"newest", topic="short")
    reader = bench.log.reader()
    reader.assign({("short", 0): FROM_START})
    assert bench.cluster.compact() == 1
    assert [record.value for record in reader.poll(10, 1.0)] == [b"new", b"newest"]
    bench.sleep(61.0)
    assert bench.cluster.compact() == 1
    assert bench.values("short") == [b"newest"]


def test_question_about_topics_is_not_answered_once(bench: Bench) -> None:
    admin = bench.log.admin()
    bench.faults.order("admin_fails")
    with pytest.raises(LogUnavailableError):
        admin.list_topics()
    assert admin.list_topics() == ["orders", "state"]
