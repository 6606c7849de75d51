"""The transaction coordinator: who holds a transactional ID, and how each transaction ends.

A decision comes first; the markers that tell it to the partitions, and to the groups whose offsets are in it, arrive
later and one by one. Until all have arrived the producer cannot add to its next transaction, and nobody gets the ID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto

from tests.simulation.log import _menu
from tests.simulation.log._answers import Refusal, RefusedError
from tests.simulation.log._bell import Bell
from tests.simulation.log._group_offsets import GroupOffsets
from tests.simulation.log._network import Availability, Network
from tests.simulation.log._observer import Observer
from tests.simulation.log._partition import Partition

_LATE_S_MAX = 5.0
_MARKER_S_MAX = 0.00005
"""Mostly a marker is there before the producer has its answer, and nothing promises that."""


class Phase(Enum):
    IDLE = auto()
    ONGOING = auto()
    DECIDED = auto()
    """Markers are under way."""


class Holder:
    """What the coordinator knows about one transactional ID."""

    def __init__(self, network: Network, transactional_id: str, producer_id: int) -> None:
        self.transactional_id = transactional_id
        self.producer_id = producer_id
        self.epoch = -1
        self.phase = Phase.IDLE
        self.timeout_s = 0.0
        self.partitions: dict[Partition, None] = {}
        self.groups: dict[GroupOffsets, None] = {}
        self.ended: tuple[int, bool] | None = None
        """(epoch, committed) of the last transaction that its own producer ended: asking again is harmless."""
        self.number = 0
        """Counts the transactions."""
        self.markers_due = 0
        self.completed = Bell(network.scheduler)
        self.when_complete: list[Callable[[], object]] = []


class TransactionCoordinator:
    def __init__(self, network: Network, observers: list[Observer]) -> None:
        self._network = network
        self._observers = observers
        self.holders: dict[str, Holder] = {}
        self.availability = Availability(network, _menu.TRANSACTIONS_AWAY)

    def holder(self, transactional_id: str) -> Holder:
        """What is known of the ID; it is made known if it was not."""
        found = self.holders.get(transactional_id)
        if found is None:
            found = Holder(self._network, transactional_id, 1000 + len(self.holders))
            self.holders[transactional_id] = found
        return found

    def take(self, transactional_id: str, timeout_s: float) -> tuple[int, int]:
        """The producer ID and its next epoch.

        Raises RefusedError (CONCURRENT) while an old transaction is not complete; an open one is aborted first.
        """
        holder = self.holder(transactional_id)
        if holder.phase is Phase.ONGOING:
            self._abort_for_good(holder)
        if holder.phase is Phase.DECIDED:
            raise RefusedError(Refusal.CONCURRENT)
        holder.epoch += 1
        holder.timeout_s = timeout_s
        for observer in self._observers:
            observer.taken(transactional_id, holder.producer_id, holder.epoch)
        return holder.producer_id, holder.epoch

    def add(
        self,
        transactional_id: str,
        epoch: int,
        partitions: Iterable[Partition] = (),
        groups: Iterable[GroupOffsets] = (),
    ) -> Holder:
        """Make these part of the epoch's transaction, which begins with the first of them."""
        holder = self._checked(transactional_id, epoch)
        if holder.phase is Phase.DECIDED:
            raise RefusedError(Refusal.CONCURRENT)
        if holder.phase is Phase.IDLE:
            holder.phase = Phase.ONGOING
            holder.number += 1
            number = holder.number
            self._network.timers.after(
                holder.timeout_s, lambda: self._time_out(holder, epoch, number)
            )
        holder.partitions.update(dict.fromkeys(partitions))
        holder.groups.update(dict.fromkeys(groups))
        return holder

    def verify(self, transactional_id: str, epoch: int, partition: Partition) -> None:
        """Before records are written: they must belong to the transaction that is open now."""
        holder = self._checked(transactional_id, epoch)
        if holder.phase is not Phase.ONGOING or partition not in holder.partitions:
            raise RefusedError(Refusal.WRONG_PHASE)

    def verify_offsets(self, transactional_id: str, epoch: int, offsets: GroupOffsets) -> None:
        """The same before offsets are added."""
        holder = self._checked(transactional_id, epoch)
        if holder.phase is not Phase.ONGOING or offsets not in holder.groups:
            raise RefusedError(Refusal.WRONG_PHASE)

    def end(self, transactional_id: str, epoch: int, *, committed: bool) -> None:
        """Decide the epoch's transaction. Returns before the markers have arrived."""
        holder = self._checked(transactional_id, epoch)
        if holder.phase is not Phase.ONGOING:
            if holder.ended != (epoch, committed):
                raise RefusedError(Refusal.WRONG_PHASE)
            return
        holder.ended = (epoch, committed)
        self._decide(holder, committed=committed)

    def _checked(self, transactional_id: str, epoch: int) -> Holder:
        holder = self.holder(transactional_id)
        if holder.epoch != epoch:
            raise RefusedError(Refusal.FENCED)
        return holder

    def _time_out(self, holder: Holder, epoch: int, number: int) -> None:
        if (holder.epoch, holder.number, holder.phase) == (epoch, number, Phase.ONGOING):
            self._abort_for_good(holder)

    def _abort_for_good(self, holder: Holder) -> None:
        """Abort what is open, and fence whoever opened it."""
        epoch = holder.epoch
        holder.epoch += 1
        self._decide(holder, committed=False, epoch=epoch)

    def _decide(self, holder: Holder, *, committed: bool, epoch: int | None = None) -> None:
        holder.phase = Phase.DECIDED
        opened_by = holder.epoch if epoch is None else epoch
        for observer in self._observers:
            observer.decided(
                holder.transactional_id, holder.producer_id, opened_by, committed=committed
            )
        producer = (holder.producer_id, holder.epoch)
        arrivals: list[tuple[str, Callable[[], float]]] = [
            (_menu.MARKER_LATE, self._marking(holder, partition, producer, committed=committed))
            for partition in holder.partitions
        ]
        arrivals += [
            (_menu.GROUP_MARKER_LATE, self._settling(holder, offsets, committed=committed))
            for offsets in holder.groups
        ]
        holder.partitions.clear()
        holder.groups.clear()
        holder.markers_due = len(arrivals)
        for fault, arrive in arrivals:
            self._send(fault, arrive)

    def _send(self, fault: str, arrive: Callable[[], float]) -> None:
        network = self._network
        delay_s = network.random.random() * _MARKER_S_MAX
        if network.faults.fires(fault):
            delay_s = network.long_s(0.001, _LATE_S_MAX)
        network.timers.after(delay_s, lambda: self._try(arrive))

    def _try(self, arrive: Callable[[], float]) -> None:
        """Deliver a marker, or come again when its leader is back."""
        away_s = arrive()
        if away_s > 0:
            self._network.timers.after(away_s, lambda: self._try(arrive))

    def _marking(
        self, holder: Holder, partition: Partition, producer: tuple[int, int], *, committed: bool
    ) -> Callable[[], float]:
        def arrive() -> float:
            if partition.is_away:
                return partition.leader.until_s - self._network.now
            marker = partition.mark(producer, committed=committed)
            for observer in self._observers:
                observer.appended([marker])
            self._count_down(holder)
            return 0.0

        return arrive

    def _settling(
        self, holder: Holder, offsets: GroupOffsets, *, committed: bool
    ) -> Callable[[], float]:
        def arrive() -> float:
            offsets.settle(holder.producer_id, committed=committed)
            self._count_down(holder)
            return 0.0

        return arrive

    def _count_down(self, holder: Holder) -> None:
        holder.markers_due -= 1
        if holder.markers_due:
            return
        holder.phase = Phase.IDLE
        holder.completed.ring()
        waiting, holder.when_complete = holder.when_complete, []
        for function in waiting:
            function()
