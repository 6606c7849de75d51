"""Which records at known offsets have been found, and where to read for the others.

A partition is read from one of them on. The next one is read on to when it is near; for one that is far, the reading
starts again at its offset, which takes about as long as reading some hundred records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import KafkaError, Message

from weft.log._api import LogRecord
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._records import first_error, records_of

_NEAR_OFFSETS = 200
_NOTHING_THERE = (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET)
"""The partition ends before the offset, by now: it was made anew, or cut off."""


class Search:
    """Of one `read_at`. `found` is what is there."""

    def __init__(self, offsets: Mapping[TopicAndPartition, Collection[int]]) -> None:
        self.found: list[LogRecord] = []
        self._wanted = {place: deque(sorted(wanted)) for place, wanted in offsets.items() if wanted}
        self._reading: set[TopicAndPartition] = set()

    def starts(self) -> dict[TopicAndPartition, int]:
        """Where to read from now on; empty when everything is found, or known to be gone."""
        starts = {place: wanted[0] for place, wanted in self._wanted.items() if wanted}
        self._reading = set(starts)
        return starts

    @property
    def is_reading(self) -> bool:
        """Whether more is to be had from where the reading is."""
        return bool(self._reading)

    @property
    def places(self) -> set[TopicAndPartition]:
        """The partitions that are being read."""
        return self._reading

    def take(self, messages: Sequence[Message], name: str) -> None:
        """What was read. Raises `LogError` for an error among it."""
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            if place not in self._reading:
                continue
            error = message.error()
            if error is None:
                self._look_at(place, message)
            elif error.code() in _NOTHING_THERE:
                self._wanted[place].clear()
                self._reading.discard(place)
            elif failure := first_error([message], name):
                raise failure

    def _look_at(self, place: TopicAndPartition, message: Message) -> None:
        offset, wanted = message.offset() or 0, self._wanted[place]
        before_count = len(wanted)
        while wanted and wanted[0] < offset:
            wanted.popleft()  # it is gone
        if wanted and wanted[0] == offset:
            wanted.popleft()
            self.found += records_of([message])
        if not wanted or (len(wanted) < before_count and wanted[0] - offset > _NEAR_OFFSETS):
            self._reading.discard(place)
