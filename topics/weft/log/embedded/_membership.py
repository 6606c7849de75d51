"""Group membership as leases in the file.

A member is a row with a lease that it renews. `owners` says for each partition of the lead topic who owns it, with
whom it should be (`target`), and an epoch that grows with every change of owner. Every change bumps the group's
generation, which is what members look at. Rules:

- Only the owner gives a living member's partition up; only the target takes a free one. So a partition never has
  two owners.
- Whoever notices that a member is gone (lease over, or its process dead) removes it: its partitions are free, at a
  new epoch.
- A static member keeps its row, and so its partitions, until its lease is over, also when it is closed or its
  process is dead; whoever joins with its instance ID continues the row at once, and the former holder is fenced by
  the new epochs.

Leases are by the wall clock, which all processes of a machine share. A clock that jumps ends leases early or late;
that costs a rebalance, never a lost or doubled record, because commits are checked against the epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.log.embedded._append import now_ms
from weft.log.embedded._assignment import balanced
from weft.log.embedded._catalogue import Topic
from weft.log.embedded._database import Database
from weft.log.embedded._process import ProcessIdentity, current_process, is_surely_dead

_ADD_GROUP = "INSERT INTO groups (name, generation) VALUES (?, 0) ON CONFLICT DO NOTHING"
_ADD_PARTITION = (
    "INSERT INTO owners (group_id, topic_id, partition, epoch) VALUES (?, ?, ?, 0) "
    "ON CONFLICT DO NOTHING"
)
_ADD_MEMBER = (
    "INSERT INTO members (group_id, lead_topic_id, instance_id, incarnation, host, process_id, "
    "process_started, lease_until_ms) VALUES (?, ?, ?, 1, ?, ?, ?, ?) RETURNING member_id"
)
_CONTINUE_MEMBER = (
    "UPDATE members SET incarnation = incarnation + 1, host = ?, process_id = ?, process_started "
    "= ?, lease_until_ms = ? WHERE member_id = ? RETURNING incarnation"
)
_RELEASE = (
    "UPDATE owners SET owner = NULL, epoch = epoch + 1 "
    "WHERE group_id = ? AND topic_id = ? AND partition = ? AND owner = ? AND epoch = ?"
)
_TAKE_ALL = (
    "UPDATE owners SET owner = target, epoch = epoch + 1 "
    "WHERE group_id = ? AND topic_id = ? AND owner IS NULL AND target = ? RETURNING partition"
)


@dataclass(frozen=True, slots=True)
class View:
    """The group as the file has it: what this member owns, gives up and may take."""

    generation: int
    present: bool
    """False: this member was removed, or another process continues its static membership (`replaced`)."""
    replaced: bool
    epoch_by_partition: dict[int, int]
    """Owned by this member."""
    leaving: list[int]
    """Owned by this member, and another is waiting for them."""
    takeable_count: int


@dataclass(frozen=True, slots=True)
class _Peer:
    member_id: int
    is_static: bool
    process: ProcessIdentity
    lease_until_ms: int

    def is_gone(self, at_ms: int) -> bool:
        return self.lease_until_ms < at_ms or (not self.is_static and is_surely_dead(self.process))


class Membership:
    """One member of one group, balanced on its lead topic. Every method is one look at the file, or one change."""

    def __init__(
        self,
        database: Database,
        group: str,
        lead: Topic,
        instance_id: str | None,
        session_timeout_s: float,
    ) -> None:
        self.database = database
        self.group = group
        self.session_timeout_s = session_timeout_s
        self._lead = lead
        self._instance_id = instance_id
        self._lease_ms = int(session_timeout_s * 1000)
        self._peers: list[_Peer] = []
        self.group_id = 0
        self.member_id = 0
        self._incarnation = 0

    def join(self) -> None:
        """Become a member, or continue the static membership of this instance ID."""
        with self.database.write():
            execute = self.database.execute
            execute(_ADD_GROUP, (self.group,))
            self.group_id = execute(
                "SELECT group_id FROM groups WHERE name = ?", (self.group,)
            ).fetchone()[0]
            partitions = range(self._lead.partitions)
            self.database.executemany(
                _ADD_PARTITION,
                [(self.group_id, self._lead.topic_id, partition) for partition in partitions],
            )
            process = current_process()
            facts = (process.host, process.process_id, process.started, now_ms() + self._lease_ms)
            if not self._continue(facts):
                row = (self.group_id, self._lead.topic_id, self._instance_id, *facts)
                self.member_id = execute(_ADD_MEMBER, row).fetchall()[0][0]
                self._incarnation = 1
            self._remove_gone()
            self._balance()

    def _continue(self, facts: tuple[str, int, str, int]) -> bool:
        if self._instance_id is None:
            return False
        rows = self.database.execute(
            "SELECT member_id, lead_topic_id FROM members WHERE group_id = ? AND instance_id = ?",
            (self.group_id, self._instance_id),
        ).fetchall()
        if not rows:
            return False
        member_id, lead_topic_id = rows[0]
        if lead_topic_id != self._lead.topic_id:
            self._remove(member_id)
            return False
        self.member_id = member_id
        self._incarnation = self.database.execute(_CONTINUE_MEMBER, (*facts, member_id)).fetchall()[
            0
        ][0]
        self.database.execute("UPDATE owners SET epoch = epoch + 1 WHERE owner = ?", (member_id,))
        return True

    def heartbeat(self) -> None:
        """Renew the lease, and remove members that are gone. Who was itself removed sees that in its next view."""
        self.database.check_still_there()
        with self.database.write():
            at_ms = now_ms()
            self.database.execute(
                "UPDATE members SET lease_until_ms = ? WHERE member_id = ? AND incarnation = ?",
                (at_ms + self._lease_ms, self.member_id, self._incarnation),
            )
            if self._remove_gone():
                self._balance()

    def sees_dead_peer(self) -> bool:
        """Whether the process of some dynamic member has ended, going by the members of the last view."""
        return any(not peer.is_static and is_surely_dead(peer.process) for peer in self._peers)

    def generation(self) -> int:
        rows = self.database.query(
            "SELECT generation FROM groups WHERE group_id = ?", (self.group_id,)
        )
        return rows[0][0] if rows else -1

    def view(self) -> View:
        generation = self.generation()
        self._peers = [peer for peer in self._read_peers() if peer.member_id != self.member_id]
        rows = self.database.query(
            "SELECT member_id, incarnation FROM members WHERE member_id = ? OR (group_id = ? AND instance_id "
            "= ?)",
            (self.member_id, self.group_id, self._instance_id),
        )
        present = rows == [(self.member_id, self._incarnation)]
        owners = self.database.query(
            "SELECT partition, owner, target, epoch FROM owners WHERE group_id = ? AND topic_id = "
            "?",
            (self.group_id, self._lead.topic_id),
        )
        me = self.member_id
        return View(
            generation,
            present,
            replaced=bool(rows) and not present,
            epoch_by_partition={row[0]: row[3] for row in owners if row[1] == me},
            leaving=[row[0] for row in owners if row[1] == me and row[2] not in (None, me)],
            takeable_count=sum(row[1] is None and row[2] == me for row in owners),
        )

    def release(self, epoch_by_partition: dict[int, int]) -> None:
        """Give partitions up; those that are no longer this member's at that epoch are left alone."""
        with self.database.write():
            self.database.executemany(
                _RELEASE,
                [
                    (self.group_id, self._lead.topic_id, partition, self.member_id, epoch)
                    for partition, epoch in epoch_by_partition.items()
                ],
            )
            self._bump()

    def take(self) -> None:
        """Take every partition that is free and meant for this member."""
        with self.database.write():
            taken = self.database.execute(
                _TAKE_ALL, (self.group_id, self._lead.topic_id, self.member_id)
            ).fetchall()
            if taken:
                self._bump()

    def leave(self) -> None:
        """End the membership. A static member's row stays until its lease is over, and its old proofs are stale."""
        with self.database.write():
            if self._instance_id is None:
                self._remove(self.member_id)
                self._balance()
                return
            changed = self.database.execute(
                "UPDATE members SET incarnation = incarnation + 1, lease_until_ms = ? WHERE "
                "member_id = ? AND incarnation = ?",
                (now_ms() + self._lease_ms, self.member_id, self._incarnation),
            ).rowcount
            if changed:
                self.database.execute(
                    "UPDATE owners SET epoch = epoch + 1 WHERE owner = ?", (self.member_id,)
                )

    def _remove_gone(self) -> bool:
        at_ms = now_ms()
        gone = [peer.member_id for peer in self._read_peers() if peer.is_gone(at_ms)]
        for member_id in gone:
            self._remove(member_id)
        return bool(gone)

    def _remove(self, member_id: int) -> None:
        self.database.execute("DELETE FROM members WHERE member_id = ?", (member_id,))
        self.database.execute(
            "UPDATE owners SET owner = NULL, epoch = epoch + 1 WHERE owner = ?", (member_id,)
        )

    def _read_peers(self) -> list[_Peer]:
        rows = self.database.query(
            "SELECT member_id, instance_id, host, process_id, process_started, lease_until_ms "
            "FROM members WHERE group_id = ?",
            (self.group_id,),
        )
        return [
            _Peer(
                member_id,
                instance_id is not None,
                ProcessIdentity(host, process_id, started),
                lease_ms,
            )
            for member_id, instance_id, host, process_id, started, lease_ms in rows
        ]

    def _balance(self) -> None:
        """Give every partition of the group a target among the present members, lead topic by lead topic."""
        lead_by_member: dict[int, int] = dict(
            self.database.query(
                "SELECT member_id, lead_topic_id FROM members WHERE group_id = ? ORDER BY "
                "member_id",
                (self.group_id,),
            )
        )
        rows = self.database.query(
            "SELECT topic_id, partition, target FROM owners WHERE group_id = ?", (self.group_id,)
        )
        for topic_id in {row[0] for row in rows}:
            members = [member for member, lead in lead_by_member.items() if lead == topic_id]
            old = {row[1]: row[2] for row in rows if row[0] == topic_id}
            self.database.executemany(
                "UPDATE owners SET target = ? WHERE group_id = ? AND topic_id = ? AND partition = "
                "?",
                [
                    (target, self.group_id, topic_id, partition)
                    for partition, target in balanced(old, members).items()
                    if target != old[partition]
                ],
            )
        self._bump()

    def _bump(self) -> None:
        self.database.execute(
            "UPDATE groups SET generation = generation + 1 WHERE group_id = ?", (self.group_id,)
        )
