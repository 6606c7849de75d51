"""Dead letters: found by what is known of them, and written again where they belong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.client.conftest import NAMES, PARTITIONS
from weft.client import Client, DeadLetter
from weft.errors import TopicError, UnknownDeadLetterError, UsageError
from weft.log import FROM_START, Log, LogRecord
from weft.topics import partition_of

HOME = partition_of(b"A-1", PARTITIONS)
SIGNAL = b'{"signal":"go","id":"s-1"}'


def put_aside(
    log: Log,
    *,
    key: bytes | None = b"A-1",
    value: bytes | None = SIGNAL,
    topic: str = NAMES.signals,
    reason: str = "there is no workflow 'A-1'",
    partition: int = 2,
    headers: tuple[tuple[str, bytes], ...] = (("trace", b"abc"),),
) -> str:
    """As an owner does it; returns the letter's place."""
    places: list[str] = []
    labels = (
        ("weft-topic", topic.encode()),
        ("weft-partition", b"1"),
        ("weft-offset", b"17"),
        ("weft-reason", reason.encode()),
    )
    producer = log.producer()
    producer.produce(
        NAMES.deadletters,
        partition,
        key,
        value,
        (*headers, *labels),
        lambda _error, at, offset: places.append(f"{at}@{offset}"),
    )
    assert producer.flush(10) == 0
    producer.close()
    return places[0]


def read(log: Log, topic: str) -> list[LogRecord]:
    reader = log.reader()
    offsets = {(topic, number): FROM_START for number in range(PARTITIONS)}
    records = list(reader.read_to_end(offsets, 10))
    reader.close()
    return records


def ask(log: Log, question: Callable[[Client], Awaitable[Any]]) -> Any:
    """One call of a client."""

    async def scenario() -> Any:
        async with Client(log, namespace="desk") as client:
            return await question(client)

    return asyncio.run(scenario())


def test_letter_tells_where_it_came_from_and_why(log: Log) -> None:
    place = put_aside(log)
    (letter,) = ask(log, lambda client: client.deadletters())
    assert (letter.place, letter.reason) == (place, "there is no workflow 'A-1'")
    assert (letter.topic, letter.topic_partition, letter.topic_offset) == (NAMES.signals, 1, 17)
    assert (letter.key, letter.value, letter.headers) == (b"A-1", SIGNAL, (("trace", b"abc"),))
    assert (letter.replay_count, letter.replayed, letter.replayed_to) == (0, None, "")
    same = ask(log, lambda client: client.deadletter(letter.partition, letter.offset))
    assert same == letter


def test_letters_are_found_by_topic_reason_age_and_number(log: Log) -> None:
    first = put_aside(log, reason="Malformed JSON")
    time.sleep(0.002)  # those of one millisecond, on different partitions, have no order
    second = put_aside(log, topic=NAMES.results, partition=0)
    time.sleep(0.002)
    third = put_aside(log, topic=NAMES.tasks("mail"), partition=1)

    async def places(client: Client, **wanted: Any) -> list[str]:
        return [letter.place for letter in await client.deadletters(**wanted)]

    def found(**wanted: Any) -> list[str]:
        return ask(log, lambda client: places(client, **wanted))  # type: ignore[no-any-return]

    assert found() == [first, second, third], "newest last"
    assert found(limit=2) == [second, third]
    assert found(limit=0) == []
    assert found(topic="results") == found(topic="desk.results") == [second]
    assert found(topic="tasks.mail") == [third]
    assert found(reason="malformed") == [first]
    assert found(since=3600) == [first, second, third]
    assert found(since=0) == []
    assert found(replayed=True) == []
    with pytest.raises(UsageError, match="limit=-1"):
        found(limit=-1)


def test_letter_that_is_not_there_is_told(log: Log) -> None:
    put_aside(log)
    with pytest.raises(UnknownDeadLetterError, match=r"no dead letter 2@99 in desk\.deadletters"):
        ask(log, lambda client: client.deadletter(2, 99))
    with pytest.raises(UsageError, match="no partition 3: namespace desk has 3"):
        ask(log, lambda client: client.deadletter(3, 0))


