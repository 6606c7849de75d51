"""Topics: made once, described as they are, deleted."""

from __future__ import annotations

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit, until
from weft.errors import TopicError
from weft.log import TopicSpec


def test_topic_is_described_as_it_was_made(kit: Kit) -> None:
    plain = kit.topic("plain", partitions=3, config={"max.message.bytes": "50000"})
    compacted = kit.topic("compacted", partitions=2, compacted=True)
    admin = kit.log.admin()
    kit.closes(admin.close)
    found = admin.describe_topics([plain, compacted, kit.name("missing")])
    assert set(found) == {plain, compacted}
    first, second = found[plain], found[compacted]
    assert (first.name, first.partitions, first.compacted) == (plain, 3, False)
    assert (first.replication, first.record_bytes_max) == (1, 50000)
    assert (second.name, second.partitions, second.compacted) == (compacted, 2, True)
    assert second.record_bytes_max == 1_048_588


def test_retention_is_kept_when_a_topic_is_made_with_one(kit: Kit) -> None:
    admin = kit.log.admin()
    kit.closes(admin.close)
    specs = [
        TopicSpec(kit.name("hour"), 1, retention_ms=3_600_000),
        TopicSpec(kit.name("default"), 1),
    ]
    assert sorted(admin.create_topics(specs)) == sorted(spec.name for spec in specs)
    found = admin.describe_topics([spec.name for spec in specs])
    assert found[kit.name("hour")].retention_ms == 3_600_000
    assert found[kit.name("default")].retention_ms == 7 * 24 * 3_600_000


def test_existing_topics_are_left_alone_when_made_again(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    kit.write(topic, b"order")
    admin = kit.log.admin()
    kit.closes(admin.close)
    specs = [TopicSpec(topic, 5), TopicSpec(kit.name("more"), 1)]
    assert admin.create_topics(specs) == [kit.name("more")]
    assert admin.describe_topics([topic])[topic].partitions == 2
    assert kit.values(topic, 0, 1) == [b"order"]


def test_topics_are_listed_and_gone_when_deleted(kit: Kit) -> None:
    topics = [kit.topic(name, partitions=2) for name in ("first", "second")]
    kit.write(topics[0], b"order")
    admin = kit.log.admin()
    kit.closes(admin.close)

    def ours() -> list[str]:
        return sorted(name for name in admin.list_topics() if name.startswith(f"{kit.prefix}."))

    assert ours() == sorted(topics)
    admin.delete_topics([topics[0]])
    until(lambda: ours() == [topics[1]], "the topic to be gone")
    assert admin.describe_topics(topics).keys() == {topics[1]}


def test_reading_is_refused_when_the_topic_is_unknown(kit: Kit) -> None:
    reader = kit.reader()
    with pytest.raises(TopicError, match=r"missing"):
        list(reader.read_to_end({(kit.name("missing"), 0): 0}, PATIENCE_S))
