"""Which tasks still lack a durable result, and so how far each partition of a queue is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.log import TopicPartition


class OpenOffsets:
    """The tasks taken from one partition during one assignment, by offset.

    Tasks end in any order, a group's offset is one number: it may only move up to the first task that is still open,
    so that whoever has the partition next runs exactly those again that may not have ended.
    """

    __slots__ = ("_committed", "_next", "_open")

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._next = -1
        self._committed = -1

    def take(self, offset: int) -> None:
        """Offsets come in rising order."""
        assert offset >= self._next, "a partition is read forwards"
        self._open[offset] = None
        self._next = offset + 1

    def done(self, offset: int) -> None:
        del self._open[offset]

    def next_offset(self) -> int | None:
        """What to commit; None when nothing has changed since `committed` was told."""
        if self._next < 0:
            return None
        next_offset = next(iter(self._open), self._next)
        return next_offset if next_offset > self._committed else None

    def committed(self, next_offset: int) -> None:
        self._committed = next_offset


class QueueOffsets(dict[int, OpenOffsets]):
    """The partitions that this worker has at present, by number."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def assign(self, partitions: Iterable[int]) -> None:
        for number in partitions:
            self[number] = OpenOffsets()

    def forget(self, partitions: Iterable[int]) -> None:
        """Results of tasks that still run are written all the same; their offsets are the next owner's."""
        for number in partitions:
            self.pop(number, None)

    def next_offsets(self, partitions: Iterable[int]) -> dict[TopicPartition, int]:
        """What to commit for these, as far as they are this worker's and have moved."""
        return {
            (self._topic, number): next_offset
            for number in partitions
            if number in self and (next_offset := self[number].next_offset()) is not None
        }

    def committed(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        for (_topic, number), next_offset in next_offsets.items():
            self[number].committed(next_offset)
