"""Transactions: all or nothing, seen when decided, and refused to whoever was replaced."""

from __future__ import annotations

import pytest

from tests.log_contract.kit import PATIENCE_S, SHORT_S, Kit, settle
from weft.errors import FencedError, TopicError
from weft.log import FROM_START


def test_open_transaction_is_invisible_until_it_is_committed(kit: Kit) -> None:
    topic = kit.topic("orders")
    kit.write(topic, b"before")
    producer = kit.transactional()
    producer.begin()
    producer.append(topic, 0, b"key", b"inside")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"before"]
    assert reader.poll(10, SHORT_S) == []
    assert kit.values(topic) == [b"before"]
    producer.commit(PATIENCE_S)
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"inside"]


def test_aborted_records_are_never_read_when_others_follow(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.transactional()
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    for number in range(3):
        producer.begin()
        for _ in range(5):
            producer.append(topic, 0, b"key", b"aborted")
        producer.abort(PATIENCE_S)
        producer.begin()
        producer.append(topic, 0, b"key", b"committed %d" % number)
        producer.commit(PATIENCE_S)
    expected = [b"committed 0", b"committed 1", b"committed 2"]
    assert kit.values(topic) == expected
    read: list[bytes | None] = []
    while len(read) < 3:
        read += [record.value for record in reader.poll(10, PATIENCE_S)]
    assert read == expected
    assert reader.poll(10, SHORT_S) == []


def test_read_to_end_ends_when_the_last_records_were_aborted(kit: Kit) -> None:
    topic = kit.topic("orders")
    producer = kit.transactional()
    producer.begin()
    producer.append(topic, 0, b"key", b"committed")
    producer.commit(PATIENCE_S)
    producer.begin()
    producer.append(topic, 0, b"key", b"aborted")
    producer.abort(PATIENCE_S)
    assert kit.values(topic) == [b"committed"]


def test_commit_shows_all_topics_and_offsets_together(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    tasks = kit.topic("tasks", partitions=2)
    state = kit.topic("state", partitions=2, compacted=True)
    kit.write(orders, b"order", partition=1)
    member = kit.member([orders])
    member.until_records(1)
    proof = member.consumer.member()
    producer = kit.transactional()
    producer.begin()
    producer.append(tasks, 1, b"key", b"task")
    producer.append(state, 0, b"key", b"state 0")
    producer.append(state, 1, b"key", b"state 1")
    producer.send_offsets({(orders, 1): 1}, proof)
    assert [kit.values(topic, 0, 1) for topic in (tasks, state)] == [[], []]
    producer.commit(PATIENCE_S)
    assert kit.values(tasks, 0, 1) == [b"task"]
    assert sorted(value or b"" for value in kit.values(state, 0, 1)) == [b"state 0", b"state 1"]
    committed = member.consumer.committed([(orders, 0), (orders, 1)], PATIENCE_S)
    assert committed == {(orders, 1): 1}


def test_abort_leaves_neither_records_nor_offsets(kit: Kit) -> None:
    orders = kit.topic("orders")
    tasks = kit.topic("tasks")
    kit.write(orders, b"order")
    member = kit.member([orders])
    member.until_records(1)
    producer = kit.transactional()
    producer.begin()
    producer.append(tasks, 0, b"key", b"task")
    producer.send_offsets({(orders, 0): 1}, member.consumer.member())
    producer.abort(PATIENCE_S)
    assert kit.values(tasks) == []
    assert member.consumer.committed([(orders, 0)], PATIENCE_S) == {}
    producer.begin()
    producer.append(tasks, 0, b"key", b"second try")
    producer.commit(PATIENCE_S)
    assert kit.values(tasks) == [b"second try"]


def test_offsets_alone_are_committed_when_a_transaction_has_no_records(kit: Kit) -> None:
    orders = kit.topic("orders")
    kit.write(orders, b"order")
    member = kit.member([orders])
    member.until_records(1)
    producer = kit.transactional()
    producer.begin()
    producer.send_offsets({(orders, 0): 1}, member.consumer.member())
    producer.commit(PATIENCE_S)
    assert member.consumer.committed([(orders, 0)], PATIENCE_S) == {(orders, 0): 1}


def test_stale_transactional_id_is_fenced_when_another_producer_took_it(kit: Kit) -> None:
    topic = kit.topic("orders")
    zombie = kit.transactional("owner")
    zombie.begin()
    zombie.append(topic, 0, b"key", b"by the zombie")
    owner = kit.transactional("owner")
    owner.begin()
    owner.append(topic, 0, b"key", b"by the owner")
    owner.commit(PATIENCE_S)
    with pytest.raises(FencedError):
        zombie.commit(PATIENCE_S)
    zombie.close()
    assert kit.values(topic) == [b"by the owner"]


def test_fence_decides_what_the_previous_holder_left_open(kit: Kit) -> None:
    """Records behind an undecided one can be read as soon as somebody has taken the transactional ID."""
    topic = kit.topic("orders")
    zombie = kit.transactional("owner")
    zombie.begin()
    zombie.append(topic, 0, b"key", b"left open")
    kit.transactional("owner")
    kit.write(topic, b"behind it")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"behind it"]


def test_stale_generation_is_fenced_when_the_partition_has_moved(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    tasks = kit.topic("tasks")
    first = kit.member([orders])
    first.until_owns([0, 1])
    stale = first.consumer.member()
    second = kit.member([orders])
    settle([first, second], 2)
    (moved,) = second.owned
    producer = kit.transactional()

    def commit_with_stale_proof() -> None:
        producer.begin()
        producer.append(tasks, 0, b"key", b"by the zombie")
        producer.send_offsets({(orders, moved): 1}, stale)
        producer.commit(PATIENCE_S)

    with pytest.raises(FencedError):
        commit_with_stale_proof()
    producer.close()
    # Taking the ID decides whatever the zombie left, so that its record would be seen now if it ever were.
    successor = kit.transactional()
    successor.begin()
    successor.append(tasks, 0, b"key", b"by its successor")
    successor.send_offsets({(orders, moved): 0}, second.consumer.member())
    successor.commit(PATIENCE_S)
    assert kit.values(tasks) == [b"by its successor"]
    assert second.consumer.committed([(orders, moved)], PATIENCE_S) == {(orders, moved): 0}


def test_plain_commit_is_fenced_when_the_member_was_replaced(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    first = kit.member([orders], instance_id="worker")
    first.until_owns([0, 1])
    second = kit.member([orders], instance_id="worker")
    second.until_owns([0, 1])
    with pytest.raises(FencedError):
        first.consumer.commit({(orders, 0): 1})
    assert second.consumer.committed([(orders, 0)], PATIENCE_S) == {}


def test_append_is_refused_when_the_topic_is_unknown(kit: Kit) -> None:
    producer = kit.transactional()
    producer.begin()
    with pytest.raises(TopicError, match=r"missing"):
        producer.append(kit.name("missing"), 0, b"key", b"value")


def test_producers_do_not_disturb_each_other_when_their_ids_differ(kit: Kit) -> None:
    topic = kit.topic("orders", partitions=2)
    producers = [kit.transactional("first"), kit.transactional("second")]
    for number in range(5):
        for partition, producer in enumerate(producers):
            producer.begin()
            producer.append(topic, partition, b"key", b"%d" % number)
        for producer in reversed(producers):
            producer.commit(PATIENCE_S)
    for partition in range(2):
        assert kit.values(topic, partition) == [b"%d" % number for number in range(5)]
