"""Reading chosen partitions, outside of any group."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping

from weft.log._api import LogRecord, TopicPartition
from weft.log.embedded._catalogue import Catalogue
from weft.log.embedded._database import Database, Shared
from weft.log.embedded._fetch import Fetcher, Watch, records_at

_READ_TO_END_RECORDS = 1_000


class EmbeddedReader:
    """Implements `weft.log.Reader`. Undecided records do not exist here, so `committed=False` sees the same."""

    def __init__(self, shared: Shared, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._database = Database(shared)
        self._fetcher = Fetcher(self._database, catalogue)
        self._watch = Watch(self._database, shared)

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises `TopicError` for an unknown topic or partition."""
        fetcher = Fetcher(self._database, self._catalogue)
        for (topic, partition), offset in offsets.items():
            partition_id = self._catalogue.topic(topic).partition_id(partition)
            fetcher.add(partition_id, (topic, partition), offset)
            fetcher.activate((partition_id,))
        self._fetcher = fetcher

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            records = self._fetcher.fetch(records_max)
            if records:
                self._watch.note_records()
                return records
            if time.monotonic() >= deadline_s:
                return []
            self._watch.wait(deadline_s)

    def read_to_end(
        self, offsets: Mapping[TopicPartition, int], timeout_s: float, *, undecided_s: float = 0.0
    ) -> Iterator[LogRecord]:
        """`timeout_s` is not needed here: the file answers at once, or raises after the log's busy timeout."""
        self.assign(offsets)
        return _read_to_end(self._fetcher, self._fetcher.ends())

    def read_at(
        self, offsets: Mapping[TopicPartition, Collection[int]], timeout_s: float
    ) -> list[LogRecord]:
        """As of `read_to_end`, for `timeout_s`."""
        records: list[LogRecord] = []
        for (topic, partition), wanted in offsets.items():
            partition_id = self._catalogue.topic(topic).partition_id(partition)
            records += records_at(self._database, partition_id, (topic, partition), wanted)
        return records

    def close(self) -> None:
        self._database.close()


def _read_to_end(fetcher: Fetcher, ends: Mapping[int, int]) -> Iterator[LogRecord]:
    while records := fetcher.fetch(_READ_TO_END_RECORDS, ends):
        yield from records
    # Here a fetch found nothing although some position may have been behind: the last records were compacted meanwhile.
