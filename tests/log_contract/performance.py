"""Runs a program on one backend, and notes what can be seen at each step.

`exact` is what Kafka does. `loose` is what the contract promises, which the embedded log keeps without
undecided transactions: None where it promises nothing, values by writer where records of several may come in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.log_contract.kit import PATIENCE_S, Kit, Member, settle, until
from tests.log_contract.programs import GROUP_PARTITIONS, MEMBERS, PARTITIONS, TOPICS, Step
from weft.errors import LogError, UsageError
from weft.log import (
    FROM_END,
    FROM_START,
    GroupMember,
    LogRecord,
    TopicPartition,
    TopicSpec,
    TransactionalProducer,
)

_UNDECIDED_S = 0.2
_QUIET_S = 0.5
_QUIET_FILE_S = 0.05
_TOO_LARGE = bytes(2_000_000)


@dataclass(frozen=True, slots=True)
class Seen:
    step: Step
    exact: object
    loose: object = None


@dataclass(slots=True, eq=False)
class _Hand:
    """One transactional producer: the holder of its ID, or a former one."""

    producer: TransactionalProducer
    is_open: bool = False
    has_records: bool = False
    has_offsets: bool = False
    is_fenced: bool = False
    error: str = ""
    """The first one of the open transaction."""


class Performance:
    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._topics = {
            name: kit.topic(name, partitions=PARTITIONS, compacted=name == TOPICS[1])
            for name in TOPICS
        }
        self._topics["signals"] = kit.topic("signals", partitions=GROUP_PARTITIONS)
        self._hands: dict[str, _Hand] = {}
        self._zombies: dict[str, _Hand] = {}
        self._members: dict[str, Member] = {}
        self._written_count: dict[TopicPartition, int] = defaultdict(int)
        self._everything: dict[TopicPartition, list[LogRecord]] = defaultdict(list)
        self._watcher = kit.log.reader(committed=False)
        kit.closes(self._watcher.close)
        self._watcher.assign(dict.fromkeys(self._places(), FROM_START))
        self._follower = kit.reader()
        self._follower.assign(dict.fromkeys(self._places(), FROM_START))
        self._latecomer = kit.reader()
        self._is_embedded = kit.backend == "embedded"
        for name in ("a", "b"):
            self._hands[name] = self._taken(name)
        for topic in ("orders", "state"):
            for partition in range(PARTITIONS):
                self._write(Step("write", topic=topic, partition=partition, number=-1))

    def run(self, steps: Sequence[Step]) -> list[Seen]:
        seen = []
        for step in steps:
            do: Callable[[Step], tuple[object, object]] = getattr(
                self, "_" + step.what.replace("-", "_")
            )
            seen.append(Seen(step, *do(step)))
        return seen

    # Names.

    def _places(self) -> list[TopicPartition]:
        return [(self._topics[name], number) for name in TOPICS for number in range(PARTITIONS)]

    def _short(self, place: TopicPartition) -> str:
        return f"{place[0].removeprefix(self._kit.name(''))}-{place[1]}"

    def _place(self, step: Step) -> TopicPartition:
        return self._topics[step.topic], step.partition

    def _taken(self, name: str) -> _Hand:
        return _Hand(self._kit.transactional(name))

    # Plain records.

    def _write(self, step: Step) -> tuple[object, object]:
        topic, partition = self._place(step)
        value = None if step.is_tombstone else b"p:%d" % step.number
        self._kit.write(topic, value, key=b"p-%d" % (step.number % 3), partition=partition)
        self._note_written((topic, partition))
        return None, None

    def _write_last(self, _step: Step) -> tuple[object, object]:
        """Its offsets tell how many records and markers there are. In between, a marker may come later or sooner."""
        offsets = [
            self._kit.write(topic, b"p:last", key=b"p-last", partition=partition)
            for topic, partition in self._places()
        ]
        return offsets, None

    def _note_written(self, place: TopicPartition) -> None:
        """Wait until it is in its place, so that the order is the program's. The embedded log writes with `commit`."""
        if self._is_embedded:
            return
        self._written_count[place] += 1

        def is_there() -> bool:
            for record in self._watcher.poll(1000, 0.05):
                self._everything[record.topic, record.partition].append(record)
            return len(self._everything[place]) >= self._written_count[place]

        until(is_there, f"a record on {place}")

    def _write_nowhere(self, _step: Step) -> tuple[object, object]:
        error = _error_of(lambda: self._kit.write(self._kit.name("missing"), b"value"))
        return error, error

    def _write_too_large(self, _step: Step) -> tuple[object, object]:
        error = _error_of(lambda: self._kit.write(self._topics["orders"], _TOO_LARGE))
        return error, error

    def _make_again(self, step: Step) -> tuple[object, object]:
        admin = self._kit.log.admin()
        names = [self._topics["orders"], self._kit.name(f"new-{step.number}")]
        created = admin.create_topics([TopicSpec(name, 7) for name in names])
        infos = admin.describe_topics(names)
        admin.close()
        outcome = (created == names[1:], [infos[name].partitions for name in names])
        return outcome, outcome

    # Transactions.

    def _fence(self, step: Step) -> tuple[object, object]:
        former = self._hands[step.who]
        self._hands[step.who] = self._taken(step.who)
        former.is_fenced = True
        self._zombies[step.who] = former
        return None, None

    def _zombie(self, step: Step) -> tuple[object, object]:
        """Whatever it had open, or begins now, is refused; an empty transaction may pass, for it does nothing."""
        hand = self._zombies.pop(step.who)
        producer = hand.producer
        is_empty = hand.is_open and not (hand.has_records or hand.has_offsets)
        if not hand.is_open or is_empty:
            if not hand.is_open:
                hand.error = hand.error or _error_of(producer.begin)
            topic = self._topics["orders"]
            append = lambda: producer.append(topic, 0, b"zombie", b"zombie")  # noqa: E731
            hand.error = hand.error or _error_of(append)
        hand.error = hand.error or _error_of(lambda: producer.commit(PATIENCE_S))
        producer.close()
        return hand.error, hand.error

    def _begin(self, step: Step) -> tuple[object, object]:
        hand = self._hands[step.who]
        hand.is_open, hand.has_records, hand.has_offsets = True, False, False
        hand.error = _error_of(hand.producer.begin)
        return hand.error, hand.error

    def _begin_again(self, step: Step) -> tuple[object, object]:
        error = _error_of(self._hands[step.who].producer.begin)
        return error, error

    def _append(self, step: Step) -> tuple[object, object]:
        hand, (topic, partition) = self._hands[step.who], self._place(step)
        if hand.error:
            return None, None
        name = step.who.encode()
        value = None if step.is_tombstone else b"%s:%d" % (name, step.number)
        key = b"%s-%d" % (name, step.number % 3)
        hand.producer.append(topic, partition, key, value)
        hand.has_records = True
        self._note_written((topic, partition))
        return None, None

    def _too_large(self, step: Step) -> tuple[object, object]:
        hand, (topic, partition) = self._hands[step.who], self._place(step)
        if hand.error:
            return None, None
        error = _error_of(lambda: hand.producer.append(topic, partition, b"key", _TOO_LARGE))
        return error, error

    def _append_nowhere(self, step: Step) -> tuple[object, object]:
        hand, missing = self._hands[step.who], self._kit.name("missing")
        if hand.error:
            return None, None
        error = _error_of(lambda: hand.producer.append(missing, 0, b"key", b"value"))
        return error, error

    def _send_offsets(self, step: Step) -> tuple[object, object]:
        hand, place = self._hands[step.who], self._place(step)
        if hand.error:
            return None, None
        proof = self._owner(step.partition).consumer.member()
        hand.has_offsets = True
        hand.error = _error_of(lambda: hand.producer.send_offsets({place: step.number}, proof))
        return hand.error, None

    def _commit(self, step: Step) -> tuple[object, object]:
        hand = self._hands[step.who]
        hand.error = hand.error or _error_of(lambda: hand.producer.commit(PATIENCE_S))
        return self._ended(hand)

    def _abort(self, step: Step) -> tuple[object, object]:
        return self._ended(self._hands[step.who], is_abort=True)

    def _ended(self, hand: _Hand, *, is_abort: bool = False) -> tuple[object, object]:
        outcome = (hand.error, "")
        if hand.error or is_abort:
            outcome = (hand.error, _error_of(lambda: hand.producer.abort(PATIENCE_S)))
        hand.is_open, hand.error = False, ""
        return outcome, outcome

    def _close(self, step: Step) -> tuple[object, object]:
        """What it has open stays so until somebody takes the ID."""
        hand = self._hands[step.who]
        hand.producer.close()
        error = _error_of(lambda: hand.producer.commit(PATIENCE_S))
        return error, error

    # Reading.

    def _is_decided(self) -> bool:
        return not any(hand.is_open for hand in self._hands.values())

    def _read(self, _step: Step) -> tuple[object, object]:
        wanted = dict.fromkeys(self._places(), FROM_START)
        records = list(self._kit.reader().read_to_end(wanted, PATIENCE_S))
        return self._exact(records), self._loose(records)

    def _exact(self, records: Sequence[LogRecord]) -> object:
        by_place: dict[str, list[object]] = {self._short(place): [] for place in self._places()}
        for record in records:
            place = self._short((record.topic, record.partition))
            by_place[place].append((record.key, record.value))
        return by_place

    def _loose(self, records: Sequence[LogRecord]) -> object:
        if not self._is_decided():
            return None
        by_writer: dict[str, list[object]] = defaultdict(list)
        for record in records:
            writer = (record.key or b"").partition(b"-")[0].decode()
            place = self._short((record.topic, record.partition))
            by_writer[f"{place} by {writer}"].append((record.key, record.value))
        return dict(by_writer)

    def _read_undecided(self, _step: Step) -> tuple[object, object]:
        reader = self._kit.log.reader(committed=False)
        wanted = dict.fromkeys(self._places(), FROM_START)
        records = list(reader.read_to_end(wanted, PATIENCE_S))
        reader.close()
        return self._exact(records), None

    def _read_from_end(self, _step: Step) -> tuple[object, object]:
        """See `_read_on`."""
        self._latecomer.assign(dict.fromkeys(self._places(), FROM_END))
        return None, None

    def _read_on(self, _step: Step) -> tuple[object, object]:
        """What readers get that were there all along, or since the last `read-from-end`."""
        followed, late = (
            self._drained(reader.poll) for reader in (self._follower, self._latecomer)
        )
        return (self._exact(followed), self._exact(late)), self._loose(followed)

    def _drained(self, poll: Callable[[int, float], list[LogRecord]]) -> list[LogRecord]:
        records: list[LogRecord] = []
        while more := poll(1000, _QUIET_FILE_S if self._is_embedded else _QUIET_S):
            records += more
        return records

    # The group.

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

        refused = _error_of(commit)
        aborted = _error_of(lambda: producer.abort(PATIENCE_S))
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
        error = _error_of(lambda: consumer.commit({self._place(step): step.number}))
        return error, error

    def _committed(self, _step: Step) -> tuple[object, object]:
        consumer = next(iter(self._members.values())).consumer
        wanted = [(self._topics["signals"], number) for number in range(GROUP_PARTITIONS)]
        is_decided = not any(hand.is_open and hand.has_offsets for hand in self._hands.values())
        found: Any = None

        def look() -> None:
            nonlocal found
            found = consumer.committed(wanted, PATIENCE_S if is_decided else _UNDECIDED_S)

        error = _error_of(look)
        offsets = error or {place[1]: offset for place, offset in found.items()}
        return offsets, offsets if is_decided else None

    def _read_as_a_group(self, _step: Step) -> tuple[object, object]:
        """A new group's only member gets everything, from the first record on."""
        member = self._kit.member([self._topics["orders"]], "other")
        member.until_owns(range(PARTITIONS))
        self._drained(lambda _count, timeout_s: member.poll(timeout_s))
        records = [record for record in member.records if record.topic == self._topics["orders"]]
        return self._exact(records), self._loose(records)


def _error_of(function: Callable[[], object]) -> str:
    """The name of what it raises, or nothing."""
    try:
        function()
    except (LogError, UsageError) as error:
        return type(error).__name__
    return ""
