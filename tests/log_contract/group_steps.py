"""The steps of a program that concern the group."""

from __future__ import annotations

from typing import Any

from tests.log_contract.kit import PATIENCE_S, Member, settle
from tests.log_contract.programs import GROUP_PARTITIONS, MEMBERS, Step
from tests.log_contract.stage import Stage, error_of
from weft.log import GroupMember

_UNDECIDED_S = 0.2


class GroupSteps(Stage):
    def _owner(self, partition: int) -> Member:
        self._settle()
        return next(member for member in self._members.values() if partition in member.owned)

    def _settle(self) -> None:
        settle(list(self._members.values()), GROUP_PARTITIONS)

    def _joined(self, name: str) -> Member:
        instance_id = name if name == MEMBERS[0] else None
        member = self._kit.member([self._topics["signals"]], instance_id=instance_id)
        self._members[name] = member
        return member

    def _join(self, step: Step) -> tuple[object, object]:
        """All are served, and whoever has given something up cannot commit it any more."""
        before = {
            member: (set(member.owned), member.consumer.member())
            for member in self._members.values()
        }
        self._joined(step.who)
        self._settle()
        refused = [
            self._refusal(min(owned - member.owned), proof)
            for member, (owned, proof) in before.items()
            if owned - member.owned
        ]
        return refused, refused

    def _refusal(self, partition: int, proof: GroupMember) -> tuple[str, str]:
        producer = self._kit.transactional("late")

        def commit() -> None:
            producer.begin()
            producer.send_offsets({(self._topics["signals"], partition): 999_999}, proof)
            producer.commit(PATIENCE_S)

        refused = error_of(commit)
        aborted = error_of(lambda: producer.abort(PATIENCE_S))
        producer.close()
        return refused, aborted

    def _leave(self, step: Step) -> tuple[object, object]:
        self._members.pop(step.who).consumer.close()
        self._settle()
        return None, None

    def _return(self, step: Step) -> tuple[object, object]:
        self._settle()
        member = self._members.pop(step.who)
        owned = set(member.owned)
        member.consumer.close()
        again = self._joined(step.who)
        again.until_owns(owned)
        return None, None

    def _commit_offsets(self, step: Step) -> tuple[object, object]:
        consumer = self._owner(step.partition).consumer
        error = error_of(lambda: consumer.commit({self._place(step): step.number}))
        return error, error

    def _committed(self, _step: Step) -> tuple[object, object]:
        consumer = next(iter(self._members.values())).consumer
        wanted = [(self._topics["signals"], number) for number in range(GROUP_PARTITIONS)]
        is_decided = not any(hand.is_open and hand.has_offsets for hand in self._hands.values())
        found: Any = None

        def look() -> None:
            nonlocal found
            found = consumer.committed(wanted, PATIENCE_S if is_decided else _UNDECIDED_S)

        error = error_of(look)
        offsets = error or {place[1]: offset for place, offset in found.items()}
        return offsets, offsets if is_decided else None
