"""A group's coordinator: Kafka's classic protocol.

A rebalance begins when somebody joins, leaves, stays away beyond the session, or comes back with other partitions than
before. The barrier waits until every known member has joined again; then there is a new generation, its leader says who
gets what, and everybody fetches that. While the barrier waits, the old generation still counts: so who has to give
something up can still commit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from tests.simulation.log import _menu
from tests.simulation.log._answers import Refusal, RefusedError
from tests.simulation.log._balance import cooperative, eager
from tests.simulation.log._bell import Bell
from tests.simulation.log._group_offsets import GroupOffsets
from tests.simulation.log._network import Availability, Network
from tests.simulation.log._observer import Observer
from weft.log import TopicPartition

REBALANCE_TIMEOUT_S = 300.0
"""How long the barrier waits for who does not come: the members' max.poll.interval."""
NOTICE_S_MAX = 0.3
"""A rebalance begins for a member with its next heartbeat."""


class State(Enum):
    EMPTY = auto()
    JOINING = auto()
    """The barrier: waits until everybody has joined again."""
    SYNCING = auto()
    """The new generation waits for its leader."""
    STABLE = auto()


class Member:
    def __init__(
        self, member_id: str, instance_id: str | None, session_timeout_s: float, bell: Bell
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.session_timeout_s = session_timeout_s
        self.bell = bell
        self.owned: frozenset[int] = frozenset()
        self.claim_generation = -1
        self.waits = False
        """In the barrier."""
        self.syncs = False
        """Waits for the leader's assignment."""
        self.generation = -1
        """The last one that it joined."""
        self.assigned: tuple[int, ...] = ()
        self.seen_s = 0.0

    @property
    def name(self) -> str:
        return self.instance_id or self.member_id


class Group:
    """One group and its members. The client's side of each call is `_membership`."""

    def __init__(
        self, network: Network, name: str, observers: list[Observer], *, is_cooperative: bool
    ) -> None:
        self.name = name
        self.offsets = GroupOffsets(network, name, observers)
        self.state = State.EMPTY
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.partition_count = 0
        self.availability = Availability(network, _menu.GROUPS_AWAY)
        self.availability.on_return = self._start_sessions
        self.is_cooperative = is_cooperative
        self._network = network
        self._observers = observers
        self._leader = ""
        self._member_count = 0
        self._rebalance_number = 0

    # What members ask.

    def join(
        self,
        member: Member,
        owned: frozenset[int],
        claim_generation: int,
        partition_count: int,
    ) -> None:
        """Enter the barrier, or continue at once. `member.waits` says which; its bell rings at the barrier's end."""
        self.partition_count = partition_count
        known = self.members.get(member.member_id)
        if known is None:
            if member.member_id:
                raise RefusedError(self._why_unknown(member))
            self._enter(member)
            if self._replaces(member):
                return
        changed = known is None or owned != member.owned
        member.owned, member.claim_generation = owned, claim_generation
        if self.state is State.STABLE and not changed and member.member_id != self._leader:
            member.generation = self.generation
            return
        if self.state is not State.JOINING:
            self.rebalance()
        member.waits = True
        self._end_barrier_if_complete()

    def _enter(self, member: Member) -> None:
        self._member_count += 1
        member.member_id = f"{member.instance_id or 'member'}-{self._member_count}"
        member.seen_s = self._network.now
        self._watch_session(member)

    def _replaces(self, member: Member) -> bool:
        """Whether it is the return of a static member to a group at rest: it has its partitions back at once."""
        former = next(
            (
                other
                for other in self.members.values()
                if other.instance_id is not None and other.instance_id == member.instance_id
            ),
            None,
        )
        if former is None:
            self.members[member.member_id] = member
            return False
        member.assigned = former.assigned
        renamed = {former.member_id: member}
        self.members = {
            known.member_id: known
            for known in (renamed.get(key, other) for key, other in self.members.items())
        }
        if self._leader == former.member_id:
            self._leader = member.member_id
        former.waits = former.syncs = False
        former.bell.ring()
        member.generation = self.generation
        return self.state is State.STABLE

    def sync(self, member: Member, generation: int) -> bool:
        """Whether the generation's assignment is there (`member.assigned`); else its bell will ring.

        Raises RefusedError.
        """
        self.check(member, generation)
        if self.state is State.JOINING:
            raise RefusedError(Refusal.REBALANCING)
        if self.state is State.SYNCING and member.member_id == self._leader:
            self._assign()
        member.syncs = self.state is not State.STABLE
        return not member.syncs

    def heartbeat(self, member: Member, generation: int) -> None:
        self.check(member, generation)
        member.seen_s = self._network.now
        if self._network.faults.fires(_menu.REBALANCE) and self.state is State.STABLE:
            self.rebalance()
        if self.state is State.JOINING:
            raise RefusedError(Refusal.REBALANCING)

    def leave(self, member: Member) -> None:
        if self.members.get(member.member_id) is member:
            self._remove(member)

    def check(self, member: Member, generation: int) -> None:
        """Raises RefusedError unless it is a member, of this generation."""
        self.check_proof(member.member_id, member.instance_id, generation)

    def check_proof(self, member_id: str, instance_id: str | None, generation: int) -> None:
        known = self.members.get(member_id)
        if known is None:
            is_replaced = instance_id is not None and any(
                member.instance_id == instance_id for member in self.members.values()
            )
            raise RefusedError(Refusal.FENCED_INSTANCE if is_replaced else Refusal.UNKNOWN_MEMBER)
        if generation != self.generation:
            raise RefusedError(Refusal.STALE_GENERATION)

    def _why_unknown(self, member: Member) -> Refusal:
        try:
            self.check_proof(member.member_id, member.instance_id, self.generation)
        except RefusedError as error:
            return error.refusal
        return Refusal.UNKNOWN_MEMBER

    def commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        next_offsets: Mapping[TopicPartition, int],
    ) -> None:
        """Outside of a transaction. A group without members takes offsets from anybody without a generation."""
        if generation >= 0 or self.members:
            self.check_proof(member_id, instance_id, generation)
        if self.state is State.SYNCING:
            raise RefusedError(Refusal.REBALANCING)
        self.offsets.commit(next_offsets)

    def is_whole(self) -> bool | None:
        """Whether every partition is assigned; None while the group is not at rest."""
        if self.state is not State.STABLE:
            return None
        count = sum(len(member.assigned) for member in self.members.values())
        return count == self.partition_count

    # What becomes of that.

    def rebalance(self) -> None:
        """Call everybody to the barrier."""
        self.state = State.JOINING
        self._rebalance_number += 1
        number = self._rebalance_number
        self._network.timers.after(REBALANCE_TIMEOUT_S, lambda: self._end_barrier_late(number))
        for member in self.members.values():
            if member.syncs:
                member.syncs = False
                member.bell.ring()
            delay_s = self._network.random.random() * NOTICE_S_MAX
            self._network.timers.after(delay_s, member.bell.ring)

    def _end_barrier_if_complete(self) -> None:
        if self.state is State.JOINING and all(member.waits for member in self.members.values()):
            self._end_barrier()

    def _end_barrier_late(self, number: int) -> None:
        if self.state is State.JOINING and number == self._rebalance_number:
            for member in [one for one in self.members.values() if not one.waits]:
                del self.members[member.member_id]
            self._end_barrier()

    def _end_barrier(self) -> None:
        self.generation += 1
        self._rebalance_number += 1
        if not self.members:
            self.state = State.EMPTY
            return
        self.state = State.SYNCING
        if self._leader not in self.members:
            self._leader = next(iter(self.members))
        for member in self.members.values():
            member.waits = False
            member.generation = self.generation
            member.seen_s = self._network.now
            member.assigned = ()
            self._network.later(member.bell.ring)

    def _assign(self) -> None:
        if self.is_cooperative:
            by_claim = sorted(self.members.values(), key=lambda member: member.claim_generation)
            owned = {member.member_id: member.owned for member in by_claim}
            assignment = cooperative(owned, self.partition_count)
        else:
            assignment = eager(list(self.members), self.partition_count)
        self.state = State.STABLE
        for member in self.members.values():
            member.assigned = assignment[member.member_id]
            if member.syncs:
                member.syncs = False
                member.seen_s = self._network.now
                self._network.later(member.bell.ring)
        named = {member.name: member.assigned for member in self.members.values()}
        for observer in self._observers:
            observer.generation(self.name, self.generation, named)

    def _remove(self, member: Member) -> None:
        del self.members[member.member_id]
        if self.state is not State.JOINING:
            self.rebalance()
        self._end_barrier_if_complete()

    # Sessions.

    def _start_sessions(self) -> None:
        """A coordinator that comes back knows when nobody was seen: everybody gets a whole session."""
        for member in self.members.values():
            member.seen_s = self._network.now

    def _watch_session(self, member: Member) -> None:
        left_s = member.seen_s + member.session_timeout_s - self._network.now
        self._network.timers.after(max(left_s, 0.0), lambda: self._expire(member))

    def _expire(self, member: Member) -> None:
        if self.members.get(member.member_id) is not member:
            return
        now = self._network.now
        if member.waits or member.syncs or self.availability.until_s > now:
            member.seen_s = now
        if member.seen_s + member.session_timeout_s <= now:
            self._remove(member)
        else:
            self._watch_session(member)
