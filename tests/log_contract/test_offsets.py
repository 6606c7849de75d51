"""Where records of a transaction lie, and reading them there again, one by one."""

from __future__ import annotations

from functools import partial

from tests.log_contract.kit import PATIENCE_S, Kit
from weft.log import FROM_START, LogRecord


def at(kit: Kit, topic: str, *offsets: int) -> list[tuple[int, bytes | None]]:
    """(offset, value) of what is found on the first partition."""
    reader = kit.reader()
    records = reader.read_at({(topic, 0): offsets}, PATIENCE_S)
    return [(record.offset, record.value) for record in records]


def test_producer_is_told_where_the_records_of_its_transaction_lie_when_it_is_committed(
    kit: Kit,
) -> None:
    topic = kit.topic("state", partitions=2, compacted=True)
    producer = kit.transactional()
    kit.write(topic, b"before")
    told: dict[bytes, int] = {}
    for turn in range(3):
        producer.begin()
        for number in range(4):
            value = b"%d of %d" % (number, turn)
            on_offset = partial(told.__setitem__, value)
            producer.append(topic, number % 2, b"key", value, (), on_offset)
            producer.append(topic, number % 2, b"key", b"nobody asks")
        producer.commit(PATIENCE_S)
    found = {record.value: record.offset for record in kit.read(topic, 0, 1)}
    asked = {value for value in found if value not in {b"before", b"nobody asks"}}
    assert set(told) <= asked, "only what was asked for"
    assert len(told) > len(asked) / 2, "now and then a log does not tell"
    assert all(found[value] == offset for value, offset in told.items())


def test_records_are_read_at_their_offsets_when_they_lie_far_apart(kit: Kit) -> None:
    topic = kit.topic("state", partitions=2, compacted=True)
    offsets = kit.write(topic, *(b"%d" % number for number in range(1500)))
    others = kit.write(topic, *(b"other %d" % number for number in range(20)), partition=1)
    reader = kit.reader()
    wanted = [3, 4, 5, 700, 1499]
    records = reader.read_at(
        {(topic, 0): [offsets[number] for number in reversed(wanted)], (topic, 1): [others[7]]},
        PATIENCE_S,
    )
    assert {(record.partition, record.value) for record in records} == {
        *((0, b"%d" % number) for number in wanted),
        (1, b"other 7"),
    }
    assert len(records) == len(wanted) + 1, "each once"
    assert all(record.key == b"key" for record in records)


def test_record_that_is_not_there_is_left_out_when_others_are_read(kit: Kit) -> None:
    topic = kit.topic("state")
    first, last = kit.write(topic, b"first", b"last")
    assert at(kit, topic, first, last, last + 1000) == [(first, b"first"), (last, b"last")]
    assert at(kit, topic, last + 1000) == []
    assert at(kit, topic) == []


def test_record_is_read_at_its_offset_when_others_before_it_are_undecided(kit: Kit) -> None:
    topic = kit.topic("state")
    open_one = kit.transactional("open")
    open_one.begin()
    open_one.append(topic, 0, b"key", b"undecided")
    producer = kit.transactional()
    offsets: list[int] = []
    while not offsets:  # now and then a log does not tell
        producer.begin()
        producer.append(topic, 0, b"key", b"decided", (), offsets.append)
        producer.commit(PATIENCE_S)
    assert at(kit, topic, *offsets) == [(offsets[0], b"decided")]
    open_one.abort(PATIENCE_S)


def test_following_goes_on_when_single_records_are_read_meanwhile(kit: Kit) -> None:
    topic = kit.topic("state")
    kit.write(topic, b"0", b"1", b"2")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    records: list[LogRecord] = []
    while len(records) < 2:
        records += reader.poll(1, PATIENCE_S)
        assert [one.value for one in reader.read_at({(topic, 0): [0]}, PATIENCE_S)] == [b"0"]
    kit.write(topic, b"3")
    while len(records) < 4:
        records += reader.poll(10, PATIENCE_S)
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3"]
