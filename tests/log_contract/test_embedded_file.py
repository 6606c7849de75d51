"""The embedded log's file: who may open it, and what happens when several processes do."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.log_contract.kit import PATIENCE_S, Kit
from weft.errors import CommitUnknownError, LogError, LogUnavailableError, UsageError
from weft.log import FROM_END, FROM_START, TopicSpec
from weft.log.embedded import _producer, open_embedded


def test_file_is_refused_and_left_alone_when_it_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"These are notes, and no log.\n" * 100)
    with pytest.raises(UsageError, match=r"notes\.txt is not a log of Weft"):
        open_embedded(path)
    assert path.read_bytes() == b"These are notes, and no log.\n" * 100
    assert [found.name for found in tmp_path.iterdir()] == ["notes.txt"]


def test_file_is_refused_and_left_alone_when_another_program_made_it(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE topics (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"another program"):
        open_embedded(path)
    assert path.read_bytes() == before


def test_file_is_refused_when_its_schema_version_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "log.weft"
    open_embedded(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE weft SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(UsageError, match=r"schema version 99.* reads version 2"):
        open_embedded(path)


def test_opening_says_what_is_wrong_when_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folder must exist"):
        open_embedded(tmp_path / "missing" / "log.weft")
    with pytest.raises(UsageError, match=r"must be a file"):
        open_embedded(tmp_path)


def test_all_openers_succeed_when_they_make_the_file_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "log.weft"
    barrier = threading.Barrier(8)
    created: list[list[str]] = []

    def open_and_create() -> None:
        barrier.wait()
        log = open_embedded(path)
        admin = log.admin()
        created.append(admin.create_topics([TopicSpec("orders", 3)]))
        admin.close()
        log.close()

    threads = [threading.Thread(target=open_and_create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [[]] * 7 + [["orders"]]


def test_writers_say_so_when_the_file_stays_locked(tmp_path: Path) -> None:
    path = tmp_path / "log.weft"
    log = open_embedded(path, busy_timeout_s=0.1)
    admin = log.admin()
    admin.create_topics([TopicSpec("orders", 1)])
    producer, transactional = log.producer(), log.transactional_producer("owner")
    transactional.fence(1.0)
    errors: list[LogError | None] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailableError, match=r"log\.weft stayed locked for 0\.1 s"):
            admin.create_topics([TopicSpec("more", 1)], 0.1)
        producer.produce("orders", 0, b"key", b"plain", (), lambda error, *_: errors.append(error))
        assert producer.flush(PATIENCE_S) == 0
        transactional.begin()
        transactional.append("orders", 0, b"key", b"transactional")
        with pytest.raises(CommitUnknownError, match=r"stayed locked"):
            transactional.commit(0.1)
        reader = log.reader()
        assert list(reader.read_to_end({("orders", 0): FROM_START}, 1.0)) == []
        locker.execute("ROLLBACK")
    assert [type(error) for error in errors] == [LogUnavailableError]
    transactional.commit(1.0)
    records = list(reader.read_to_end({("orders", 0): FROM_START}, 1.0))
    assert [record.value for record in records] == [b"transactional"]
    for closable in (reader, transactional, producer, admin, log):
        closable.close()


def test_objects_say_so_when_they_are_used_after_they_were_closed(embedded: Kit) -> None:
    topic = embedded.topic("orders")
    producer, reader = embedded.producer(), embedded.reader()
    member = embedded.member([topic])
    for close in (producer.close, reader.close, member.consumer.close):
        close()
        close()
    with pytest.raises(UsageError, match=r"after it was closed"):
        producer.produce(topic, 0, b"key", b"value")
    with pytest.raises(UsageError, match=r"after it was closed"):
        reader.assign({(topic, 0): FROM_END})
    with pytest.raises(UsageError, match=r"after it was closed"):
        member.poll()


def test_records_of_all_processes_are_there_when_they_write_at_once(embedded: Kit) -> None:
    topic = embedded.topic("orders")
    names = ["first", "second", "third"]
    children = [embedded.child("produce", topic, name, "2000") for name in names]
    transactional = embedded.transactional()
    committed = 0
    waiting = list(children)
    while waiting:
        transactional.begin()
        transactional.append(topic, 0, b"own", b"own:%d" % committed)
        transactional.commit(PATIENCE_S)
        committed += 1
        waiting = [child for child in waiting if child.line_if_any() != "done"]
    records = embedded.read(topic)
    assert [record.offset for record in records] == list(range(6000 + committed))
    for name, count in [*((name, 2000) for name in names), ("own", committed)]:
        mine = [record.value for record in records if record.key == name.encode()]
        assert mine == [f"{name}:{number}".encode() for number in range(count)]


def test_another_process_answers_promptly_when_it_watches_the_file(embedded: Kit) -> None:
    source, target = embedded.topic("source"), embedded.topic("target")
    child = embedded.child("echo", source, target)
    child.wait_for("ready")
    reader = embedded.reader()
    reader.assign({(target, 0): FROM_START})
    started_s = time.monotonic()
    for number in range(100):
        embedded.write(source, b"%d" % number)
        assert [record.value for record in reader.poll(10, PATIENCE_S)] == [b"%d" % number]
    assert time.monotonic() - started_s < PATIENCE_S


def test_queue_is_bounded_when_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_producer, "QUEUE_RECORDS_MAX", 10)
    path = tmp_path / "log.weft"
    log = open_embedded(path)
    admin = log.admin()
    admin.create_topics([TopicSpec("orders", 1)])
    producer = log.producer()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        for number in range(10):
            producer.produce("orders", 0, b"key", b"%d" % number)
        with pytest.raises(LogUnavailableError, match=r"10 records wait"):
            producer.produce("orders", 0, b"key", b"one too many")
        assert producer.flush(0.05) == 10
        locker.execute("ROLLBACK")
    assert producer.flush(PATIENCE_S) == 0
    reader = log.reader()
    records = list(reader.read_to_end({("orders", 0): FROM_START}, 1.0))
    assert [record.value for record in records] == [b"%d" % number for number in range(10)]
    for closable in (reader, producer, admin, log):
        closable.close()


def test_backlog_is_shared_out_among_partitions_when_a_poll_cannot_take_it_all(
    embedded: Kit,
) -> None:
    topic = embedded.topic("orders", partitions=3)
    for partition, count in enumerate((100, 5, 100)):
        embedded.write(topic, *[b"x"] * count, partition=partition)
    reader = embedded.reader()
    reader.assign({(topic, partition): FROM_START for partition in range(3)})
    counts = [0, 0, 0]
    for record in reader.poll(60, 0):
        counts[record.partition] += 1
    assert sum(counts) == 60
    assert counts[1] == 5
    assert min(counts[0], counts[2]) >= 20
    assert len(reader.poll(1000, 0)) == 145
    assert reader.poll(1000, 0) == []
