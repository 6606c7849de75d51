"""Dead letters: reading them, and writing what was mended or has found its workflow again.

A letter stays where it is until its topic's retention is over. That it was replayed stands in a mark behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from weft.client._state import committed_records
from weft.codec import (
    MalformedError,
    decode_messages,
    decode_queries,
    decode_results,
    decode_signals,
    decode_task,
)
from weft.errors import UnknownDeadLetterError, UsageError
from weft.log import FROM_START, Log, LogRecord
from weft.records import deadletters
from weft.topics import Namespace, check_workflow_id


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be used, as it came, with where it came from and why it is here. Times are UTC."""

    partition: int
    """Of the dead letters' topic; with `offset` it names the letter."""
    offset: int
    time: datetime
    """When it was put aside."""
    reason: str
    topic: str
    """Where the record came on."""
    topic_partition: int
    topic_offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    """Those that the record came with."""
    replay_count: int = 0
    replayed: datetime | None = None
    """When it was replayed last."""
    replayed_to: str = ""
    """`topic-partition@offset` of what was written then."""

    @property
    def place(self) -> str:
        """`partition@offset`, the name that commands take."""
        return f"{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are wanted. `since_ms` is a time; `reason` a part of the text, in any case."""

    topic: str = ""
    reason: str = ""
    since_ms: int = 0
    is_replayed: bool | None = None

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self.topic or letter.topic == self.topic)
            and self.reason.casefold() in letter.reason.casefold()
            and letter.time.timestamp() * 1000 >= self.since_ms
        )

    def takes_mark(self, letter: DeadLetter) -> bool:
        return self.is_replayed is None or self.is_replayed == (letter.replay_count > 0)


def read_letters(
    log: Log, topic: str, partition_count: int, wanted: LetterFilter, timeout_s: float
) -> list[DeadLetter]:
    """Those that are wanted on all partitions, oldest first. Raises LogError."""
    found: dict[tuple[int, int], DeadLetter] = {}
    offsets = {(topic, partition): FROM_START for partition in range(partition_count)}
    with committed_records(log, offsets, timeout_s) as records:
        for record in records:
            _take(record, found, wanted.takes)
    chosen = [letter for letter in found.values() if wanted.takes_mark(letter)]
    return sorted(chosen, key=lambda letter: (letter.time, letter.partition, letter.offset))


def read_letter(log: Log, topic: str, partition: int, offset: int, timeout_s: float) -> DeadLetter:
    """One of them. Raises UnknownDeadLetterError, LogError."""
    found: dict[tuple[int, int], DeadLetter] = {}
    with committed_records(log, {(topic, partition): FROM_START}, timeout_s) as records:
        for record in records:
            _take(record, found, lambda letter: letter.offset == offset)
    if not found:
        raise UnknownDeadLetterError(
            f"There is no dead letter {partition}@{offset} in {topic}: it was never there, or its time is over. "
            "`weft deadletters list` shows those that there are."
        )
    return found[partition, offset]


def _take(
    record: LogRecord,
    found: dict[tuple[int, int], DeadLetter],
    is_wanted: Callable[[DeadLetter], bool],
) -> None:
    labels = {name: value or b"" for name, value in record.headers}
    time = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    if deadletters.REPLAYED in labels and record.value is None:
        place = (record.partition, _number(labels[deadletters.REPLAYED]))
        if place in found:
            found[place] = replace(
                found[place],
                replay_count=found[place].replay_count + 1,
                replayed=time,
                replayed_to=_text(labels.get(deadletters.REPLAYED_TO)),
            )
        return
    letter = DeadLetter(
        record.partition,
        record.offset,
        time,
        _text(labels.get(deadletters.REASON)),
        _text(labels.get(deadletters.TOPIC)),
        _number(labels.get(deadletters.PARTITION)),
        _number(labels.get(deadletters.OFFSET)),
        record.key,
        record.value,
        tuple((name, value) for name, value in record.headers if name not in deadletters.ABOUT),
    )
    if is_wanted(letter):
        found[letter.partition, letter.offset] = letter


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(value: bytes | None) -> int:
    """-1 for what is none: anybody may write to the topic."""
    try:
        return int(value or b"-1")
    except ValueError:
        return -1


# What is written again.


@dataclass(frozen=True, slots=True)
class Replay:
    """A letter's record as it will be written again."""

    letter: DeadLetter
    topic: str
    workflow_id: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def to_replay(
    namespace: Namespace, letter: DeadLetter, key: str | None, value: bytes | None
) -> Replay:
    """`key` and `value`, when given, take the place of the letter's. Raises UsageError when it could not be used."""
    decode = _decoder(namespace, letter.topic)
    if decode is None:
        raise UsageError(
            f"Dead letter {letter.place} came on {letter.topic or 'an unknown topic'}, to which nobody but the workers "
            f"of namespace {namespace.name} writes: it cannot be replayed."
        )
    workflow_id = key if key is not None else _key_of(letter)
    check_workflow_id(workflow_id)
    if value is not None:
        try:
            decode(value)
        except MalformedError as error:
            raise UsageError(f"The new value is no record of {letter.topic}: {error}") from None
    elif letter.value is None:
        raise UsageError(f"Dead letter {letter.place} has no value: give it one (--value).")
    written = value if value is not None else letter.value
    assert written is not None, "one of them is given"
    origin = f"{namespace.deadletters}-{letter.partition}@{letter.offset}"
    kept = tuple(header for header in letter.headers if header[0] != deadletters.REPLAYED_FROM)
    headers = (*kept, (deadletters.REPLAYED_FROM, origin.encode()))
    return Replay(letter, letter.topic, workflow_id, written, headers)


def mark_headers(letter: DeadLetter, place: str) -> tuple[tuple[str, bytes], ...]:
    """The headers of the mark that tells of a replay."""
    return (
        (deadletters.REPLAYED, str(letter.offset).encode()),
        (deadletters.REPLAYED_TO, place.encode()),
    )


def _key_of(letter: DeadLetter) -> str:
    try:
        return (letter.key or b"").decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The key of dead letter {letter.place} is no workflow ID ({error}): give it one (--key)."
        ) from None


def _decoder(namespace: Namespace, topic: str) -> Callable[[bytes], object] | None:
    if namespace.queue_of(topic) is not None:
        return decode_task
    return {
        namespace.signals: decode_signals,
        namespace.results: decode_results,
        namespace.messages: decode_messages,
        namespace.queries: decode_queries,
    }.get(topic)
