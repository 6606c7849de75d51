"""A member of a consumer group that owns the same partition numbers on several topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._answers import FENCED, Refusal, RefusedError
from tests.simulation.log._fetcher import Fetcher
from tests.simulation.log._membership import Change, Membership
from tests.simulation.log._network import Connection, call
from tests.simulation.log._partition import Partition
from weft.errors import FencedError, LogError, LogUnavailableError, UsageError
from weft.log import FROM_START, AssignmentListener, LogRecord, TopicPartition
from weft.log.kafka._orphans import OrphanWatch

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_STALLED_S = 0.5
_OFFSETS_PATIENCE_S = 60.0
_COMMIT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class SimulatedMember:
    """Proof of a membership."""

    group: str
    member_id: str
    instance_id: str | None
    generation: int


class SimulatedGroupConsumer:
    """Implements `weft.log.GroupConsumer`, as the Kafka backend does.

    An error that the listener raises comes out of `poll` or `close`, and ends this consumer.
    """

    def __init__(
        self,
        cluster: Cluster,
        connection: Connection,
        group: str,
        topics: Sequence[str],
        listener: AssignmentListener,
        *,
        instance_id: str | None,
        session_timeout_s: float,
    ) -> None:
        self.connection = connection
        self._cluster = cluster
        self._group = cluster.group(group)
        self._topics = tuple(topics)
        self._listener = listener
        self._fetcher = Fetcher(cluster, connection, committed=True)
        self._paused: set[int] = set()
        self._broken: BaseException | None = None
        self._closing = False
        self._closed = False
        self._membership = Membership(
            connection,
            self._group,
            instance_id,
            session_timeout_s,
            len(cluster.topics.topic(topics[0]).partitions),
            self._fetcher.bell,
        )

        self._orphans = OrphanWatch(self._is_whole, lambda: connection.now)
        self._orphans.is_over = instance_id is None

    def _is_whole(self) -> bool | None:
        self.connection.travel()
        return self._group.is_whole()

    @property
    def _owned(self) -> set[int]:
        return self._membership.owned

    @call
    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        """Raises `FencedError` when another process joined with this member's instance ID; that does not pass."""
        self._check_usable()
        deadline_s = self.connection.now + timeout_s
        membership = self._membership
        membership.polls = True
        try:
            self._fetcher.start_poll()
            if self._orphans.finds_orphans():
                membership.leave_and_join()
            while True:
                self._carry_out_changes()
                records = self._fetcher.fetch(records_max)
                if records or not self._fetcher.wait(deadline_s):
                    return records
        finally:
            membership.polls = False
            membership.last_poll_s = self.connection.now

    def _carry_out_changes(self) -> None:
        membership = self._membership
        while membership.changes:
            change = membership.changes[0]
            try:
                self._carry_out(change)
            except BaseException as error:
                self._broken = error
                raise
            if membership.changes and membership.changes[0] is change:
                membership.changes.popleft()
            membership.carried_out()
        if membership.is_fenced:
            self._broken = FencedError(
                f"Another process joined group {self._group.name} of {self._cluster.name} with this member's instance "
                "ID and has its partitions now."
            )
            raise self._broken

    def _carry_out(self, change: Change) -> None:
        if change.what == "assigned":
            self._assign(change)
            return
        numbers = sorted(self._owned.intersection(change.partitions))
        if not numbers:
            return
        if change.what == "lost":
            self._release(numbers)
            self._listener.on_lost(numbers)
            return
        try:
            self._listener.on_revoked(numbers)
        finally:
            self._release(numbers)

    def _assign(self, change: Change) -> None:
        numbers = list(change.partitions)
        wanted = [(topic, number) for number in numbers for topic in self._topics]
        committed = self._decided_offsets(wanted, change)
        if committed is None:
            return
        for place in wanted:
            self._fetcher.add(place, committed.get(place, FROM_START))
        self._owned.update(numbers)
        self._paused.update(numbers)
        self._listener.on_assigned(numbers)

    def _decided_offsets(
        self, wanted: Sequence[TopicPartition], change: Change
    ) -> dict[TopicPartition, int] | None:
        """The committed offsets, or None when the partitions were lost meanwhile.

        As long as some are undecided, the listener is told which, every 500 ms.
        """
        deadline_s = self.connection.now + _OFFSETS_PATIENCE_S
        while True:
            try:
                committed = self.committed(wanted, _STALLED_S)
            except LogUnavailableError:
                if self.connection.now > deadline_s:
                    raise
                committed = None
            changes = self._membership.changes
            if not changes or changes[0] is not change:
                return None
            if committed is not None:
                return committed
            undecided = self._group.offsets.undecided(wanted)
            if undecided:
                self._listener.on_stalled(sorted({number for _, number in undecided}))

    def _release(self, numbers: Sequence[int]) -> None:
        self._owned.difference_update(numbers)
        self._paused.difference_update(numbers)
        self._fetcher.remove(self._partitions(numbers))

    def _partitions(self, numbers: Iterable[int]) -> list[Partition]:
        topics = self._cluster.topics.by_name
        return [
            topics[topic].partitions[number]
            for number in numbers
            for topic in self._topics
            if topic in topics
        ]

    def resume(self, partitions: Sequence[int]) -> None:
        """Partitions not owned any more are passed over. Takes no time."""
        self._check_usable()
        numbers = self._paused.intersection(partitions)
        self._paused -= numbers
        self._fetcher.activate(self._partitions(sorted(numbers)))

    def pause(self, partitions: Sequence[int]) -> None:
        """As `resume`, partitions not owned any more are passed over."""
        self._check_usable()
        numbers = self._owned.intersection(partitions) - self._paused
        self._paused |= numbers
        self._fetcher.deactivate(self._partitions(sorted(numbers)))

    @call
    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `UsageError` for a partition that is not owned, or a topic that the group does not read."""
        self._check_usable()
        if topic not in self._topics or partition not in self._owned:
            raise UsageError(
                f"seek: {topic}-{partition} is not this member's in group {self._group.name}."
            )
        if offset < 0:
            self.connection.travel()
        self._fetcher.seek((topic, partition), offset)

    def member(self) -> SimulatedMember:
        """Raises `FencedError` while there is no generation, or nothing is owned."""
        self._check_usable()
        membership = self._membership
        if membership.generation < 0 or not self._owned:
            raise FencedError(f"This process is no member of group {self._group.name} at present.")
        return SimulatedMember(
            self._group.name, membership.member_id, membership.instance_id, membership.generation
        )

    @call
    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._check_usable()
        if not next_offsets:
            return
        connection, membership = self.connection, self._membership
        network = connection.network
        what = f"Committing offsets of group {self._group.name}"
        is_lost = network.faults.fires(_menu.OFFSET_COMMIT_FAILS)
        if is_lost and network.random.random() < 0.5:
            connection.travel()
            raise LogUnavailableError(f"{what} failed.")
        try:
            connection.ask(self._group.availability, connection.now + _COMMIT_TIMEOUT_S)
            self._group.commit(
                membership.member_id, membership.instance_id, membership.generation, next_offsets
            )
        except RefusedError as error:
            raise self._failure(error, what) from None
        connection.travel()
        if is_lost:
            raise LogUnavailableError(f"{what} was not answered.")

    @call
    def committed(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, int]:
        self._check_usable()
        connection, offsets = self.connection, self._group.offsets
        deadline_s = connection.now + timeout_s
        what = f"Reading the committed offsets of group {self._group.name}"
        if connection.network.faults.fires(_menu.COMMITTED_FAILS):
            connection.scheduler.sleep(timeout_s)
            raise LogUnavailableError(f"{what} failed.")
        try:
            connection.ask(self._group.availability, deadline_s)
            while offsets.undecided(partitions) and connection.now < deadline_s:
                offsets.settled.wait(deadline_s - connection.now)
            found = offsets.read(partitions)
        except RefusedError as error:
            raise self._failure(error, what) from None
        connection.travel()
        return found

    def _failure(self, error: RefusedError, what: str) -> LogError:
        failure = f"{what} on {self._cluster.name} failed: {error}."
        if error.refusal is Refusal.FENCED_INSTANCE:
            self._broken = FencedError(failure)
            return self._broken
        return FencedError(failure) if error.refusal in FENCED else LogUnavailableError(failure)

    def _check_usable(self) -> None:
        self.connection.check()
        if self._closed:
            raise UsageError(f"A member of group {self._group.name} was used after it was closed.")
        if self._broken is not None:
            raise self._broken

    @call
    def close(self) -> None:
        """The listener may still commit what it gives up."""
        if self._closed or self._closing:
            return
        self._closing = True
        membership = self._membership
        try:
            numbers = tuple(sorted(self._owned))
            is_lost = membership.generation < 0
            membership.changes.clear()
            if numbers and not membership.is_fenced:
                self._carry_out(Change("lost" if is_lost else "revoked", numbers))
        finally:
            self._closed = True
            self._fetcher.clear()
            membership.close()
