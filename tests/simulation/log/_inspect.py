"""The brokers' state as it is, for checkers. Nothing here takes time, and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tests.simulation.log._groups import State
from tests.simulation.log._partition import Entry, Partition
from tests.simulation.log._transactions import Phase
from weft.log import LogRecord, TopicPartition

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster


class Inspection:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def partition(self, topic: str, number: int) -> Partition:
        return self._cluster.topics.partition(topic, number)

    def places(self) -> list[TopicPartition]:
        """Every partition of every topic."""
        return [
            partition.place
            for topic in self._cluster.topics.by_name.values()
            for partition in topic.partitions
        ]

    def entries(self, topic: str, number: int) -> Sequence[Entry]:
        """What is there now: records, aborted and undecided ones too, and markers."""
        return self.partition(topic, number).entries

    def everything(self, topic: str, number: int) -> Sequence[Entry]:
        """What ever was there, compacted or not."""
        return self.partition(topic, number).archive

    def committed_records(self, topic: str, number: int) -> list[LogRecord]:
        """What a reader from the start would see."""
        partition = self.partition(topic, number)
        records, _ = partition.read(
            partition.start_offset, max(len(partition.entries), 1), committed=True
        )
        return records

    def committed_offsets(self, group: str) -> Mapping[TopicPartition, int]:
        return self._cluster.group(group).offsets.committed

    def undecided_offsets(self, group: str) -> Mapping[int, Mapping[TopicPartition, int]]:
        """By producer ID."""
        return self._cluster.group(group).offsets.pending

    def members(self, group: str) -> dict[str, tuple[int, ...]]:
        """Who has what by the last assignment, by instance ID, or member ID where there is none."""
        members = self._cluster.group(group).members.values()
        return {member.name: member.assigned for member in members}

    def owned(self, group: str) -> list[int]:
        """The partitions that somebody has, in order."""
        return sorted(number for numbers in self.members(group).values() for number in numbers)

    def is_at_rest(self, group: str) -> bool:
        """No rebalance is under way."""
        return self._cluster.group(group).state in (State.STABLE, State.EMPTY)

    def open_transactions(self) -> dict[str, int]:
        """The epoch of every transactional ID that has a transaction open, or not complete."""
        return {
            holder.transactional_id: holder.epoch
            for holder in self._cluster.transactions.holders.values()
            if holder.phase is not Phase.IDLE
        }

    def epochs(self) -> dict[str, tuple[int, int]]:
        """(producer ID, present epoch) by transactional ID."""
        return {
            holder.transactional_id: (holder.producer_id, holder.epoch)
            for holder in self._cluster.transactions.holders.values()
        }
