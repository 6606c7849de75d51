"""How far one `read_to_end` goes in each partition.

To a reader of committed records a partition ends where its oldest undecided transaction begins. A commit is confirmed
before the brokers have told the partitions of it, so what stands there may be what its writer knows to be committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from weft.log._api import LogRecord
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._records import first_error, records_of


class Ends:
    """Which partitions are not read to their end yet, and where reading has come to."""

    def __init__(
        self, client: Consumer, offsets: Mapping[TopicAndPartition, int], undecided_s: float
    ) -> None:
        """`undecided_s`: for how long at most it is waited for decisions, once nothing else is there."""
        self.unfinished = set(offsets)
        self.next_offsets = dict(offsets)
        self._client = client
        self._undecided_s = undecided_s
        self._wanted: dict[TopicAndPartition, int] = {}
        """Of a partition whose end was reached with something undecided behind it: where that ends."""
        self._wait_until_s: float | None = None

    @property
    def wait_until_s(self) -> float | None:
        """Until when it is waited for decisions, in monotonic time; None when it is not."""
        return self._wait_until_s if self._wanted else None

    def take(self, messages: Sequence[Message], name: str) -> Iterator[LogRecord]:
        """The records of unfinished partitions, and which of these end on the way. Raises the first error."""
        records = records_of(messages)
        is_plain = len(records) == len(messages) and not self._wanted
        if is_plain and len(self.unfinished) == len(self.next_offsets):
            yield from records
            return
        for message in messages:
            error = message.error()
            place = (message.topic() or "", message.partition() or 0)
            if error is None:
                if place in self.unfinished and not self._is_beyond(place, message):
                    yield from records_of([message])
            elif error.code() == KafkaError._PARTITION_EOF:
                if place in self.unfinished:
                    self._at_end(place, message.offset() or 0)
            elif failure := first_error([message], name):
                raise failure

    def give_up_waiting(self) -> None:
        """When it is time: what is undecided still is not waited for any more."""
        if (until_s := self.wait_until_s) is not None and time.monotonic() >= until_s:
            for place in list(self._wanted):
                self._finish(place)

    def _is_beyond(self, place: TopicAndPartition, message: Message) -> bool:
        """Whether a record lies behind all that was waited for: it was written later."""
        wanted = self._wanted.get(place)
        if wanted is None:
            return False
        offset = message.offset() or 0
        if offset < wanted:
            self.next_offsets[place] = offset + 1
            return False
        self.next_offsets[place] = wanted
        self._finish(place)
        return True

    def _at_end(self, place: TopicAndPartition, offset: int) -> None:
        self.next_offsets[place] = offset
        if self._undecided_s > 0 and place not in self._wanted:
            # What the client was told with what it fetched last: no question to a broker.
            _, end = self._client.get_watermark_offsets(TopicPartition(*place), cached=True)
            if end > offset and self._wait_until_s is None:
                self._wait_until_s = time.monotonic() + self._undecided_s
            self._wanted[place] = end
        if offset >= self._wanted.get(place, 0):
            self._finish(place)

    def _finish(self, place: TopicAndPartition) -> None:
        self.unfinished.discard(place)
        self._wanted.pop(place, None)
