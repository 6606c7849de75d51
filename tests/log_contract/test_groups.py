"""Groups: who owns what, from where it is read, and what survives."""

from __future__ import annotations

import pytest

from tests.log_contract.kit import PATIENCE_S, SHORT_S, Kit, Member, needs_processes, settle, until
from weft.errors import UsageError
from weft.log import FROM_START


def test_lone_member_owns_every_partition(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=4)
    member = kit.member([orders])
    member.until_owns(range(4))
    assert sorted(partition for _, told in member.told for partition in told) == [0, 1, 2, 3]
    assert {what for what, _ in member.told} == {"assigned"}


def test_each_partition_has_one_owner_and_few_move_when_members_join(kit: Kit) -> None:
    """Never two owners at once: who has a partition gives it up before another is assigned."""
    orders = kit.topic("orders", partitions=6)
    members: list[Member] = []

    def check_given_up_first() -> None:
        owned = [partition for member in members for partition in member.owned]
        assert len(owned) == len(set(owned))

    for kept_count in ([], [3], [2, 2]):
        before = [set(member.owned) for member in members]
        members.append(kit.member([orders]))
        members[-1].when_revoked = check_given_up_first
        settle(members, 6)
        kept = [old & member.owned for old, member in zip(before, members, strict=False)]
        assert [len(partitions) for partitions in kept] == kept_count
    assert {what for member in members for what, _ in member.told} == {"assigned", "revoked"}


def test_companion_topics_follow_when_partitions_are_shared(kit: Kit) -> None:
    topics = [kit.topic(name, partitions=4) for name in ("signals", "results", "messages")]
    members = [kit.member(topics), kit.member(topics)]
    settle(members, 4)
    for topic in topics:
        for partition in range(4):
            kit.write(topic, b"record", partition=partition)

    def all_read() -> bool:
        for member in members:
            member.poll()
        return sum(len(member.records) for member in members) >= 12

    until(all_read, "12 records")
    for member in members:
        read = sorted((record.topic, record.partition) for record in member.records)
        assert read == sorted((topic, partition) for topic in topics for partition in member.owned)


def test_partitions_are_taken_over_when_a_member_closes(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=4)
    members = [kit.member([orders]), kit.member([orders])]
    settle(members, 4)
    owned = sorted(members[0].owned)
    members[0].consumer.close()
    assert members[0].told[-1] == ("revoked", owned)
    members[1].until_owns(range(4))


