"""A file that was cut off, overwritten or mixed up is told at the start or when it is read; it is never half-read."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.log_contract.kit import PATIENCE_S, Child, Kit
from weft.errors import CorruptRecordError, LogError, LogUnavailableError, UsageError, WeftError
from weft.log import FROM_START, Log, LogRecord, TopicInfo, TopicSpec
from weft.log.embedded import _opening, open_embedded
from weft.log.embedded._database import Database

PAGE_BYTES = 4096
PARTITIONS = 2
Content = tuple[list[LogRecord], dict[str, TopicInfo], dict[tuple[str, int], int]]


class Owner:
    """A member that owns everything at once."""

    def on_assigned(self, partitions: Iterable[int]) -> None: ...
    def on_revoked(self, partitions: Iterable[int]) -> None: ...
    def on_lost(self, partitions: Iterable[int]) -> None: ...
    def on_stalled(self, partitions: Iterable[int]) -> None: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that was closed properly: two topics, some hundred records, the offsets of a group."""
    path = tmp_path / "log.weft"
    log = open_embedded(path)
    admin = log.admin()
    admin.create_topics([TopicSpec("state", PARTITIONS, compacted=True)])
    admin.create_topics([TopicSpec("tasks", PARTITIONS)])
    writer = log.transactional_producer("owner")
    writer.fence(1.0)
    group = log.group_consumer("group", ["state", "tasks"], Owner())
    group.poll(1, 0)
    for number in range(60):
        writer.begin()
        for topic in ("state", "tasks"):
            for partition in range(PARTITIONS):
                value = b'{"number":%d,"text":"%s"}' % (number, b"x" * (number * 37 % 900))
                key = b"order-%d" % number
                headers = [("trace", b"%d" % number)] * (number % 2)
                writer.append(topic, partition, key, value, headers)
        offsets = {(t, p): number + 1 for t in ("state", "tasks") for p in range(PARTITIONS)}
        writer.send_offsets(offsets, group.member())
        writer.commit(1.0)
    for closable in (group, writer, admin, log):
        closable.close()
    assert [found.name for found in tmp_path.iterdir()] == ["log.weft"]
    return path


def content(path: Path) -> Content:
    """Everything that the file is believed about. Raises what a worker would end with."""
    log = open_embedded(path)
    with contextlib.ExitStack() as stack:
        stack.callback(log.close)
        return _content(log, stack)


def _content(log: Log, stack: contextlib.ExitStack) -> Content:
    admin, reader = log.admin(), log.reader()
    stack.callback(admin.close)
    stack.callback(reader.close)
    topics = admin.describe_topics(["state", "tasks"])
    wanted = [(topic, number) for topic in ("state", "tasks") for number in range(PARTITIONS)]
    records = list(reader.read_to_end(dict.fromkeys(wanted, FROM_START), PATIENCE_S))
    group = log.group_consumer("group", ["state", "tasks"], Owner())
    stack.callback(group.close)
    return sorted(records, key=_place), topics, group.committed(wanted, 1.0)


