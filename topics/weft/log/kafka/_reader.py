"""Reading chosen partitions outside of any group."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Mapping

from confluent_kafka import Consumer, KafkaException, Message

from weft.errors import LogUnavailableError, TopicError
from weft.log._api import LogRecord
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._ends import Ends
from weft.log.kafka._errors import kafka_error, log_error
from weft.log.kafka._positions import starting_points, wake
from weft.log.kafka._records import first_error, records_of
from weft.log.kafka._search import Search
from weft.log.kafka._settings import ClientSettings, Settings, logger

_LOOKUP_TIMEOUT_S = 10.0
_BATCH_RECORDS_MAX = 1000


class KafkaReader:
    """Implements `weft.log.Reader`.

    Three clients, made when they are needed: one for `poll`, whose fetches may wait at the broker, one for
    `read_to_end`, whose fetches may not, and one for `read_at`, whose fetches are small. After `read_to_end` is
    through, `poll` goes on where it ended.
    """

    def __init__(self, settings: ClientSettings, name: str, *, committed: bool) -> None:
        self._name = name
        # Kafka's client wants a group's name even where there is no group. Nothing is ever committed to it.
        group = f"weft-reader-{uuid.uuid4().hex}"
        self._follow_settings = settings.reader(group, committed=committed)
        self._to_end_settings = settings.reader_to_end(group, committed=committed)
        self._at_settings = settings.reader_at(group)
        self._follower: Consumer | None = None
        self._to_end: Consumer | None = None
        self._at: Consumer | None = None
        self._partitions_by_topic: dict[str, int] = {}
        self._next_offsets: dict[TopicAndPartition, int] | None = None
        """Where `poll` takes over from `read_to_end`."""

    def assign(self, offsets: Mapping[TopicAndPartition, int]) -> None:
        """Raises `TopicError` when there is no such topic or partition."""
        self._next_offsets = None
        if self._follower is None:
            self._follower = self._new_client(self._follow_settings)
        self._assign(self._follower, offsets, _LOOKUP_TIMEOUT_S)

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        if self._next_offsets is not None:
            self.assign(self._next_offsets)
        if self._follower is None:
            return []
        messages = self._take(self._follower, records_max, timeout_s)
        records = records_of(messages)
        if len(records) < len(messages) and (error := first_error(messages, self._name)):
            raise error
        return records

    def read_to_end(
        self,
        offsets: Mapping[TopicAndPartition, int],
        timeout_s: float,
        *,
        undecided_s: float = 0.0,
    ) -> Iterator[LogRecord]:
        """Raises `TopicError` when there is no such topic or partition."""
        if self._to_end is None:
            self._to_end = self._new_client(self._to_end_settings)
        lookup_s = min(timeout_s, _LOOKUP_TIMEOUT_S)
        self._assign(self._to_end, offsets, lookup_s, patience_s=timeout_s)
        ends = Ends(self._to_end, offsets, min(undecided_s, timeout_s))
        return self._read_to_end(self._to_end, ends, timeout_s)

    def _read_to_end(self, client: Consumer, ends: Ends, timeout_s: float) -> Iterator[LogRecord]:
        deadline_s = time.monotonic() + timeout_s
        try:
            while ends.unfinished:
                until_s = min(deadline_s, ends.wait_until_s or deadline_s)
                messages = self._take(client, _BATCH_RECORDS_MAX, until_s - time.monotonic())
                if messages:
                    yield from ends.take(messages, self._name)
                    deadline_s = time.monotonic() + timeout_s
                elif until_s == deadline_s:
                    raise self._no_progress(ends.unfinished, timeout_s)
                ends.give_up_waiting()
        finally:
            # Nobody takes what it would go on fetching.
            if self._to_end is client:
                client.unassign()
        self._next_offsets = ends.next_offsets

    def _no_progress(
        self, unfinished: set[TopicAndPartition], timeout_s: float
    ) -> LogUnavailableError:
        partitions = ", ".join(f"{topic}-{number}" for topic, number in sorted(unfinished))
        return LogUnavailableError(
            f"Nothing came from {partitions} of {self._name} within {timeout_s:g} s, and there was more to read. "
            "Look at the brokers and the network, and read again."
        )

    def read_at(
        self, offsets: Mapping[TopicAndPartition, Collection[int]], timeout_s: float
    ) -> list[LogRecord]:
        """Raises `TopicError` when there is no such topic or partition."""
        if self._at is None:
            self._at = self._new_client(self._at_settings)
        client, search = self._at, Search(offsets)
        try:
            while starts := search.starts():
                self._assign(client, starts, min(timeout_s, _LOOKUP_TIMEOUT_S))
                deadline_s = time.monotonic() + timeout_s
                while search.is_reading:
                    messages = self._take(client, _BATCH_RECORDS_MAX, deadline_s - time.monotonic())
                    if not messages:
                        raise self._no_progress(search.places, timeout_s)
                    search.take(messages, self._name)
        finally:
            client.unassign()
        return search.found

    def _new_client(self, settings: Settings) -> Consumer:
        return Consumer(settings, logger=logger)

    def _take(self, client: Consumer, records_max: int, timeout_s: float) -> list[Message]:
        try:
            first = client.poll(max(timeout_s, 0.0))
            if first is None:
                return []
            if records_max > 1:
                return [first, *client.consume(records_max - 1, 0)]
            return [first]
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception), f"Reading from {self._name} failed"
            ) from exception

    def _assign(
        self,
        client: Consumer,
        offsets: Mapping[TopicAndPartition, int],
        timeout_s: float,
        *,
        patience_s: float = 0.0,
    ) -> None:
        try:
            for topic, partition in offsets:
                self._check_partition(client, topic, partition, timeout_s)
            partitions = starting_points(client, offsets, timeout_s, patience_s=patience_s)
            client.assign(partitions)
            wake(client, partitions)
        except KafkaException as exception:
            topics = ", ".join(sorted({topic for topic, _ in offsets}))
            raise log_error(
                kafka_error(exception), f"{topics} of {self._name} could not be read"
            ) from exception

    def _check_partition(
        self, client: Consumer, topic: str, partition: int, timeout_s: float
    ) -> None:
        """Kafka's client would wait for a topic that does not exist, in case that somebody makes it."""
        count = self._partitions_by_topic.get(topic)
        if count is None:
            found = client.list_topics(topic, timeout_s).topics[topic]
            if found.error is not None:
                raise log_error(found.error, f"{topic} of {self._name} could not be read")
            count = self._partitions_by_topic[topic] = len(found.partitions)
        if partition >= count:
            raise TopicError(
                f"{topic}-{partition} of {self._name} could not be read: the topic has {count} partitions, counted "
                "from 0. Compare it with what is wanted (`weft topics check`)."
            )

    def close(self) -> None:
        clients = (self._follower, self._to_end, self._at)
        self._follower = self._to_end = self._at = None
        for client in clients:
            if client is not None:
                client.close()