@needs_processes
def test_partitions_are_taken_over_when_a_member_is_killed(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    child = kit.child("member", kit.name("group"), "-", "6", orders)
    child.wait_for("assigned 0,1")
    child.kill()
    member = kit.member([orders])
    member.until_owns([0, 1])


@needs_processes
def test_static_member_gets_its_own_back_when_it_is_killed_and_restarted(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=4)
    other = kit.member([orders], instance_id="other")
    other.until_owns(range(4))
    arguments = ("member", kit.name("group"), "restarted", "10", orders)
    child = kit.child(*arguments)

    def halved() -> bool:
        other.poll()
        return len(other.owned) == 2

    until(halved, "the child to get its share")
    own = ",".join(str(partition) for partition in range(4) if partition not in other.owned)
    child.wait_for(f"assigned {own}")
    told = len(other.told)
    child.kill()
    restarted = kit.child(*arguments)
    lines: list[str] = []

    def said_something() -> bool:
        other.poll()
        lines.append(restarted.line_if_any())
        return bool(lines[-1])

    until(said_something, "the restarted member to be assigned")
    assert lines[-1] == f"assigned {own}"
    assert other.told[told:] == []


@needs_processes
def test_no_partition_stays_free_when_a_static_member_is_killed_while_it_gives_some_up(
    kit: Kit,
) -> None:
    """Kafka gives the restarted member its share without the rebalance that would give away the rest."""
    orders = kit.topic("orders", partitions=4)
    arguments = (kit.name("group"), "restarted", "10", orders)
    dying = kit.child("dying-member", *arguments)
    dying.wait_for("assigned 0,1,2,3")
    other = kit.member([orders], instance_id="other")

    def killed() -> bool:
        other.poll()
        return dying.process.poll() is not None

    until(killed, "the child to give partitions up")
    assert other.owned == set()
    kit.child("member", *arguments)
    other.until_owns_so_many(2)


def test_static_members_partitions_are_kept_for_it_when_it_closes(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=4)
    members = [kit.member([orders], instance_id=name) for name in ("first", "second")]
    settle(members, 4)
    owned = set(members[1].owned)
    told = len(members[0].told)
    members[1].consumer.close()
    for _ in range(10):
        members[0].poll()
    again = kit.member([orders], instance_id="second")

    def back() -> bool:
        members[0].poll()
        again.poll()
        return again.owned == owned

    until(back, "the static member to get its own back")
    assert members[0].told[told:] == []


def test_partitions_stay_silent_until_they_are_resumed(kit: Kit) -> None:
    topics = [kit.topic(name, partitions=2) for name in ("signals", "results")]
    for topic in topics:
        for partition in range(2):
            kit.write(topic, b"record", partition=partition)
    member = kit.member(topics, auto_resume=False)
    member.until_owns([0, 1])
    assert member.poll(SHORT_S) == []
    member.consumer.resume([1])
    member.until_records(2)
    assert member.poll(SHORT_S) == []
    assert sorted((record.topic, record.partition) for record in member.records) == sorted(
        (topic, 1) for topic in topics
    )
    member.consumer.resume([0])
    member.until_records(4)


def test_partitions_fall_silent_when_they_are_paused(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    kit.write(orders, b"before")
    member = kit.member([orders])
    member.until_records(1)
    member.consumer.pause([0])
    kit.write(orders, b"paused")
    kit.write(orders, b"other", partition=1)
    member.until_records(2)
    assert member.poll(SHORT_S) == []
    member.consumer.resume([0])
    member.until_records(3)
    assert [record.value for record in member.records] == [b"before", b"other", b"paused"]


def test_records_are_read_again_when_the_partition_is_sought_back(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    kit.write(orders, b"0", b"1", b"2")
    kit.write(orders, b"other", partition=1)
    member = kit.member([orders])
    member.until_records(4)
    producer = kit.transactional()
    producer.begin()
    producer.send_offsets({(orders, 0): 3}, member.consumer.member())
    producer.abort(PATIENCE_S)
    member.records.clear()
    member.consumer.seek(orders, 0, 1)
    member.until_records(2)
    assert member.poll(SHORT_S) == []
    assert [record.value for record in member.records] == [b"1", b"2"]


def test_committed_offsets_survive_when_everything_is_closed(kit: Kit) -> None:
    topics = [kit.topic(name, partitions=2) for name in ("signals", "results")]
    for topic in topics:
        kit.write(topic, b"0", b"1", b"2", partition=1)
    member = kit.member(topics)
    member.until_records(6)
    producer = kit.transactional()
    producer.begin()
    producer.send_offsets({(topics[0], 1): 2}, member.consumer.member())
    producer.commit(PATIENCE_S)
    member.consumer.commit({(topics[1], 1): 1})
    member.consumer.close()
    kit.log = kit.open_again()
    again = kit.member(topics)
    again.until_records(3)
    assert again.poll(SHORT_S) == []
    assert sorted((record.topic, record.value) for record in again.records) == sorted(
        [(topics[0], b"2"), (topics[1], b"1"), (topics[1], b"2")]
    )
    wanted = [(topic, partition) for topic in topics for partition in (0, 1)]
    expected = {(topics[0], 1): 2, (topics[1], 1): 1}
    assert again.consumer.committed(wanted, PATIENCE_S) == expected


def test_next_owner_goes_on_where_the_last_one_committed_inside_the_revocation(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    for partition in range(2):
        kit.write(orders, b"0", b"1", partition=partition)
    first = kit.member([orders])
    first.until_records(4)
    producer = kit.transactional()

    def commit_both() -> None:
        producer.begin()
        producer.send_offsets({(orders, 0): 1, (orders, 1): 1}, first.consumer.member())
        producer.commit(PATIENCE_S)

    first.when_revoked = commit_both
    second = kit.member([orders])
    settle([first, second], 2)
    second.until_records(1)
    (moved,) = second.owned
    assert [(record.partition, record.offset) for record in second.records] == [(moved, 1)]
    wanted = [(orders, 0), (orders, 1)]
    assert second.consumer.committed(wanted, PATIENCE_S) == dict.fromkeys(wanted, 1)
    first.when_revoked = lambda: None


def test_offsets_can_still_be_committed_when_a_member_closes(kit: Kit) -> None:
    orders = kit.topic("orders", partitions=2)
    member = kit.member([orders])
    member.until_owns([0, 1])
    producer = kit.transactional()

    def commit_both_ways() -> None:
        producer.begin()
        producer.send_offsets({(orders, 0): 5}, member.consumer.member())
        producer.commit(PATIENCE_S)
        member.consumer.commit({(orders, 1): 6})

    member.when_revoked = commit_both_ways
    member.consumer.close()
    with pytest.raises(UsageError):
        member.consumer.commit({(orders, 1): 7})
    again = kit.member([orders])
    again.until_owns([0, 1])
    wanted = [(orders, 0), (orders, 1)]
    assert again.consumer.committed(wanted, PATIENCE_S) == {(orders, 0): 5, (orders, 1): 6}


def test_groups_read_for_themselves_when_they_share_a_topic(kit: Kit) -> None:
    orders = kit.topic("orders")
    kit.write(orders, b"order")
    members: list[Member] = [kit.member([orders], group) for group in ("first", "second")]
    for member in members:
        member.until_records(1)
        member.consumer.commit({(orders, 0): 1})
    assert [member.consumer.committed([(orders, 0)], PATIENCE_S) for member in members] == [
        {(orders, 0): 1}
    ] * 2


def test_group_reads_past_gaps_when_transactions_were_aborted(kit: Kit) -> None:
    orders = kit.topic("orders")
    producer = kit.transactional()
    for number in range(3):
        producer.begin()
        producer.append(orders, 0, b"key", b"aborted")
        producer.abort(PATIENCE_S)
        producer.begin()
        producer.append(orders, 0, b"key", b"%d" % number)
        producer.commit(PATIENCE_S)
    member = kit.member([orders])
    member.until_records(3)
    assert [record.value for record in member.records] == [b"0", b"1", b"2"]
    reader = kit.reader()
    wanted = {(orders, 0): FROM_START}
    offsets = [record.offset for record in reader.read_to_end(wanted, PATIENCE_S)]
    assert [record.offset for record in member.records] == offsets
