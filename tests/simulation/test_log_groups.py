"""Groups of the simulated log: who has what when processes die, stop, or are slow, and when brokers are away."""

from __future__ import annotations

import pytest

from tests.simulation.bench import TIMEOUT_S, Bench, BenchMember
from tests.simulation.scheduler import ProcessKilledError
from weft.errors import FencedError, LogUnavailableError
from weft.log.kafka._orphans import OrphanWatch


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_dead_dynamic_members_partitions_go_when_its_session_is_over(bench: Bench) -> None:
    log = bench.connect("dies")
    dying = bench.member(log)
    bench.until_owned(dying)
    log.connection.process.kill()
    with pytest.raises(ProcessKilledError):
        dying.poll()
    heir = bench.member()
    died_s = bench.scheduler.now
    bench.until_owned(heir)
    assert 3.0 < bench.scheduler.now - died_s < 8.0


def test_restarted_static_member_has_its_partitions_at_once(bench: Bench) -> None:
    other = bench.member(instance_id="other")
    log = bench.connect("dies")
    dying = bench.member(log, "static")
    bench.until_owned(other, dying)
    told = list(other.told)
    log.connection.process.kill()
    again = bench.member(bench.connect("again"), "static")
    began_s = bench.scheduler.now
    bench.until_owned(other, again)
    assert bench.scheduler.now - began_s < 0.5
    assert again.owned == dying.owned
    assert other.told == told


def killed_in_its_revocation(bench: Bench) -> list[BenchMember]:
    """The group after a static member was killed while it gave a partition up, and came back at once."""
    log = bench.connect("dies")
    dying = bench.member(log, "static")
    dying.when_revoked = log.connection.process.kill
    bench.until_owned(dying)
    other = bench.member(instance_id="other")
    with pytest.raises(ProcessKilledError):
        bench.until_owned(dying, other)
    return [other, bench.member(bench.connect("again"), "static")]


def test_partition_stays_free_when_a_static_member_is_killed_in_its_revocation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is Kafka's doing: nothing calls for another rebalance."""
    monkeypatch.setattr(OrphanWatch, "finds_orphans", lambda _watch: False)
    members = killed_in_its_revocation(bench)
    for _ in range(1000):
        for member in members:
            member.poll()
    assert [len(member.owned) for member in members] == [0, 1]


def test_free_partition_finds_an_owner_because_who_is_back_looks_for_orphans(bench: Bench) -> None:
    members = killed_in_its_revocation(bench)
    began_s = bench.scheduler.now
    bench.until_owned(*members)
    assert bench.scheduler.now - began_s < 10.0


def test_stopped_process_has_lost_its_partitions_and_cannot_commit_when_it_goes_on(
    bench: Bench,
) -> None:
    log = bench.connect("stops")
    stopping = bench.member(log)
    bench.until_owned(stopping)
    proof = stopping.consumer.member()
    process = log.connection.process
    process.stop()
    heir = bench.member()
    bench.until_owned(heir)
    process.go_on()
    producer = bench.producer()
    producer.begin()
    with pytest.raises(FencedError):
        producer.send_offsets({("orders", 0): 1}, proof)
    producer.abort(TIMEOUT_S)
    bench.until_owned(heir, stopping)
    assert stopping.told[:2] == [("assigned", [0, 1]), ("lost", [0, 1])]
    assert [what for what, _ in heir.told] == ["assigned", "revoked"]


def test_member_that_does_not_poll_is_no_member_any_more(bench: Bench) -> None:
    slow = bench.member()
    bench.until_owned(slow)
    proof = slow.consumer.member()
    bench.sleep(290.0)
    assert len(bench.cluster.inspect.members("group")) == 1
    bench.sleep(20.0)
    assert bench.cluster.inspect.owned("group") == []
    producer = bench.producer()
    producer.begin()
    with pytest.raises(FencedError):
        producer.send_offsets({("orders", 0): 1}, proof)
    bench.until_owned(slow)
    assert [what for what, _ in slow.told] == ["assigned", "lost", "assigned"]


def test_member_whose_heartbeats_get_lost_may_lose_its_partitions_while_it_works(
    bench: Bench,
) -> None:
    unlucky = bench.member()
    bench.until_owned(unlucky)
    bench.faults.order("heartbeats_lost", 3)
    for _ in range(1000):
        unlucky.poll()
    assert unlucky.told == [("assigned", [0, 1]), ("lost", [0, 1]), ("assigned", [0, 1])]


