"""A partition as its leader has it: records and markers at offsets, and which of them are decided."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

from tests.simulation.log import _menu
from tests.simulation.log._bell import Bell
from tests.simulation.log._network import Availability, Network
from weft.log import Headers, LogRecord, TopicPartition

PendingRecord = tuple[bytes | None, bytes | None, Headers]
"""(key, value, headers)"""


class Entry:
    """What stands at one offset: a record, or a transaction's end (`record` is None then)."""

    __slots__ = ("cleaned_s", "decided", "epoch", "offset", "producer_id", "record", "topic")

    def __init__(
        self,
        topic: TopicPartition,
        offset: int,
        record: LogRecord | None,
        producer: tuple[int, int],
        *,
        decided: bool | None,
    ) -> None:
        self.topic = topic
        self.offset = offset
        self.record = record
        self.producer_id, self.epoch = producer
        """-1 and -1 for a plain record."""
        self.decided = decided
        """True: committed (or plain). False: aborted. None: still open. Of a marker: which of the two it says."""
        self.cleaned_s: float | None = None
        """When a cleaning first left this tombstone, or marker, as it is."""

    def __repr__(self) -> str:
        what = "marker" if self.record is None else f"{self.record.key!r}={self.record.value!r}"
        return f"{self.offset}: {what} of {self.producer_id}/{self.epoch} {self.decided}"


class Partition:
    """Written by brokers only. Readers that wait leave their bell in `bells`."""

    def __init__(self, network: Network, topic: str, number: int, wall_start_s: float) -> None:
        self.place: TopicPartition = (topic, number)
        self.offsets: list[int] = []
        self.entries: list[Entry] = []
        """What is still there, at `offsets` (sorted, with gaps)."""
        self.archive: list[Entry] = []
        """Everything that ever was there."""
        self.start_offset = 0
        self.end_offset = 0
        self.stable_end = 0
        """The last stable offset: read_committed ends before it."""
        self.open: dict[int, list[Entry]] = {}
        """What is undecided, by producer ID, the first one first."""
        self.epoch_by_producer: dict[int, int] = {}
        self.bells: dict[Bell, None] = {}
        self.deleted = False
        self.leader = Availability(network, _menu.LEADER_AWAY)
        self.leader.on_return = self.ring
        self._network = network
        self._wall_start_s = wall_start_s

    @property
    def is_away(self) -> bool:
        return self.leader.until_s > self._network.now

    def append(
        self, records: Iterable[PendingRecord], producer: tuple[int, int] = (-1, -1)
    ) -> list[Entry]:
        """Write records: plain ones, or those of a transaction (producer ID and epoch), which stay undecided."""
        topic, number = self.place
        timestamp_ms = int((self._wall_start_s + self._network.now) * 1000)
        decided = True if producer[0] < 0 else None
        added: list[Entry] = []
        for key, value, headers in records:
            offset = self.end_offset + len(added)
            record = LogRecord(topic, number, offset, key, value, timestamp_ms, headers)
            added.append(Entry(self.place, offset, record, producer, decided=decided))
        if decided is None:
            self.epoch_by_producer[producer[0]] = producer[1]
            self.open.setdefault(producer[0], []).extend(added)
        self._add(added)
        return added

    def mark(self, producer: tuple[int, int], *, committed: bool) -> Entry:
        """Write the end of a transaction. It takes an offset of its own, also where nothing was written."""
        for entry in self.open.pop(producer[0], ()):
            entry.decided = committed
        self.epoch_by_producer[producer[0]] = producer[1]
        marker = Entry(self.place, self.end_offset, None, producer, decided=committed)
        self._add([marker])
        return marker

    def _add(self, entries: Sequence[Entry]) -> None:
        self.offsets += [entry.offset for entry in entries]
        self.entries += entries
        self.archive += entries
        self.end_offset += len(entries)
        first_open = next(iter(self.open.values()), None)
        self.stable_end = first_open[0].offset if first_open else self.end_offset
        self.ring()

    def ring(self) -> None:
        """Tell who waits for records here."""
        for bell in list(self.bells):
            if bell.process.alive:
                bell.ring()
            else:
                del self.bells[bell]

    def end(self, *, committed: bool) -> int:
        return self.stable_end if committed else self.end_offset

    def read(
        self, offset: int, records_max: int, *, committed: bool
    ) -> tuple[list[LogRecord], int]:
        """Records from `offset` on, and where the next read goes on."""
        end = self.end(committed=committed)
        records: list[LogRecord] = []
        entries = self.entries
        index = bisect_left(self.offsets, offset)
        count = len(entries)
        while index < count and len(records) < records_max:
            entry = entries[index]
            if entry.offset >= end:
                break
            index += 1
            if entry.record is not None and (entry.decided or not committed):
                records.append(entry.record)
        if index < count and entries[index].offset < end:
            return records, entries[index].offset
        return records, max(end, offset)

    def at(self, offsets: Collection[int]) -> list[LogRecord]:
        """The records at these offsets that are still there, decided or not."""
        wanted = set(offsets)
        return [
            entry.record
            for entry in self.entries
            if entry.offset in wanted and entry.record is not None
        ]

    def replace(self, entries: Sequence[Entry]) -> int:
        """Keep these only (a cleaning); returns how many went."""
        gone = len(self.entries) - len(entries)
        self.entries = list(entries)
        self.offsets = [entry.offset for entry in entries]
        return gone
