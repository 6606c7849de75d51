"""A group's committed offsets, and those that wait for the end of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.simulation.log._answers import Refusal, RefusedError
from tests.simulation.log._bell import Bell
from tests.simulation.log._network import Network
from tests.simulation.log._observer import Observer
from weft.log import TopicPartition


class GroupOffsets:
    def __init__(self, network: Network, group: str, observers: list[Observer]) -> None:
        self.group = group
        self.committed: dict[TopicPartition, int] = {}
        self.pending: dict[int, dict[TopicPartition, int]] = {}
        """By producer ID: what its transaction will commit."""
        self._committed_at: dict[TopicPartition, int] = {}
        self._pending_at: dict[int, dict[TopicPartition, int]] = {}
        """When each was written to the log of offsets: the later one counts, not the one that was decided later."""
        self._written_count = 0
        self.settled = Bell(network.scheduler)
        self._observers = observers

    def _written(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self._written_count += 1
        return dict.fromkeys(places, self._written_count)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._put(next_offsets, self._written(next_offsets))

    def _put(
        self, next_offsets: Mapping[TopicPartition, int], written: Mapping[TopicPartition, int]
    ) -> None:
        newer = {
            place: offset
            for place, offset in next_offsets.items()
            if written[place] > self._committed_at.get(place, 0)
        }
        self.committed.update(newer)
        self._committed_at.update({place: written[place] for place in newer})
        for observer in self._observers:
            observer.offsets(self.group, newer)

    def add(self, producer_id: int, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit these when the producer's transaction is committed."""
        self.pending.setdefault(producer_id, {}).update(next_offsets)
        self._pending_at.setdefault(producer_id, {}).update(self._written(next_offsets))

    def settle(self, producer_id: int, *, committed: bool) -> None:
        """The end of the transaction has arrived."""
        next_offsets = self.pending.pop(producer_id, {})
        written = self._pending_at.pop(producer_id, {})
        if committed:
            self._put(next_offsets, written)
        self.settled.ring()

    def undecided(self, places: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Those among the partitions that an open transaction is about to change."""
        if not self.pending:
            return set()
        return {place for place in places for offsets in self.pending.values() if place in offsets}

    def read(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The committed ones. Raises RefusedError (UNSTABLE_OFFSETS) while one is undecided."""
        wanted = list(places)
        if self.undecided(wanted):
            raise RefusedError(Refusal.UNSTABLE_OFFSETS)
        return {place: self.committed[place] for place in wanted if place in self.committed}
