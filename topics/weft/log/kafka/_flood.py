"""One topic's backlog must not keep the others' records waiting.

The client has one queue for everything that it fetches, and hands out of it in the order of arrival. With 100,000
records behind on one topic, a record of another was seen only when all of them had been (measured with librdkafka 2.16
and its default settings). A smaller queue makes that a few hundred milliseconds; how much a single fetch brings remains
the producers' choice. So as long as one topic fills every poll, the others are let through now and then, for a moment
in which that one is held back. Each time costs some 70 ms without anything of the flood: the client throws away what it
has fetched of a topic that is held back, and fetches it anew once its last request for the others is answered. Every
4,000 records that was 40 % of the flood's time. So it is left out while the client knows of nothing new for the others:
it asks for all topics together, whenever its queue has become short, and is told where each ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Message

FLOOD_PAUSE_S = 0.02
"""How long the others' first record is waited for."""
_FLOOD_RECORDS = 4000
_FLOOD_S = 0.25
_LEFT_OUT_MAX = 4
"""So often in a row at most: while the queue is long, because one request brought very much, the client asks nobody."""

Ends = Mapping[tuple[str, int], int]
"""Where the others' partitions end, as far as the client knows, by topic and partition."""


class Flood:
    """Looks at what each poll brings."""

    def __init__(self, topic_count: int) -> None:
        self._is_possible = topic_count > 1
        self._topic: str | None = None
        self._record_count = 0
        self._since_s = 0.0
        self._nothing_before: Ends | None = None
        self._left_out_count = 0

    def note(self, messages: Sequence[Message], records_max: int) -> None:
        """These came of a poll for `records_max`."""
        if not self._is_possible:
            return
        is_full = len(messages) >= records_max
        topics = {message.topic() for message in messages} if is_full else set()
        topic = topics.pop() if len(topics) == 1 else None
        if topic != self._topic:
            self._topic, self._record_count, self._since_s = topic, 0, time.monotonic()
        self._record_count += len(messages)

    def topic_to_hold_back(self) -> str | None:
        """The topic that has filled every poll for a while. Once told, it may do so for another while."""
        topic = self._topic
        if topic is None or (
            self._record_count < _FLOOD_RECORDS and time.monotonic() - self._since_s < _FLOOD_S
        ):
            return None
        self._topic = None
        return topic

    def is_needless(self, ends: Ends) -> bool:
        """Whether a topic need not be held back now, since nothing came for the others since that was last in vain."""
        if ends != self._nothing_before or self._left_out_count >= _LEFT_OUT_MAX:
            self._left_out_count = 0
            return False
        self._left_out_count += 1
        return True

    def note_others(self, messages: Sequence[Message], ends: Ends) -> None:
        """What came of the others while a topic was held back; `ends` were known before."""
        self._nothing_before = None if messages else ends
