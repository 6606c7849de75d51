"""A disk that is full, and one that must not be written: clear errors, nothing lost, and going on when it is over."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit
from tests.support.disk import SmallDisk, public_folder, small_disk, unprivileged
from weft.errors import LogError, LogFullError
from weft.log import FROM_START, TopicSpec
from weft.log.embedded import open_embedded


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk() as disk:
        yield disk


@pytest.fixture
def kit(disk: SmallDisk) -> Iterator[Kit]:
    with contextlib.ExitStack() as stack:
        yield Kit("embedded", str(disk.folder / "log.weft"), "test", stack)


def integrity(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_every_writer_says_so_and_goes_on_when_a_full_disk_has_room_again(
    kit: Kit, disk: SmallDisk
) -> None:
    topic = kit.topic("orders")
    kit.write(topic, b"before")
    plain, transactional, member = kit.producer(), kit.transactional(), kit.member([topic])
    member.until_owns([0])
    disk.fill()
    errors: list[LogError | None] = []
    plain.produce(topic, 0, b"key", b"plain", (), lambda error, *_: errors.append(error))
    assert plain.flush(PATIENCE_S) == 0
    assert [type(error) for error in errors] == [LogFullError]
    transactional.begin()
    transactional.append(topic, 0, b"key", b"transactional")
    with pytest.raises(
        LogFullError, match=r"log\.weft is full; nothing was written\. Free"
    ) as full:
        transactional.commit(1.0)
    assert full.value.retriable
    with pytest.raises(LogFullError):
        member.consumer.commit({(topic, 0): 1})
    with pytest.raises(LogFullError):
        kit.log.transactional_producer("another").fence(1.0)
    assert kit.values(topic) == [b"before"], "reading goes on"
    disk.free()
    plain.produce(topic, 0, b"key", b"plain again")
    assert plain.flush(PATIENCE_S) == 0
    transactional.commit(1.0)
    member.consumer.commit({(topic, 0): 1})
    assert kit.values(topic) == [b"before", b"plain again", b"transactional"]
    assert integrity(Path(kit.address)) == "ok"


def test_nothing_is_lost_or_half_there_when_a_writer_fills_the_disk_and_is_killed(
    kit: Kit, disk: SmallDisk
) -> None:
    """Twice it goes on by itself when there is room again; then it is killed while the disk is full."""
    topics = [kit.topic("state", compacted=True), kit.topic("tasks")]
    kit.log.close()
    child = kit.child("commit-through", "writer", *topics)
    told = [int(child.line()) for _ in range(20)]
    for _ in range(2):
        disk.fill()
        while (line := child.line()) != "full":
            told.append(int(line))
        disk.free()
        while (line := child.line()) == "full":
            pass
        told.append(int(line))
    disk.fill()
    while (line := child.line()) != "full":
        told.append(int(line))
    told += [int(line) for line in child.kill() if line != "full"]
    disk.free()
    path = Path(kit.address)
    assert _numbers(path, topics) == [dict.fromkeys(told, 2)] * 2
    assert told == list(range(len(told)))
    assert integrity(path) == "ok"


def test_nothing_is_lost_when_the_log_itself_fills_the_disk(kit: Kit) -> None:
    """The write-ahead log has no room to be copied into the file; what is committed is there all the same."""
    topic = kit.topic("tasks")
    child = kit.child("commit-through", "writer", topic)
    told = []
    while (line := child.line()) != "full":
        told.append(int(line))
    assert len(told) > 100
    child.kill()
    kit.log.close()
    assert _numbers(Path(kit.address), [topic]) == [dict.fromkeys(told, 2)]


def _numbers(path: Path, topics: list[str]) -> list[Counter[int]]:
    """How often each number stands on each topic."""
    log = open_embedded(path)
    reader = log.reader()
    found = []
    for topic in topics:
        records = reader.read_to_end({(topic, 0): FROM_START}, PATIENCE_S)
        found.append(Counter(int((record.value or b"-1").split()[0]) for record in records))
    reader.close()
    log.close()
    return found


def test_new_log_says_so_when_there_is_no_room_for_it(disk: SmallDisk) -> None:
    path = disk.folder / "new.weft"
    disk.fill()
    with pytest.raises(LogFullError, match=r"new\.weft is full"):
        open_embedded(path)
    disk.free()
    log = open_embedded(path)
    admin = log.admin()
    assert admin.create_topics([TopicSpec("orders", 1)]) == ["orders"]
    admin.close()
    log.close()


# Read-only.


@pytest.fixture
def closed_log() -> Iterator[Path]:
    """A log in a folder of its own that others may read."""
    with public_folder() as folder:
        path = folder / "log.weft"
        log = open_embedded(path)
        admin = log.admin()
        admin.create_topics([TopicSpec("orders", 1)])
        admin.close()
        log.close()
        yield path


def test_opening_says_so_when_the_file_is_read_only(closed_log: Path) -> None:
    closed_log.parent.chmod(0o777)
    closed_log.chmod(0o444)
    before = closed_log.read_bytes()
    with unprivileged(), pytest.raises(LogError, match=r"log\.weft is read-only .* Give") as error:
        open_embedded(closed_log)
    assert not error.value.retriable
    assert closed_log.read_bytes() == before
    assert list(closed_log.parent.iterdir()) == [closed_log]


@pytest.mark.parametrize("name", ["log.weft", "new.weft"])
def test_opening_says_so_when_the_folder_is_read_only(closed_log: Path, name: str) -> None:
    closed_log.chmod(0o666)
    closed_log.parent.chmod(0o555)
    with unprivileged(), pytest.raises(LogError, match=rf"{name} is read-only .* its folder"):
        open_embedded(closed_log.with_name(name))
    assert [found.name for found in closed_log.parent.iterdir()] == ["log.weft"]


def test_writers_say_so_when_the_file_becomes_read_only_while_the_log_is_open(
    closed_log: Path,
) -> None:
    log = open_embedded(closed_log)
    admin = log.admin()
    for found in closed_log.parent.iterdir():
        found.chmod(0o444)
    with unprivileged():
        producer = log.transactional_producer("owner")
        with pytest.raises(LogError, match=r"read-only") as error:
            producer.fence(1.0)
        assert not error.value.retriable
        producer.close()
    admin.close()
    log.close()
