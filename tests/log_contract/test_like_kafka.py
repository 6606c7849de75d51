"""What Kafka does beyond the contract, and the simulated log with it: stalls, spent producers, ended consumers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit, settle, until
from weft.errors import FencedError, LogUnavailableError, UsageError
from weft.log import FROM_START

pytestmark = pytest.mark.parametrize(
    "kit", ["simulated", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)


def test_new_owner_is_told_what_stalls_and_goes_on_once_the_dead_owner_is_fenced(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=4)
    dead = kit.member([orders])
    dead.until_owns(range(4))
    left_open = kit.transactional("dead")
    left_open.begin()
    left_open.send_offsets({(orders, 2): 7}, dead.consumer.member())
    dead.consumer.close()

    heir = kit.member([orders])
    heir.when_stalled = lambda: kit.transactional("dead")
    heir.until_owns(range(4))

    assert heir.told == [("stalled", [2]), ("assigned", [0, 1, 2, 3])]
    assert heir.consumer.committed([(orders, 2)], PATIENCE_S) == {}
    with pytest.raises(FencedError):
        left_open.commit(PATIENCE_S)
    with pytest.raises(FencedError):
        left_open.abort(PATIENCE_S)


def test_committed_says_so_when_offsets_stay_undecided(kit: Kit) -> None:
    orders = kit.topic("orders")
    member = kit.member([orders])
    member.until_owns([0])
    producer = kit.transactional()
    producer.begin()
    producer.send_offsets({(orders, 0): 1}, member.consumer.member())
    with pytest.raises(LogUnavailableError):
        member.consumer.committed([(orders, 0)], 0.2)
    producer.commit(PATIENCE_S)
    assert member.consumer.committed([(orders, 0)], PATIENCE_S) == {(orders, 0): 1}


def test_proof_of_membership_is_refused_to_a_member_that_owns_nothing(kit: Kit) -> None:
    """The broker takes offsets without a generation for those of an old client, and does not check them."""
    orders = kit.topic("orders")
    member = kit.member([orders])
    with pytest.raises(FencedError):
        member.consumer.member()
    member.until_owns([0])
    assert member.consumer.member() is not None


def test_producer_goes_on_after_a_stale_generation_is_aborted(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    first = kit.member([orders])
    first.until_owns([0, 1])
    stale = first.consumer.member()
    second = kit.member([orders])
    settle([first, second], 2)
    (kept,) = first.owned
    producer = kit.transactional()
    producer.begin()
    producer.append(orders, kept, b"key", b"stale")
    with pytest.raises(FencedError):
        producer.send_offsets({(orders, kept): 1}, stale)
    with pytest.raises(FencedError):
        producer.commit(PATIENCE_S)
    producer.abort(PATIENCE_S)
    producer.begin()
    producer.append(orders, kept, b"key", b"fresh")
    producer.send_offsets({(orders, kept): 0}, first.consumer.member())
    producer.commit(PATIENCE_S)
    assert kit.values(orders, kept) == [b"fresh"]


@pytest.mark.parametrize("offset", [1, FROM_START])
def test_paused_partition_goes_on_where_it_was_sought_back_to(kit: Kit, offset: int) -> None:
    orders, others = kit.topic("orders", partitions=2), kit.topic("others", partitions=2)
    kit.write(orders, b"0", b"1", b"2", b"3")
    kit.write(others, *[b"other"] * 4)
    member = kit.member([orders, others])
    member.until_records(8)
    member.consumer.pause([0])
    member.consumer.seek(orders, 0, offset)
    assert member.consumer.poll(10, 0.2) == []
    member.consumer.resume([0])
    first = max(offset, 0)
    member.records.clear()
    member.until_records(4 - first)
    assert member.consumer.poll(10, 0.2) == []
    assert [record.value for record in member.records] == [b"%d" % n for n in range(first, 4)]


def test_errors_of_the_listener_come_out_of_poll_and_end_the_consumer(kit: Kit) -> None:
    member = kit.member([kit.topic("orders")])

    def fail(partitions: Sequence[int]) -> None:
        raise ZeroDivisionError(str(partitions))

    member.on_assigned = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match=r"\[0\]"):
        member.until_owns([0])
    with pytest.raises(ZeroDivisionError):
        member.consumer.poll(1, 0)


def test_errors_of_the_listener_come_out_of_close(kit: Kit) -> None:
    member = kit.member([kit.topic("orders")])
    member.until_owns([0])

    def fail() -> None:
        raise ZeroDivisionError

    member.when_revoked = fail
    with pytest.raises(ZeroDivisionError):
        member.consumer.close()
    member.consumer.close()


def test_replaced_static_member_is_fenced(kit: Kit) -> None:
    orders = kit.topic("orders")
    first = kit.member([orders], instance_id="worker-0")
    first.until_owns([0])
    second = kit.member([orders], instance_id="worker-0")
    second.until_owns([0])
    with pytest.raises(FencedError, match=r"this member's instance ID"):
        first.consumer.poll(1, PATIENCE_S)
    with pytest.raises(FencedError):
        first.consumer.poll(1, 0)
    first.consumer.close()
    assert first.told == [("assigned", [0])]


def test_reader_goes_on_where_read_to_end_ended(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    producer = kit.transactional()

    def write(value: bytes) -> None:
        producer.begin()
        producer.append(orders, 1, b"key", value)
        producer.commit(PATIENCE_S)

    write(b"before")
    reader = kit.reader()
    places = {(orders, 0): FROM_START, (orders, 1): FROM_START}
    assert [record.value for record in reader.read_to_end(places, PATIENCE_S)] == [b"before"]
    write(b"after")
    assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"after"]


def test_undecided_and_aborted_records_are_read_by_those_who_want_them(kit: Kit) -> None:
    orders = kit.topic("orders")
    producer = kit.transactional()
    producer.begin()
    producer.append(orders, 0, b"key", b"aborted")
    _until_written(kit, orders, b"aborted")
    producer.abort(PATIENCE_S)
    producer.begin()
    producer.append(orders, 0, b"key", b"undecided")
    _until_written(kit, orders, b"undecided")
    kit.write(orders, b"behind")
    assert kit.values(orders) == []
    assert _written(kit, orders) == [b"aborted", b"undecided", b"behind"]
    producer.commit(PATIENCE_S)
    assert kit.values(orders) == [b"undecided", b"behind"]


def _written(kit: Kit, topic: str) -> list[bytes | None]:
    """Whether it is decided or not."""
    reader = kit.log.reader(committed=False)
    records = list(reader.read_to_end({(topic, 0): FROM_START}, PATIENCE_S))
    reader.close()
    return [record.value for record in records]


def _until_written(kit: Kit, topic: str, value: bytes) -> None:
    until(lambda: value in _written(kit, topic), f"{value!r} to be written")


def test_closed_producer_leaves_its_transaction_open_until_its_id_is_taken(kit: Kit) -> None:
    orders = kit.topic("orders")
    producer = kit.transactional("owner")
    producer.begin()
    producer.append(orders, 0, b"key", b"left")
    _until_written(kit, orders, b"left")
    producer.close()
    with pytest.raises(UsageError):
        producer.commit(PATIENCE_S)
    kit.write(orders, b"behind")
    assert kit.values(orders) == []
    kit.transactional("owner")
    assert kit.values(orders) == [b"behind"]
