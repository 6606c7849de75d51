"""What a program is performed on, and what each of its steps may need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from tests.log_contract.kit import Kit, Member
from tests.log_contract.programs import GROUP_PARTITIONS, PARTITIONS, TOPICS, Step
from weft.errors import LogError, UsageError
from weft.log import FROM_START, LogRecord, TopicPartition, TransactionalProducer


@dataclass(frozen=True, slots=True)
class Seen:
    step: Step
    exact: object
    loose: object = None


@dataclass(slots=True, eq=False)
class Hand:
    """One transactional producer: the holder of its ID, or a former one."""

    producer: TransactionalProducer
    is_open: bool = False
    has_records: bool = False
    has_offsets: bool = False
    is_fenced: bool = False
    error: str = ""
    """The first one of the open transaction."""


class Stage:
    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._topics = {
            name: kit.topic(name, partitions=PARTITIONS, compacted=name == TOPICS[1])
            for name in TOPICS
        }
        self._topics["signals"] = kit.topic("signals", partitions=GROUP_PARTITIONS)
        self._hands: dict[str, Hand] = {}
        self._zombies: dict[str, Hand] = {}
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

    def _places(self) -> list[TopicPartition]:
        return [(self._topics[name], number) for name in TOPICS for number in range(PARTITIONS)]

    def _short(self, place: TopicPartition) -> str:
        return f"{place[0].removeprefix(self._kit.name(''))}-{place[1]}"

    def _place(self, step: Step) -> TopicPartition:
        return self._topics[step.topic], step.partition

    def _taken(self, name: str) -> Hand:
        return Hand(self._kit.transactional(name))


def error_of(function: Callable[[], object]) -> str:
    """The name of what it raises, or nothing."""
    try:
        function()
    except (LogError, UsageError) as error:
        return type(error).__name__
    return ""
