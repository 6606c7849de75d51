"""Leases in the file: members that die, stall, or meet their double. And the balance, as a pure function."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.log_contract.kit import Kit, until
from weft.errors import FencedError, TopicError, UsageError
from weft.log.embedded._assignment import balanced


def test_dead_members_partitions_are_taken_at_once_when_its_process_is_gone(embedded: Kit) -> None:
    """Not by its lease, which has a minute to go; and also while its parent has not asked for its exit status."""
    topic = embedded.topic("orders", partitions=2)
    child = embedded.child("member", embedded.name("group"), "-", "60", topic)
    child.wait_for("assigned 0,1")
    member = embedded.member([topic])
    member.poll()
    assert child.line() == "revoked 1"
    member.until_owns([1])
    os.kill(child.process.pid, signal.SIGKILL)
    started_s = time.monotonic()
    member.until_owns([0, 1])
    assert time.monotonic() - started_s < 10


def test_stalled_member_loses_its_partitions_when_its_lease_is_over(embedded: Kit) -> None:
    topic = embedded.topic("orders", partitions=2)
    child = embedded.child("member", embedded.name("group"), "-", "0.5", topic)
    child.wait_for("assigned 0,1")
    child.process.send_signal(signal.SIGSTOP)
    member = embedded.member([topic])
    member.until_owns([0, 1])
    child.process.send_signal(signal.SIGCONT)
    assert child.line() == "lost 0,1"

    def handed_over() -> bool:
        member.poll()
        return len(member.owned) == 1

    until(handed_over, "the member that is back to get its share")
    assert child.line() == f"assigned {1 - min(member.owned)}"


def test_static_members_partitions_are_taken_when_it_stays_away(embedded: Kit) -> None:
    topic = embedded.topic("orders", partitions=2)
    child = embedded.child("member", embedded.name("group"), "static", "1", topic)
    child.wait_for("assigned 0,1")
    child.kill()
    member = embedded.member([topic])
    member.poll(0.2)
    assert member.owned == set()
    member.until_owns([0, 1])


def test_member_is_told_and_ends_when_another_joins_with_its_instance_id(embedded: Kit) -> None:
    topic = embedded.topic("orders", partitions=2)
    first = embedded.member([topic], instance_id="worker")
    first.until_owns([0, 1])
    proof = first.consumer.member()
    second = embedded.member([topic], instance_id="worker")
    for _ in range(2):
        with pytest.raises(FencedError, match=r"instance ID"):
            first.poll()
    assert first.told == [("assigned", [0, 1]), ("lost", [0, 1])]
    second.until_owns([0, 1])
    producer = embedded.transactional()
    producer.begin()
    producer.send_offsets({(topic, 0): 1}, proof)
    with pytest.raises(FencedError, match=r"no longer this member's"):
        producer.commit(1.0)
    producer.abort(1.0)
    producer.begin()
    producer.send_offsets({(topic, 0): 1}, second.consumer.member())
    producer.commit(1.0)


def test_proof_of_a_closed_member_is_stale_when_it_was_static(embedded: Kit) -> None:
    topic = embedded.topic("orders")
    member = embedded.member([topic], instance_id="worker")
    member.until_owns([0])
    proof = member.consumer.member()
    member.consumer.close()
    producer = embedded.transactional()
    producer.begin()
    producer.send_offsets({(topic, 0): 1}, proof)
    with pytest.raises(FencedError):
        producer.commit(1.0)


def test_seek_is_refused_when_the_partition_is_not_owned(embedded: Kit) -> None:
    topic = embedded.topic("orders", partitions=2)
    member = embedded.member([topic])
    with pytest.raises(UsageError, match=r"orders-1 is not this member's"):
        member.consumer.seek(topic, 1, 0)


def test_joining_is_refused_when_the_topics_have_different_partition_counts(embedded: Kit) -> None:
    topics = [embedded.topic("two", partitions=2), embedded.topic("three", partitions=3)]
    with pytest.raises(TopicError, match=r"same number of partitions"):
        embedded.member(topics)
    with pytest.raises(TopicError, match=r"missing"):
        embedded.member([topics[0], embedded.name("missing")])


def test_members_of_one_group_share_only_among_those_with_the_same_lead_topic(
    embedded: Kit,
) -> None:
    topics = [embedded.topic(name, partitions=2) for name in ("first", "second")]
    members = [embedded.member([topic]) for topic in topics]
    for member in members:
        member.until_owns([0, 1])


@given(
    st.dictionaries(st.integers(0, 40), st.none() | st.integers(0, 8)),
    st.lists(st.integers(0, 8), unique=True, min_size=1),
)
def test_balance_is_even_and_moves_as_few_as_possible(
    before: dict[int, int | None], members: list[int]
) -> None:
    after = balanced(before, members)
    assert after.keys() == before.keys()
    counts = Counter(after.values())
    sizes = [counts[member] for member in members]
    assert sum(sizes) == len(before)
    assert max(sizes) - min(sizes) <= 1
    share, extra_count = divmod(len(before), len(members))
    kept_before = sorted((Counter(before.values())[member] for member in members), reverse=True)
    quotas = [share + (index < extra_count) for index in range(len(members))]
    kept_max = sum(min(kept, quota) for kept, quota in zip(kept_before, quotas, strict=True))
    assert sum(before[partition] == after[partition] for partition in before) == kept_max


def test_balance_leaves_everything_free_when_nobody_is_there() -> None:
    assert balanced({0: 1, 1: None}, []) == {0: None, 1: None}