def test_group_is_balanced_anew_for_no_reason_and_nothing_moves(bench: Bench) -> None:
    members = [bench.member(), bench.member()]
    bench.until_owned(*members)
    proof = members[0].consumer.member()
    bench.faults.order("rebalance")
    told = [list(member.told) for member in members]
    for _ in range(100):
        for member in members:
            member.poll()
    assert [member.told for member in members] == told
    fresh = members[0].consumer.member()
    assert fresh.generation == proof.generation + 1
    members[0].consumer.commit({("orders", 0): 1})
    producer = bench.producer()
    producer.begin()
    with pytest.raises(FencedError):
        producer.send_offsets({("orders", 0): 2}, proof)


def test_everything_is_revoked_first_when_the_group_is_eager() -> None:
    bench = Bench(is_cooperative=False)
    first = bench.member()
    bench.until_owned(first)
    second = bench.member()
    bench.until_owned(first, second)
    assert [(what, sorted(numbers)) for what, numbers in first.told[:2]] == [
        ("assigned", [0, 1]),
        ("revoked", [0, 1]),
    ]
    assert [what for what, _ in first.told[2:]] == ["assigned"]
    assert first.owned | second.owned == {0, 1}


def test_assignment_stalls_until_a_late_marker_has_arrived(bench: Bench) -> None:
    first = bench.member()
    bench.until_owned(first)
    producer = bench.producer()
    producer.begin()
    producer.send_offsets({("orders", 1): 5}, first.consumer.member())
    bench.faults.order("group_marker_late")
    producer.commit(TIMEOUT_S)
    with pytest.raises(LogUnavailableError):
        first.consumer.committed([("orders", 1)], 0.0005)
    assert first.consumer.committed([("orders", 1)], TIMEOUT_S) == {("orders", 1): 5}


def test_new_owner_is_told_every_half_second_that_offsets_are_undecided(bench: Bench) -> None:
    first = bench.member()
    bench.until_owned(first)
    producer = bench.producer()
    producer.begin()
    producer.send_offsets({("orders", 1): 5}, first.consumer.member())
    first.consumer.close()
    heir = bench.member()
    bench.until_owned(heir)
    stalls = [told for told in heir.told if told[0] == "stalled"]
    # The transaction times out after 10 s.
    assert stalls == [("stalled", [1])] * len(stalls)
    assert 15 <= len(stalls) <= 20
    assert heir.told[-1] == ("assigned", [0, 1])


@pytest.mark.parametrize("is_written", [False, True])
def test_plain_commit_of_offsets_is_unknown_when_it_fails(bench: Bench, is_written: bool) -> None:
    outcomes = set()
    member = bench.member()
    bench.until_owned(member)
    for number in range(20):
        bench.faults.order("offset_commit_fails")
        with pytest.raises(LogUnavailableError):
            member.consumer.commit({("orders", 0): number})
        committed = bench.cluster.inspect.committed_offsets("group")
        outcomes.add(committed.get(("orders", 0)) == number)
    assert is_written in outcomes


def test_reading_fails_once_and_then_succeeds(bench: Bench) -> None:
    member = bench.member()
    bench.until_owned(member)
    bench.write(b"value")
    bench.faults.order("committed_fails")
    with pytest.raises(LogUnavailableError):
        member.consumer.committed([("orders", 0)], 1.0)
    assert member.consumer.committed([("orders", 0)], 1.0) == {}
    bench.faults.order("poll_fails")
    with pytest.raises(LogUnavailableError):
        member.poll()
    assert [record.value for record in member.poll()] == [b"value"]


def test_nobody_loses_anything_while_the_groups_coordinator_is_away(bench: Bench) -> None:
    members = [bench.member(), bench.member()]
    bench.until_owned(*members)
    told = [list(member.told) for member in members]
    bench.cluster.group("group").availability.go(20.0)
    with pytest.raises(LogUnavailableError):
        members[0].consumer.committed([("orders", 0)], 1.0)
    bench.sleep(40.0)
    for member in members:
        member.poll()
    assert [member.told for member in members] == told
