"""Compaction: the last value of each key stays, tombstones go last of all, readers never notice the gaps."""

from __future__ import annotations

from tests.log_contract.kit import Kit, until
from weft.log import LogRecord

EAGER = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "100",
    "min.compaction.lag.ms": "0",
}
"""For Kafka: clean as soon and as often as possible."""
CLEANED_S = 90.0
"""A broker with default settings looks for something to clean every 15 s."""


def test_compaction_keeps_the_last_values_when_keys_are_overwritten(kit: Kit) -> None:
    topic = kit.topic("state", compacted=True, config=EAGER)
    for number in range(20):
        kit.write(topic, b"a%d" % number, key=b"a")
        kit.write(topic, b"b%d" % number, key=b"b")
    last = kit.read(topic)[-2:]
    records: list[LogRecord] = []

    def cleaned() -> bool:
        # Only what lies before the newest records is cleaned, so new ones have to come.
        kit.write(topic, b"filler", key=b"filler")
        kit.clean()
        records[:] = [record for record in kit.read(topic) if record.key != b"filler"]
        return len(records) <= 2

    until(cleaned, "the log to be cleaned", CLEANED_S)
    assert records == last
    assert [record.value for record in records] == [b"a19", b"b19"]
    offsets = [record.offset for record in kit.read(topic)]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] >= 40


def test_key_is_gone_for_good_when_its_tombstone_was_compacted(kit: Kit) -> None:
    topic = kit.topic("state", compacted=True, config=EAGER)
    kit.write(topic, b"kept", key=b"kept")
    kit.write(topic, b"old", b"older", key=b"deleted")
    kit.write(topic, None, key=b"deleted")
    kit.write(topic, b"back", key=b"returned")
    kit.write(topic, None, b"back again", key=b"returned")
    seen: list[list[bytes | None]] = []

    def gone() -> bool:
        kit.write(topic, b"filler", key=b"filler")
        kit.clean()
        seen.append([record.value for record in kit.read(topic) if record.key == b"deleted"])
        return not seen[-1]

    until(gone, "the tombstone to go", CLEANED_S)
    for values in seen:
        # The tombstone goes last: a value without it behind would bring the key back.
        assert not values or values[-1] is None
    left = [(record.key, record.value) for record in kit.read(topic) if record.key != b"filler"]
    assert left == [(b"kept", b"kept"), (b"returned", b"back again")]


def test_group_goes_on_across_the_gap_when_its_next_record_was_compacted(kit: Kit) -> None:
    topic = kit.topic("state", compacted=True, config=EAGER)
    kit.write(topic, b"first", key=b"first")
    member = kit.member([topic])
    member.until_records(1)
    member.consumer.commit({(topic, 0): 1})
    member.consumer.close()
    kit.write(topic, *[b"%d" % number for number in range(20)], key=b"key")

    def cleaned() -> bool:
        kit.write(topic, b"filler", key=b"filler")
        kit.clean()
        return kit.read(topic)[1].offset > 15

    until(cleaned, "the log to be cleaned", CLEANED_S)
    again = kit.member([topic])
    again.until_records(1)
    first = again.records[0]
    assert (first.key, first.value, first.offset) == (b"key", b"19", 20)
