"""For checkers: told of what happens at the brokers, at the moment it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.simulation.log._partition import Entry
from weft.log import TopicPartition


class Observer:
    """Does nothing; take what you need. Must not wait and must not call the log."""

    def appended(self, entries: Sequence[Entry]) -> None:
        """Records or a marker were written to one partition."""

    def taken(self, transactional_id: str, producer_id: int, epoch: int) -> None:
        """A producer has the transactional ID now, at this epoch; every older epoch is fenced."""

    def decided(
        self, transactional_id: str, producer_id: int, epoch: int, *, committed: bool
    ) -> None:
        """The transaction that this epoch had open is decided. Its markers are still on their way."""

    def generation(
        self, group: str, generation: int, partitions_by_member: Mapping[str, Sequence[int]]
    ) -> None:
        """A group is balanced. Members are named by instance ID, or member ID if they have none."""

    def offsets(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """These offsets are committed: outside of a transaction, or its end has arrived."""