def test_replay_writes_the_record_where_it_belongs_and_marks_the_letter(log: Log) -> None:
    place = put_aside(log)

    async def replay(client: Client) -> tuple[str, DeadLetter]:
        (letter,) = await client.deadletters()
        written = await client.replay(letter)
        (again,) = await client.deadletters()
        return written, again

    written, letter = ask(log, replay)
    (record,) = read(log, NAMES.signals)
    assert written == f"{NAMES.signals}-{HOME}@{record.offset}"
    assert (record.partition, record.key, record.value) == (HOME, b"A-1", SIGNAL)
    origin = f"{NAMES.deadletters}-{place}".encode()
    assert tuple(record.headers) == (("trace", b"abc"), ("weft-replayed-from", origin))
    assert (letter.place, letter.replay_count, letter.replayed_to) == (place, 1, written)
    assert letter.replayed >= letter.time
    assert ask(log, lambda client: client.deadletters(replayed=False)) == []
    assert ask(log, lambda client: client.deadletters(replayed=True)) == [letter]


def test_replay_counts_and_keeps_one_origin_when_it_is_done_again(log: Log) -> None:
    put_aside(log)

    async def twice(client: Client) -> DeadLetter:
        for _ in range(2):
            (letter,) = await client.deadletters()
            await client.replay(letter)
        (letter,) = await client.deadletters()
        # It comes back, as it would from an owner that could not use it either.
        copy = DeadLetter(0, 0, letter.time, "", NAMES.signals, 0, 0, b"A-1", SIGNAL, headers)
        await client.replay(copy)
        return letter

    headers = (("weft-replayed-from", b"desk.deadletters-2@0"),)
    assert ask(log, twice).replay_count == 2
    names = [name for name, _ in read(log, NAMES.signals)[-1].headers]
    assert names == ["weft-replayed-from"]


def test_replay_mends_what_was_wrong(log: Log) -> None:
    put_aside(log, key=None, value=b"{")

    async def mend(client: Client) -> None:
        (letter,) = await client.deadletters()
        await client.replay(letter, key="A-1", value=SIGNAL)

    ask(log, mend)
    (record,) = read(log, NAMES.signals)
    assert (record.partition, record.key, record.value) == (HOME, b"A-1", SIGNAL)


@pytest.mark.parametrize(
    ("letter", "mended", "why"),
    [
        ({"topic": "desk.state"}, {}, "nobody but the workers of namespace desk writes"),
        ({"topic": "shop.signals"}, {}, "came on shop.signals, to which nobody"),
        ({"topic": ""}, {}, "came on an unknown topic"),
        ({"key": None}, {}, "ID must not be empty"),
        ({"key": b"\xff"}, {}, "is no workflow ID .* give it one"),
        ({"value": None}, {}, "has no value: give it one"),
        ({}, {"value": b"{"}, "new value is no record of desk.signals: "),
        ({}, {"key": "a\0b"}, "control characters"),
    ],
)
def test_replay_is_refused_before_anything_is_written_when_nobody_could_use_it(
    log: Log, letter: dict[str, Any], mended: dict[str, Any], why: str
) -> None:
    put_aside(log, **letter)

    async def replay(client: Client) -> None:
        (found,) = await client.deadletters()
        with pytest.raises(UsageError, match=why):
            await client.replay(found, **mended)
        assert await client.deadletters() == [found]

    ask(log, replay)
    assert read(log, NAMES.signals) == []


def test_what_others_write_to_the_topic_stops_nobody(log: Log) -> None:
    producer = log.producer()
    for headers in (
        (),
        (("weft-partition", b"many"), ("weft-reason", b"\xff")),
        (("weft-replayed", b"soon"),),
        (("weft-replayed", b"99"),),
    ):
        producer.produce(NAMES.deadletters, 0, None, None, headers)
    assert producer.flush(10) == 0
    producer.close()
    letters = ask(log, lambda client: client.deadletters())
    assert [(letter.topic, letter.topic_partition) for letter in letters] == [("", -1)] * 2


def test_topic_that_is_missing_is_told(log: Log) -> None:
    admin = log.admin()
    admin.delete_topics([NAMES.deadletters])
    admin.close()
    with pytest.raises(TopicError, match=r"desk\.deadletters"):
        ask(log, lambda client: client.deadletters())
