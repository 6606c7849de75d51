"""A member of a consumer group: owned partitions, their positions, and what its listener is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from weft.errors import FencedError, LogUnavailableError, TopicError, UsageError
from weft.log._api import FROM_START, AssignmentListener, LogRecord, TopicPartition
from weft.log.embedded._append import store_offsets, stored_offsets
from weft.log.embedded._catalogue import Catalogue, Topic
from weft.log.embedded._database import Shared
from weft.log.embedded._fetch import Fetcher, Watch
from weft.log.embedded._membership import Membership
from weft.log.embedded._transaction import EmbeddedMember, check_ownership

HEARTBEATS_PER_SESSION = 6
PEER_CHECK_S = 0.25
"""How often a member looks whether the processes of the others still live; it costs a few microseconds each."""


class EmbeddedGroupConsumer:
    """Implements `weft.log.GroupConsumer`. `on_stalled` never happens: nothing is ever undecided in the file."""

    def __init__(
        self,
        shared: Shared,
        catalogue: Catalogue,
        membership: Membership,
        topics: Sequence[Topic],
        listener: AssignmentListener,
    ) -> None:
        self._name = shared.name
        self._catalogue = catalogue
        self._membership = membership
        self._group = membership.group
        self._topics = topics
        self._listener = listener
        self._database = membership.database
        self._fetcher = Fetcher(self._database, catalogue)
        self._watch = Watch(self._database, shared)
        self._heartbeat_s = membership.session_timeout_s / HEARTBEATS_PER_SESSION
        self._heartbeat_due_s = 0.0
        self._peer_check_due_s = 0.0
        self._generation = -1
        self._epoch_by_partition: dict[int, int] = {}
        """Owned, and the listener knows."""
        self._member: EmbeddedMember | None = None
        self._fenced = False
        self._closed = False
        membership.join()
        self._note_heartbeat()

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        """Raises `FencedError` when another process joined with this member's instance ID; that does not pass."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._follow_membership()
            records = self._fetcher.fetch(records_max)
            if records:
                self._watch.note_records()
                return records
            if time.monotonic() >= deadline_s:
                return []
            self._watch.wait(min(deadline_s, self._heartbeat_due_s, self._peer_check_due_s))

    def _follow_membership(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._peer_check_due_s:
            self._peer_check_due_s = now_s + PEER_CHECK_S
            if self._membership.sees_dead_peer():
                self._heartbeat_due_s = now_s
        if now_s >= self._heartbeat_due_s:
            self._membership.heartbeat()
            self._note_heartbeat()
        while self._membership.generation() != self._generation:
            self._reconcile()

    def _note_heartbeat(self) -> None:
        self._heartbeat_due_s = time.monotonic() + self._heartbeat_s

    def _reconcile(self) -> None:
        """Bring what this member holds one step nearer to the file; `_generation` says how far it got."""
        view = self._membership.view()
        if not view.present:
            self._forget_lost({})
            self._fenced = self._fenced or view.replaced
            if self._fenced:
                raise self._replaced()
            self._membership.join()
            self._note_heartbeat()
            return
        self._forget_lost(view.epoch_by_partition)
        leaving = {partition: view.epoch_by_partition[partition] for partition in view.leaving}
        if leaving:
            try:
                self._tell_revoked(leaving)
            finally:
                self._membership.release(leaving)
            return
        if view.takeable_count:
            self._membership.take()
            return
        self._generation = view.generation
        self._adopt(view.epoch_by_partition)

    def _replaced(self) -> FencedError:
        return FencedError(
            f"Another process joined group {self._group} of {self._name} with this member's "
            "instance ID and has its partitions now. Two processes must not share an "
            "instance ID; this one cannot go on."
        )

    def _forget_lost(self, present: Mapping[int, int]) -> None:
        lost = [
            partition
            for partition, epoch in self._epoch_by_partition.items()
            if present.get(partition) != epoch
        ]
        if lost:
            self._forget(lost)
            self._listener.on_lost(sorted(lost))

    def _tell_revoked(self, partitions: Iterable[int]) -> None:
        told = sorted(
            partition for partition in partitions if partition in self._epoch_by_partition
        )
        try:
            if told:
                self._listener.on_revoked(told)
        finally:
            self._forget(told)

    def _forget(self, partitions: Iterable[int]) -> None:
        numbers = list(partitions)
        for partition in numbers:
            del self._epoch_by_partition[partition]
        self._member = None
        self._fetcher.remove(self._partition_ids(numbers))

    def _adopt(self, present: Mapping[int, int]) -> None:
        added = sorted(set(present).difference(self._epoch_by_partition))
        if not added:
            return
        committed = self._committed_by_id()
        for partition in added:
            self._epoch_by_partition[partition] = present[partition]
            for topic in self._topics:
                partition_id = topic.partition_id(partition)
                offset = committed.get(partition_id, FROM_START)
                self._fetcher.add(partition_id, (topic.name, partition), offset)
        self._member = None
        self._listener.on_assigned(added)

    def _committed_by_id(self) -> dict[int, int]:
        return stored_offsets(self._database, self._membership.group_id)

    def _partition_ids(self, partitions: Iterable[int]) -> list[int]:
        return [topic.partition_id(partition) for partition in partitions for topic in self._topics]

    def resume(self, partitions: Sequence[int]) -> None:
        """Partitions not owned any more are passed over: a rebuild may end after its partition was revoked."""
        owned = [partition for partition in partitions if partition in self._epoch_by_partition]
        self._fetcher.activate(self._partition_ids(owned))

    def pause(self, partitions: Sequence[int]) -> None:
        owned = [partition for partition in partitions if partition in self._epoch_by_partition]
        self._fetcher.deactivate(self._partition_ids(owned))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `UsageError` for a partition that is not owned, or a topic that the group does not read."""
        found = next((candidate for candidate in self._topics if candidate.name == topic), None)
        if found is None or partition not in self._epoch_by_partition:
            raise UsageError(
                f"seek: {topic}-{partition} is not this member's in group {self._group}."
            )
        self._fetcher.seek(found.partition_id(partition), offset)

    def member(self) -> EmbeddedMember:
        if self._member is None:
            self._member = EmbeddedMember(
                self._group,
                self._membership.group_id,
                self._topics[0].topic_id,
                self._membership.member_id,
                dict(self._epoch_by_partition),
            )
        return self._member

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        member = self.member()
        pairs = [
            (self._catalogue.topic(topic).partition_id(partition), next_offset)
            for (topic, partition), next_offset in next_offsets.items()
        ]
        with self._database.write():
            check_ownership(self._database, member, next_offsets)
            store_offsets(self._database, member.group_id, pairs)

    def committed(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, int]:
        """Answers at once: no offset is ever undecided here."""
        committed = self._committed_by_id()
        found: dict[TopicPartition, int] = {}
        for topic, partition in partitions:
            next_offset = committed.get(self._catalogue.topic(topic).partition_id(partition))
            if next_offset is not None:
                found[(topic, partition)] = next_offset
        return found

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            view = self._membership.view()
            self._forget_lost(view.epoch_by_partition if view.present else {})
            self._tell_revoked(list(self._epoch_by_partition))
        finally:
            try:
                # Who cannot say that it leaves is missed when its lease is over.
                with contextlib.suppress(LogUnavailableError):
                    self._membership.leave()
            finally:
                self._database.close()


def companion_topics(catalogue: Catalogue, group: str, names: Sequence[str]) -> list[Topic]:
    """The topics of a group, the lead first. Raises `TopicError` when one is unknown or the counts differ."""
    if not names:
        raise UsageError(
            f"Group {group} was joined without a topic; name at least the one it is balanced on."
        )
    topics = [catalogue.topic(name) for name in names]
    counts = {topic.name: topic.partitions for topic in topics}
    if len(set(counts.values())) > 1:
        raise TopicError(
            f"The topics of group {group} must have the same number of partitions, and have "
            f"{counts}. Make them again with one count (`weft topics create`)."
        )
    return topics
