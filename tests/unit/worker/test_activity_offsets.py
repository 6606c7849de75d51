"""How far a queue is done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.worker._activity_offsets import OpenOffsets, QueueOffsets


def test_offset_moves_up_to_the_first_task_that_is_open() -> None:
    offsets = OpenOffsets()
    for offset in (10, 11, 14):  # the log leaves holes
        offsets.take(offset)
    assert offsets.next_offset() == 10
    offsets.done(11)
    assert offsets.next_offset() == 10
    offsets.done(10)
    assert offsets.next_offset() == 14
    offsets.done(14)
    assert offsets.next_offset() == 15


def test_nothing_is_committed_when_nothing_was_taken_or_nothing_changed() -> None:
    offsets = OpenOffsets()
    assert offsets.next_offset() is None
    offsets.take(3)
    offsets.done(3)
    offsets.committed(4)
    assert offsets.next_offset() is None
    offsets.take(4)
    assert offsets.next_offset() is None
    offsets.done(4)
    assert offsets.next_offset() == 5


@given(st.permutations(range(12)))
def test_no_open_task_is_ever_behind_what_is_committed(order: list[int]) -> None:
    offsets = OpenOffsets()
    for offset in range(12):
        offsets.take(offset)
    still_open, committed = set(range(12)), 0
    for offset in order:
        offsets.done(offset)
        still_open.discard(offset)
        next_offset = offsets.next_offset()
        if next_offset is not None:
            committed = next_offset
            offsets.committed(committed)
        assert committed == min(still_open, default=12)
        assert offsets.next_offset() is None


def test_only_partitions_that_are_still_ours_are_committed() -> None:
    offsets = QueueOffsets("shop.tasks.mail")
    offsets.assign([1, 2])
    one, two = offsets[1], offsets[2]
    for partition in (one, two):
        partition.take(7)
        partition.done(7)
    offsets.forget([2])
    assert offsets.next_offsets([1, 2, 3]) == {("shop.tasks.mail", 1): 8}
    offsets.committed({("shop.tasks.mail", 1): 8})
    assert offsets.next_offsets(offsets) == {}


def test_partition_that_comes_back_starts_anew() -> None:
    offsets = QueueOffsets("t")
    offsets.assign([0])
    before = offsets[0]
    before.take(5)
    offsets.forget([0])
    offsets.assign([0])
    offsets[0].take(3)
    before.done(5)
    assert offsets.next_offsets([0]) == {("t", 0): 3}
