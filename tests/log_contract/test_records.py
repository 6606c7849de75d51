"""Records: order, offsets, and that what was written is what is read."""

from __future__ import annotations

from tests.log_contract.kit import PATIENCE_S, SHORT_S, Kit
from weft.log import FROM_END, FROM_START, LogRecord, last


def test_records_keep_their_order_when_written_to_one_partition(kit: Kit) -> None:
    topic = kit.topic("orders")
    values = [b"%d" % number for number in range(500)]
    offsets = kit.write(topic, *values)
    records = kit.read(topic)
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == offsets == list(range(500))


def test_partitions_have_offsets_of_their_own_when_written_in_turn(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=3)
    for number in range(9):
        kit.write(topic, b"%d" % number, partition=number % 3)
    records = kit.read(topic, 0, 1, 2)
    for partition in range(3):
        mine = [record for record in records if record.partition == partition]
        assert [record.value for record in mine] == [b"%d" % n for n in range(partition, 9, 3)]
        assert [record.offset for record in mine] == [0, 1, 2]


def test_offsets_grow_when_plain_and_transactional_producers_take_turns(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.transactional()
    for number in range(5):
        kit.write(topic, b"plain %d" % number)
        producer.begin()
        producer.append(topic, 0, b"key", b"transactional %d" % number)
        producer.commit(PATIENCE_S)
    records = kit.read(topic)
    expected = [kind % n for n in range(5) for kind in (b"plain %d", b"transactional %d")]
    assert [record.value for record in records] == expected
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))


def test_record_is_read_whole_when_written_with_headers(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    headers = [
        ("content-type", b"application/json"),
        ("empty", b""),
        ("content-type", b"twice \xff"),
    ]
    before_ms = kit.now_ms()
    kit.write(topic, b"value", key=b"\x00key\xff", partition=1, headers=headers)
    after_ms = kit.now_ms()
    (record,) = kit.read(topic, 0, 1)
    assert before_ms <= record.timestamp_ms <= after_ms
    assert record == LogRecord(
        topic, 1, 0, b"\x00key\xff", b"value", record.timestamp_ms, record.headers
    )
    assert list(record.headers) == headers


def test_transactional_record_is_read_whole_when_written_with_headers(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.transactional()
    producer.begin()
    producer.append(topic, 0, b"key", b"value", [("reason", b"test")])
    producer.commit(PATIENCE_S)
    (record,) = kit.read(topic)
    assert (record.key, record.value, list(record.headers)) == (
        b"key",
        b"value",
        [("reason", b"test")],
    )
    assert abs(record.timestamp_ms - kit.now_ms()) < 60_000


def test_null_and_empty_stay_apart_when_read_again(kit: Kit) -> None:
    topic = kit.topic("orders")
    kit.write(topic, None, b"", b"value", key=b"key")
    kit.write(topic, None, b"", b"value", key=None)
    kit.write(topic, b"value", key=b"")
    records = [(record.key, record.value) for record in kit.read(topic)]
    assert records == [
        (b"key", None),
        (b"key", b""),
        (b"key", b"value"),
        (None, None),
        (None, b""),
        (None, b"value"),
        (b"", b"value"),
    ]
    assert all(not record.headers for record in kit.read(topic))


def test_reader_waits_and_wakes_when_a_record_comes(kit: Kit) -> None:
    topic = kit.topic("orders")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    assert reader.poll(10, SHORT_S) == []
    kit.write(topic, b"first")
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"first"]
    kit.write(topic, b"second")
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"second"]
    assert reader.poll(10, SHORT_S) == []


def test_reader_takes_no_more_than_asked_for_when_much_is_there(kit: Kit) -> None:
    topic = kit.topic("orders")
    values = [b"%d" % number for number in range(50)]
    kit.write(topic, *values)
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    read: list[bytes | None] = []
    while len(read) < 50:
        batch = reader.poll(7, PATIENCE_S)
        assert 1 <= len(batch) <= 7
        read += [record.value for record in batch]
    assert read == values


def test_reader_sees_only_new_records_when_assigned_from_the_end(kit: Kit) -> None:
    topic = kit.topic("orders")
    kit.write(topic, b"old")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_END})
    assert reader.poll(10, SHORT_S) == []
    kit.write(topic, b"new")
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"new"]


def test_reader_begins_at_what_was_written_last(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    kit.write(topic, b"0", b"1", b"2")
    kit.write(topic, b"only", partition=1)
    reader = kit.reader()
    wanted = {(topic, 0): last(2), (topic, 1): last(5)}
    read = [record.value for record in reader.read_to_end(wanted, PATIENCE_S)]
    assert sorted(value or b"" for value in read) == [b"1", b"2", b"only"]
    reader.assign({(topic, 0): last(1)})
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"2"]


def test_reader_starts_at_the_offset_when_assigned_again(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    offsets = kit.write(topic, b"0", b"1", b"2")
    kit.write(topic, b"other", partition=1)
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START, (topic, 1): FROM_START})
    reader.assign({(topic, 0): offsets[1]})
    read = reader.poll(10, PATIENCE_S)
    read += reader.poll(10, SHORT_S)
    assert [record.value for record in read] == [b"1", b"2"]


def test_read_to_end_stops_at_once_when_nothing_is_there(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    assert kit.read(topic, 0, 1) == []
    offsets = kit.write(topic, b"0", b"1")
    reader = kit.reader()
    assert list(reader.read_to_end({(topic, 0): offsets[-1] + 1}, PATIENCE_S)) == []
    assert list(reader.read_to_end({(topic, 0): FROM_END}, PATIENCE_S)) == []
    read = list(reader.read_to_end({(topic, 0): offsets[-1], (topic, 1): FROM_START}, PATIENCE_S))
    assert [record.value for record in read] == [b"1"]
