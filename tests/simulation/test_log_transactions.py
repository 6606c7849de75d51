"""What can become of a transaction on the simulated log."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.simulation.bench import TIMEOUT_S, Bench
from tests.simulation.log import Entry, Observer
from tests.simulation.log._transactional import SimulatedTransactionalProducer
from weft.errors import CommitUnknownError, FencedError, LogUnavailableError
from weft.log import FROM_START


@pytest.fixture
def bench() -> Bench:
    return Bench()


def open_transaction(bench: Bench, value: bytes = b"inside") -> SimulatedTransactionalProducer:
    producer = bench.producer()
    producer.begin()
    producer.append("orders", 0, b"key", value)
    return producer


@pytest.mark.parametrize(
    "fault,present,undecided_count,later,last",
    [
        ("commit_answer_lost", [b"inside"], 0, [b"inside"], [b"inside"]),
        ("commit_aborted", [], 0, [], []),
        ("commit_lost", [], 1, [], []),
    ],
)
def test_truth_is_one_of_three_when_a_commit_is_unknown(
    bench: Bench,
    fault: str,
    present: list[bytes],
    undecided_count: int,
    later: list[bytes],
    last: list[bytes],
) -> None:
    producer = open_transaction(bench)
    bench.faults.order(fault)
    with pytest.raises(CommitUnknownError):
        producer.commit(2.0)
    with pytest.raises(CommitUnknownError):
        producer.abort(1.0)
    with pytest.raises(CommitUnknownError):
        producer.begin()
    assert (bench.values(), bench.undecided_count()) == (present, undecided_count)
    bench.sleep(3.0)
    assert (bench.values(), bench.undecided_count()) == (later, undecided_count)
    bench.producer()
    assert (bench.values(), bench.undecided_count()) == (last, 0)


@pytest.mark.parametrize("is_fenced_first", [False, True])
def test_late_commit_counts_unless_the_id_was_taken_first(
    bench: Bench, is_fenced_first: bool
) -> None:
    producer = open_transaction(bench)
    bench.sleep(0.1)
    bench.faults.order("commit_late")
    with pytest.raises(CommitUnknownError):
        producer.commit(0.0)
    assert bench.undecided_count() == 1
    if is_fenced_first:
        bench.producer()
    bench.sleep(5.1)
    assert bench.values() == ([] if is_fenced_first else [b"inside"])
    assert bench.undecided_count() == 0


def test_transaction_is_aborted_and_its_producer_fenced_when_it_takes_too_long(
    bench: Bench,
) -> None:
    producer = open_transaction(bench)
    bench.sleep(9.0)
    assert bench.undecided_count() == 1
    bench.sleep(2.0)
    assert (bench.values(), bench.undecided_count()) == ([], 0)
    with pytest.raises(FencedError):
        producer.commit(TIMEOUT_S)
    with pytest.raises(FencedError):
        producer.abort(TIMEOUT_S)


def test_records_and_the_next_transaction_wait_when_a_marker_is_late(bench: Bench) -> None:
    producer = open_transaction(bench, b"first")
    bench.faults.order("marker_late")
    producer.commit(TIMEOUT_S)
    began_s = bench.scheduler.now
    bench.write(b"behind")
    assert bench.values() == []
    producer.begin()
    producer.append("orders", 0, b"key", b"second")
    producer.commit(TIMEOUT_S)
    assert bench.scheduler.now - began_s > 0.001
    assert bench.values() == [b"first", b"behind", b"second"]
    offsets = [record.offset for record in bench.records()]
    assert offsets == [0, 1, 3]


def test_zombies_late_records_are_refused_when_its_id_was_taken(bench: Bench) -> None:
    zombie = open_transaction(bench, b"early")
    bench.sleep(1.0)
    bench.faults.order("append_late")
    zombie.append("orders", 1, b"key", b"late")
    bench.sleep(0.0005)
    bench.producer()
    bench.sleep(6.0)
    assert bench.cluster.inspect.committed_records("orders", 1) == []
    everything = bench.cluster.inspect.everything("orders", 1)
    assert all(entry.record is None for entry in everything)
    with pytest.raises(FencedError):
        zombie.commit(TIMEOUT_S)


@pytest.mark.parametrize("fault,is_taken", [("fence_lost", False), ("fence_answer_lost", True)])
def test_whether_an_id_was_taken_is_unknown_when_fencing_is_not_answered(
    bench: Bench, fault: str, is_taken: bool
) -> None:
    former = open_transaction(bench)
    bench.faults.order(fault)
    with pytest.raises(LogUnavailableError):
        bench.log.transactional_producer("owner").fence(2.0)
    if is_taken:
        with pytest.raises(FencedError):
            former.commit(TIMEOUT_S)
    else:
        former.commit(TIMEOUT_S)
    assert bench.values() == ([] if is_taken else [b"inside"])


@pytest.mark.parametrize("fault,undecided_count", [("abort_lost", 1), ("abort_answer_lost", 0)])
def test_whether_it_was_aborted_is_unknown_when_the_abort_is_not_answered(
    bench: Bench, fault: str, undecided_count: int
) -> None:
    producer = open_transaction(bench)
    bench.sleep(0.1)
    bench.faults.order(fault)
    with pytest.raises(CommitUnknownError):
        producer.abort(1.0)
    with pytest.raises(CommitUnknownError):
        producer.begin()
    assert bench.undecided_count() == undecided_count


@pytest.mark.parametrize("fault,undecided", [("offsets_lost", 0), ("offsets_answer_lost", 1)])
def test_producer_is_spent_when_sending_offsets_is_not_answered(
    bench: Bench, fault: str, undecided: int
) -> None:
    member = bench.member()
    bench.until_owned(member)
    producer = open_transaction(bench)
    bench.faults.order(fault)
    with pytest.raises(CommitUnknownError):
        producer.send_offsets({("orders", 0): 1}, member.consumer.member())
    with pytest.raises(CommitUnknownError):
        producer.commit(TIMEOUT_S)
    assert len(bench.cluster.inspect.undecided_offsets("group")) == undecided
    bench.producer()
    assert bench.cluster.inspect.undecided_offsets("group") == {}
    assert member.consumer.committed([("orders", 0)], TIMEOUT_S) == {}


def test_commit_is_unknown_when_the_coordinator_stays_away(bench: Bench) -> None:
    producer = open_transaction(bench)
    bench.sleep(0.1)
    bench.cluster.transactions.availability.go(20.0)
    with pytest.raises(CommitUnknownError):
        producer.commit(5.0)
    bench.sleep(20.0)
    assert (bench.values(), bench.undecided_count()) == ([], 0)


def test_everything_waits_for_a_leader_that_is_away_and_keeps_its_order(bench: Bench) -> None:
    reader = bench.log.reader()
    reader.assign({("orders", 0): FROM_START})
    producer = open_transaction(bench, b"0")
    plain = bench.log.producer()
    bench.cluster.take_leader_away("orders", 0, 3.0)
    for value in (b"1", b"2"):
        plain.produce("orders", 0, b"key", value)
    assert reader.poll(10, 1.0) == []
    assert plain.flush(0.5) == 2
    began_s = bench.scheduler.now
    producer.commit(TIMEOUT_S)
    assert bench.scheduler.now - began_s > 1.0
    assert plain.flush(TIMEOUT_S) == 0
    read = [record.value for record in reader.poll(10, TIMEOUT_S)]
    assert [value for value in read if value != b"0"] == [b"1", b"2"]
    assert sorted(value or b"" for value in read) == [b"0", b"1", b"2"]


def test_observers_are_told_in_the_order_of_events(bench: Bench) -> None:
    told: list[str] = []

    class Noting(Observer):
        def appended(self, entries: Sequence[Entry]) -> None:
            told.append("record" if entries[0].record else "marker")

        def taken(self, transactional_id: str, producer_id: int, epoch: int) -> None:
            told.append(f"{transactional_id} taken at {epoch}")

        def decided(
            self, transactional_id: str, producer_id: int, epoch: int, *, committed: bool
        ) -> None:
            told.append(f"{transactional_id} {'committed' if committed else 'aborted'} at {epoch}")

    bench.cluster.observers.append(Noting())
    open_transaction(bench).commit(TIMEOUT_S)
    open_transaction(bench)
    bench.sleep(0.1)
    bench.producer()
    assert told == [
        "owner taken at 0",
        "record",
        "owner committed at 0",
        "marker",
        "owner taken at 1",
        "record",
        "owner aborted at 1",
        "marker",
        "owner taken at 3",
    ]
