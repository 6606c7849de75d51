"""Runs a program on one backend, and notes what can be seen at each step.

`exact` is what Kafka does. `loose` is what the contract promises, which the embedded log keeps without
undecided transactions: None where it promises nothing, values by writer where records of several may come in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from tests.log_contract.group_steps import GroupSteps
from tests.log_contract.kit import PATIENCE_S, Kit, until
from tests.log_contract.programs import PARTITIONS, TOPICS, Step
from tests.log_contract.stage import Hand, Seen, error_of
from weft.log import (
    FROM_END,
    FROM_START,
    LogRecord,
    TopicPartition,
    TopicSpec,
)

_QUIET_S = 0.5
_QUIET_FILE_S = 0.05
_TOO_LARGE = bytes(2_000_000)


class Performance(GroupSteps):
    def __init__(self, kit: Kit) -> None:
        super().__init__(kit)
        for topic in TOPICS:
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
        error = error_of(lambda: self._kit.write(self._kit.name("missing"), b"value"))
        return error, error

    def _write_too_large(self, _step: Step) -> tuple[object, object]:
        error = error_of(lambda: self._kit.write(self._topics["orders"], _TOO_LARGE))
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
                hand.error = hand.error or error_of(producer.begin)
            topic = self._topics["orders"]
            append = lambda: producer.append(topic, 0, b"zombie", b"zombie")  # noqa: E731
            hand.error = hand.error or error_of(append)
        hand.error = hand.error or error_of(lambda: producer.commit(PATIENCE_S))
        producer.close()
        return hand.error, hand.error

    def _begin(self, step: Step) -> tuple[object, object]:
        hand = self._hands[step.who]
        hand.is_open, hand.has_records, hand.has_offsets = True, False, False
        hand.error = error_of(hand.producer.begin)
        return hand.error, hand.error

    def _begin_again(self, step: Step) -> tuple[object, object]:
        error = error_of(self._hands[step.who].producer.begin)
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
        error = error_of(lambda: hand.producer.append(topic, partition, b"key", _TOO_LARGE))
        return error, error

    def _append_nowhere(self, step: Step) -> tuple[object, object]:
        hand, missing = self._hands[step.who], self._kit.name("missing")
        if hand.error:
            return None, None
        error = error_of(lambda: hand.producer.append(missing, 0, b"key", b"value"))
        return error, error

    def _send_offsets(self, step: Step) -> tuple[object, object]:
        hand, place = self._hands[step.who], self._place(step)
        if hand.error:
            return None, None
        proof = self._owner(step.partition).consumer.member()
        hand.has_offsets = True
        hand.error = error_of(lambda: hand.producer.send_offsets({place: step.number}, proof))
        return hand.error, None

    def _commit(self, step: Step) -> tuple[object, object]:
        hand = self._hands[step.who]
        hand.error = hand.error or error_of(lambda: hand.producer.commit(PATIENCE_S))
        return self._ended(hand)

    def _abort(self, step: Step) -> tuple[object, object]:
        return self._ended(self._hands[step.who], is_abort=True)

    def _ended(self, hand: Hand, *, is_abort: bool = False) -> tuple[object, object]:
        outcome = (hand.error, "")
        if hand.error or is_abort:
            outcome = (hand.error, error_of(lambda: hand.producer.abort(PATIENCE_S)))
        hand.is_open, hand.error = False, ""
        return outcome, outcome

    def _close(self, step: Step) -> tuple[object, object]:
        """What it has open stays so until somebody takes the ID."""
        hand = self._hands[step.who]
        hand.producer.close()
        error = error_of(lambda: hand.producer.commit(PATIENCE_S))
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

    def _read_as_a_group(self, _step: Step) -> tuple[object, object]:
        """A new group's only member gets everything, from the first record on."""
        member = self._kit.member([self._topics["orders"]], "other")
        member.until_owns(range(PARTITIONS))
        self._drained(lambda _count, timeout_s: member.poll(timeout_s))
        records = [record for record in member.records if record.topic == self._topics["orders"]]
        return self._exact(records), self._loose(records)
