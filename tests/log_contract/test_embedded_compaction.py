"""What only the file can show of cleaning: retention, delays, and that it is bounded and safe beside writers."""

from __future__ import annotations

import threading
import time

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit
from weft.errors import TopicError, UsageError
from weft.log import FROM_START, TopicSpec
from weft.log.embedded import EmbeddedLog


def compact(kit: Kit, **options: float) -> int:
    assert isinstance(kit.log, EmbeddedLog)
    return kit.log.compact(**options)


def test_newest_record_stays_when_everything_could_go(embedded: Kit) -> None:
    topic = embedded.topic("state", compacted=True)
    embedded.write(topic, b"value", None, key=b"key")
    compact(embedded, tombstone_delay_s=-1, dirty_ratio_min=0)
    assert [(record.offset, record.value) for record in embedded.read(topic)] == [(1, None)]
    assert embedded.write(topic, b"next", key=b"other") == [2]
    compact(embedded, tombstone_delay_s=-1, dirty_ratio_min=0)
    assert [(record.offset, record.value) for record in embedded.read(topic)] == [(2, b"next")]


def test_tombstones_stay_until_their_delay_is_over(embedded: Kit) -> None:
    topic = embedded.topic("state", compacted=True)
    embedded.write(topic, b"value", None, key=b"deleted")
    embedded.write(topic, b"value", key=b"other")
    assert compact(embedded, tombstone_delay_s=3600, dirty_ratio_min=0) == 1
    assert [record.value for record in embedded.read(topic)] == [None, b"value"]
    # Nothing is new now, yet the tombstone's time has come.
    assert compact(embedded, tombstone_delay_s=-1, dirty_ratio_min=0.9) == 1
    assert [record.value for record in embedded.read(topic)] == [b"value"]


def test_partition_is_left_alone_when_little_of_it_is_new(embedded: Kit) -> None:
    topic = embedded.topic("state", compacted=True)
    for number in range(100):
        embedded.write(topic, b"value", key=b"%d" % number)
    assert compact(embedded) == 0
    embedded.write(topic, b"value", key=b"0")
    assert compact(embedded) == 0
    assert compact(embedded, dirty_ratio_min=0.001) == 1


def test_expired_records_go_when_a_topic_has_a_retention(embedded: Kit) -> None:
    topic = embedded.name("tasks")
    admin = embedded.log.admin()
    embedded.closes(admin.close)
    admin.create_topics([TopicSpec(topic, 2, retention_ms=200)])
    embedded.write(topic, *[b"old"] * 1500)
    embedded.write(topic, b"old and newest", partition=1)
    time.sleep(0.3)
    embedded.write(topic, b"new")
    assert compact(embedded) == 1500
    assert embedded.values(topic, 0) == [b"new"]
    assert embedded.values(topic, 1) == [b"old and newest"]
    assert embedded.write(topic, b"next") == [1501]


def test_nothing_current_is_lost_when_cleaning_and_writing_go_on_together(embedded: Kit) -> None:
    topic = embedded.topic("state", partitions=2, compacted=True)
    done = threading.Event()

    def clean() -> None:
        while not done.is_set():
            compact(embedded, tombstone_delay_s=-1, dirty_ratio_min=0)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    producer = embedded.transactional()
    reader = embedded.reader()
    last: dict[tuple[int, bytes], bytes | None] = {}
    for number in range(150):
        producer.begin()
        for index in range(40):
            partition, key = index % 2, b"%d" % ((number * 7 + index) % 90)
            value = None if index % 10 == 0 else b"%d" % number
            producer.append(topic, partition, key, value)
            last[(partition, key)] = value
        producer.commit(PATIENCE_S)
    done.set()
    cleaner.join()
    read: dict[tuple[int, bytes], bytes | None] = {}
    for record in reader.read_to_end({(topic, 0): FROM_START, (topic, 1): FROM_START}, PATIENCE_S):
        read[(record.partition, record.key or b"")] = record.value
    live = {key: value for key, value in last.items() if value is not None}
    assert {key: value for key, value in read.items() if value is not None} == live
    assert all(last[key] is None for key in read.keys() - live.keys())


def test_every_slice_is_cleaned_when_a_partition_is_long(embedded: Kit) -> None:
    topic = embedded.topic("state", compacted=True)
    producer = embedded.transactional()
    for first in range(0, 10_000, 1_000):
        producer.begin()
        for number in range(first, first + 1_000):
            producer.append(topic, 0, b"%d" % (number % 3_000), b"%d" % number)
        producer.commit(PATIENCE_S)
    assert compact(embedded) == 7_000
    values = [int(value or b"") for value in embedded.values(topic)]
    assert values == list(range(7_000, 10_000))
    assert compact(embedded, dirty_ratio_min=0) == 0


def test_record_without_a_key_is_refused_when_the_topic_is_compacted(embedded: Kit) -> None:
    topic = embedded.topic("state", compacted=True)
    producer = embedded.producer()
    with pytest.raises(UsageError, match=r"no key"):
        producer.produce(topic, 0, None, b"value")


def test_those_who_use_it_are_told_when_a_topic_is_deleted(embedded: Kit) -> None:
    topic = embedded.topic("orders")
    embedded.write(topic, *[b"order"] * 2_500)
    producer, reader = embedded.transactional(), embedded.reader()
    reader.assign({(topic, 0): FROM_START})
    producer.begin()
    producer.append(topic, 0, b"key", b"value")
    other = embedded.open_again()
    admin = other.admin()
    embedded.closes(admin.close)
    admin.delete_topics([topic])
    with pytest.raises(TopicError, match=r"deleted"):
        producer.commit(PATIENCE_S)
    with pytest.raises(TopicError, match=r"deleted"):
        reader.poll(10, 0)
    admin.create_topics([TopicSpec(topic, 1)])
    producer.abort(PATIENCE_S)
    producer.begin()
    producer.append(topic, 0, b"key", b"new life")
    producer.commit(PATIENCE_S)
    reader.assign({(topic, 0): FROM_START})
    assert [(record.offset, record.value) for record in reader.poll(10, 0)] == [(0, b"new life")]
