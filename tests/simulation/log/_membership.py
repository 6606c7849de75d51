"""The client's side of a membership: a thread of its own that joins and sends heartbeats.

What changes is put into `changes` and carried out by whoever polls; only then is it joined again. It is a task of its
process: it stops and dies with it, and the group learns that from silence.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from tests.simulation.log import _menu
from tests.simulation.log._answers import STALE_MEMBER, Refusal, RefusedError
from tests.simulation.log._bell import Bell
from tests.simulation.log._groups import REBALANCE_TIMEOUT_S, Group, Member
from tests.simulation.log._network import Connection

_HEARTBEATS_PER_SESSION = 3


@dataclass(eq=False, slots=True)
class Change:
    what: str
    """`assigned`, `revoked` or `lost`."""
    partitions: tuple[int, ...]


class Membership:
    def __init__(
        self,
        connection: Connection,
        group: Group,
        instance_id: str | None,
        session_timeout_s: float,
        partition_count: int,
        news: Bell,
    ) -> None:
        self.group = group
        self.instance_id = instance_id
        self.generation = -1
        self.owned: set[int] = set()
        """What the listener was told."""
        self.changes: deque[Change] = deque()
        self.is_fenced = False
        self.last_poll_s = connection.now
        self.polls = False
        """Inside of a poll."""
        self._connection = connection
        self._session_timeout_s = session_timeout_s
        self._partition_count = partition_count
        self._news = news
        self._bell = connection.bell()
        self._member = self._new_member()
        self._must_join = True
        self._leaves = False
        self._closed = False
        connection.scheduler.spawn(connection.process, self._run, f"member of {group.name}")

    @property
    def member_id(self) -> str:
        return self._member.member_id

    def _new_member(self) -> Member:
        return Member("", self.instance_id, self._session_timeout_s, self._bell)

    def carried_out(self) -> None:
        """The listener was told of a change."""
        self._bell.ring()

    def leave_and_join(self) -> None:
        """Give everything up, also as a static member, and come back: that is a rebalance."""
        self._leaves = True
        self.changes.clear()
        if self.owned:
            self._tell("revoked", self.owned)
        self._must_join = True
        self._bell.ring()

    def close(self) -> None:
        """End the thread. A static member's partitions wait for its return, a dynamic member's are given away."""
        self._closed = True
        self._bell.ring()
        if self.instance_id is None and self.member_id:
            self._connection.ask(self.group.availability, math.inf)
            self.group.leave(self._member)

    def _run(self) -> None:
        while not self._closed and not self.is_fenced:
            try:
                if self._must_join and not self.changes:
                    if self._leaves:
                        self._leave()
                    self._join()
                else:
                    self._bell.wait(self._session_timeout_s / _HEARTBEATS_PER_SESSION)
                    if not self._closed:
                        self._heartbeat()
            except RefusedError as error:
                self._go_on_after(error.refusal)

    def _heartbeat(self) -> None:
        if self.generation < 0:
            return
        connection = self._connection
        if connection.now - self.last_poll_s > REBALANCE_TIMEOUT_S and not self.polls:
            self._leave_unpolled()
            return
        if connection.network.faults.fires(_menu.HEARTBEATS_LOST):
            session_s = self._session_timeout_s
            connection.scheduler.sleep(
                connection.network.random.uniform(0.5 * session_s, 1.5 * session_s)
            )
            return
        connection.ask(self.group.availability, math.inf)
        self.group.heartbeat(self._member, self.generation)

    def _leave_unpolled(self) -> None:
        """Who does not poll is no member. It joins again when it polls."""
        if self.instance_id is None:
            self.group.leave(self._member)
        self._lose()

    def _go_on_after(self, refusal: Refusal) -> None:
        if refusal is Refusal.REBALANCING:
            if not self.group.is_cooperative and self.owned and not self._must_join:
                self._tell("revoked", self.owned)
            self._must_join = True
        elif refusal is Refusal.FENCED_INSTANCE:
            self.generation = -1
            self.changes.clear()
            self.is_fenced = True
            self._news.ring()
        else:
            assert refusal in STALE_MEMBER, refusal
            self._lose()

    def _leave(self) -> None:
        self._connection.ask(self.group.availability, math.inf)
        self.group.leave(self._member)
        self._member = self._new_member()
        self.generation = -1
        self._leaves = False

    def _lose(self) -> None:
        self.changes.clear()
        self.generation = -1
        self._member = self._new_member()
        self._must_join = True
        if self.owned:
            self._tell("lost", self.owned)
        self._news.ring()

    def _join(self) -> None:
        connection, group, member = self._connection, self.group, self._member
        connection.ask(group.availability, math.inf)
        if self._closed:
            return
        group.join(member, frozenset(self.owned), self.generation, self._partition_count)
        self._wait_in_barrier(member)
        connection.travel()
        group.check(member, member.generation)
        self.generation = member.generation
        connection.ask(group.availability, math.inf)
        self._wait_for_assignment(member)
        assigned = set(member.assigned)
        connection.travel()
        self._must_join = False
        self._take(assigned)

    def _wait_in_barrier(self, member: Member) -> None:
        while member.waits and not self._closed:
            self._bell.wait()

    def _wait_for_assignment(self, member: Member) -> None:
        while not self._closed and not self.group.sync(member, member.generation):
            self._bell.wait()

    def _take(self, assigned: set[int]) -> None:
        revoked = self.owned - assigned
        if revoked:
            self._tell("revoked", revoked)
            self._must_join = True
        added = assigned - self.owned
        if added:
            self._tell("assigned", added)

    def _tell(self, what: str, partitions: set[int]) -> None:
        self.changes.append(Change(what, tuple(sorted(partitions))))
        self._news.ring()