def _place(record: LogRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def refusal(path: Path) -> WeftError | None:
    """The error with which the file is refused, or None when all of it was read."""
    try:
        content(path)
    except WeftError as error:
        return error
    return None


def test_damage_is_never_served_whichever_byte_it_hits(path: Path, tmp_path: Path) -> None:
    """Hundreds of single damaged places: what is read afterwards is what was written, or an error."""
    expected, size = content(path), path.stat().st_size
    chance = random.Random(9)
    refused = 0
    for number in range(250):
        copy = tmp_path / "copy.weft"
        shutil.copyfile(path, copy)
        at = chance.randrange(size)
        old = path.read_bytes()[at]
        overwrite(copy, at, bytes([old ^ (1 << chance.randrange(8))]))
        try:
            assert content(copy) == expected, f"case {number}: byte {at} was {old}"
        except (LogError, UsageError):
            refused += 1
        for left in tmp_path.glob("copy.weft*"):
            left.unlink()
    assert refused > 120


def test_every_page_is_missed_when_it_is_overwritten(path: Path, tmp_path: Path) -> None:
    pages = path.stat().st_size // PAGE_BYTES
    assert pages > 40
    expected = content(path)
    for fill in (bytes(PAGE_BYTES), random.Random(1).randbytes(PAGE_BYTES)):
        for page in range(pages):
            copy = tmp_path / f"copy-{page}.weft"
            shutil.copyfile(path, copy)
            overwrite(copy, page * PAGE_BYTES, fill)
            error = refusal(copy)
            # A page on the free list holds nothing.
            assert error is not None or content(copy) == expected, f"page {page}"
            if page == 0:
                assert isinstance(error, UsageError)
                assert "not an SQLite file" in str(error)


def test_damaged_value_is_told_with_its_place(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b'{"number":41')
    overwrite(path, at + 10, b"9")
    with pytest.raises(CorruptRecordError, match=r"(state|tasks)-[01]@41 .* checksum") as caught:
        content(path)
    assert caught.value.offset == 41
    assert not caught.value.retriable


def test_header_is_told_to_be_damaged_when_it_still_names_weft(path: Path) -> None:
    overwrite(path, 0, b"SQLate")
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"log\.weft is damaged: its first page"):
        open_embedded(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("whole_bytes_max", [0, _opening.WHOLE_BYTES_MAX])
def test_file_is_refused_when_its_end_was_cut_off(
    path: Path, share: float, whole_bytes_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is too large to be looked through at the start."""
    monkeypatch.setattr(_opening, "WHOLE_BYTES_MAX", whole_bytes_max)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(LogError, match=r"damaged: .*(cut off|malformed)"):
        open_embedded(path)


def test_file_is_refused_when_a_partition_does_not_end_where_it_says(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_opening, "WHOLE_BYTES_MAX", 0)
    for change in ("end_offset + 1", "end_offset - 1"):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE ends SET end_offset = {change} WHERE partition_id = 2")
        with pytest.raises(LogError, match=r"partition with ID 2 does not end at offset"):
            open_embedded(path)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE ends SET end_offset = 60 WHERE partition_id = 2")
    assert refusal(path) is None


def test_committed_offsets_and_topics_are_held_against_their_checksums(path: Path) -> None:
    for change, told in (
        ("UPDATE offsets SET next_offset = 59 WHERE partition_id = 1", "offset that group"),
        ("UPDATE topics SET retention_ms = 1 WHERE name = 'tasks'", "about topic tasks"),
    ):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(change)
            connection.commit()
        with pytest.raises(LogError, match=told):
            content(path)


def test_file_is_refused_when_tables_are_missing(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE producers")
    with pytest.raises(LogError, match=r"tables are missing: producers"):
        open_embedded(path)


def test_empty_file_becomes_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.weft"
    path.touch()
    log = open_embedded(path)
    admin = log.admin()
    assert admin.list_topics() == []
    admin.close()
    log.close()


def test_large_file_is_looked_through_by_the_first_cleaning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_opening, "WHOLE_BYTES_MAX", 0)
    log = open_embedded(path)
    log.compact()
    log.close()
    page = _page_of_records(path)
    # The number of rows on it: those behind it would be gone without a trace.
    overwrite(path, page * PAGE_BYTES + 3, (1).to_bytes(2, "big"))
    log = open_embedded(path)
    with pytest.raises(LogError, match=r"log\.weft is damaged"):
        log.compact()
    log.close()


def _page_of_records(path: Path) -> int:
    """The number, from 0, of a leaf page of records that is neither the first nor the last."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'records' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    return int(rows[len(rows) // 2][0]) - 1


# The write-ahead log.


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, str, int]:
    """A log that a process wrote until it was killed: the file, a topic of it, how many commits were told."""
    path = tmp_path / "killed" / "log.weft"
    path.parent.mkdir()
    with contextlib.ExitStack() as stack:
        kit = Kit("embedded", str(path), "test", stack)
        topic = kit.topic("tasks")
    # Nobody has the file open now, so the last one to hold it is the child.
    child = Child(["embedded", str(path), "commit", "writer", "0", topic])
    lines = [child.line() for _ in range(30)] + child.kill()
    child.stop()
    return path, topic, len(lines)


def values(path: Path, topic: str) -> list[bytes | None]:
    log = open_embedded(path)
    reader = log.reader()
    found = [record.value for record in reader.read_to_end({(topic, 0): FROM_START}, PATIENCE_S)]
    reader.close()
    log.close()
    return found


def _cut(wal: Path) -> None:
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size // 2)


def _overwrite_middle(wal: Path) -> None:
    overwrite(wal, wal.stat().st_size // 2, b"garbage" * 20)


def _overwrite_start(wal: Path) -> None:
    overwrite(wal, 0, bytes(64))


DAMAGES: list[Callable[[Path], None]] = [_cut, _overwrite_middle, _overwrite_start, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_file_is_refused_when_its_write_ahead_log_lost_commits(
    killed: tuple[Path, str, int], damage: Callable[[Path], None]
) -> None:
    path, topic, _told = killed
    wal = path.with_name("log.weft-wal")
    damage(wal)
    before = wal.read_bytes() if wal.exists() else b""
    for _ in range(2):  # and it is told again at the next start
        with pytest.raises(LogError, match=r"write-ahead log .* commits are lost") as caught:
            open_embedded(path)
        assert not caught.value.retriable
        assert (wal.read_bytes() if wal.exists() else b"") == before
    # The way on that the error names.
    path.with_name("log.weft-shm").unlink()
    found = values(path, topic)
    assert found == [b"%d" % (number // 2) for number in range(len(found))]


def test_nothing_is_lost_when_the_last_write_never_ended(killed: tuple[Path, str, int]) -> None:
    """What a killed process leaves behind its last commit is no damage."""
    path, topic, told = killed
    wal = path.with_name("log.weft-wal")
    with wal.open("ab") as file:
        file.write(b"half of a frame" * 100)
    found = values(path, topic)
    assert len(found) in (2 * told, 2 * told + 2)
    assert found == [b"%d" % (number // 2) for number in range(len(found))]


def test_file_is_refused_when_its_end_was_cut_off_and_its_write_ahead_log_lacks_it(
    killed: tuple[Path, str, int],
) -> None:
    path, _topic, _told = killed
    with path.open("r+b") as file:
        file.truncate(3 * PAGE_BYTES)
    with pytest.raises(LogError, match=r"its end was cut off \(\d+ of \d+ pages are missing\)"):
        open_embedded(path)


def test_second_opener_is_not_disturbed_when_the_first_looks(
    killed: tuple[Path, str, int],
) -> None:
    """Two logs on one file in one process, and a process beside them, all reading and writing."""
    path, topic, told = killed
    first = open_embedded(path)
    second = open_embedded(path)
    child = Child(["embedded", str(path), "produce", topic, "name", "500"])
    producers = [log.producer() for log in (first, second)]
    for number in range(200):
        for producer in producers:
            producer.produce(topic, 0, b"key", b"value-%d" % number)
        if number % 50 == 0:
            open_embedded(path).close()
    assert [producer.flush(PATIENCE_S) for producer in producers] == [0, 0]
    child.wait_for("done")
    child.stop()
    for producer in producers:
        producer.close()
    for log in (first, second):
        log.close()
    assert len(values(path, topic)) - 900 in (2 * told, 2 * told + 2)


def test_file_is_refused_when_it_is_gone_and_its_write_ahead_log_is_not(
    killed: tuple[Path, str, int],
) -> None:
    path, _topic, _told = killed
    path.unlink()
    with pytest.raises(LogError, match=r"to begin anew, delete log\.weft-wal too"):
        open_embedded(path)
    assert not path.exists()


# While it is in use.


def test_member_stops_when_the_file_is_deleted_under_it(embedded: Kit) -> None:
    topic = embedded.topic("orders")
    member = embedded.member([topic])
    member.until_owns([0])
    path = Path(embedded.address)
    moved = path.with_name("moved.weft")
    path.rename(moved)
    with pytest.raises(LogError, match=r"deleted or replaced while it was in use") as caught:
        member.consumer.poll(1, PATIENCE_S)
    assert not caught.value.retriable
    moved.rename(path)


def test_records_of_other_partitions_are_read_again_when_reading_one_fails(
    embedded: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = embedded.topic("orders", partitions=3)
    for partition in range(3):
        embedded.write(topic, b"a", b"b", partition=partition)
    reader = embedded.reader()
    reader.assign({(topic, partition): FROM_START for partition in range(3)})
    select, calls = Database.select, []

    def failing(self: Database, sql: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        calls.append(sql)
        if "FROM records" in sql and sum("FROM records" in call for call in calls) == 2:
            raise LogUnavailableError("the disk was away for a moment")
        return select(self, sql, parameters)

    monkeypatch.setattr(Database, "select", failing)
    with pytest.raises(LogUnavailableError):
        reader.poll(100, 0)
    assert len(reader.poll(100, 0)) == 6
    assert reader.poll(100, 0) == []
