"""A process of its own on a test's log: `child.py BACKEND ADDRESS COMMAND ...`. Ends when its input is closed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from weft.errors import FencedError, LogFullError
from weft.log import (
    FROM_END,
    FROM_START,
    GroupConsumer,
    Log,
    LogRecord,
    TransactionalProducer,
    open_log,
)


def say(text: str) -> None:
    print(text, flush=True)


def input_closed() -> threading.Event:
    """Set when whoever started this process lets it end."""
    closed = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=watch, daemon=True).start()
    return closed


def commit_for_ever(log: Log, transactional_id: str, first_number: str, *topics: str) -> None:
    """Commit numbered transactions of two records on each topic, and print the number of each that is committed."""
    closed = input_closed()
    producer = log.transactional_producer(transactional_id)
    producer.fence(30.0)
    number = int(first_number)
    while not closed.is_set():
        producer.begin()
        for topic in topics:
            for _ in range(2):
                producer.append(topic, 0, b"key", b"%d" % number)
        producer.commit(30.0)
        say(str(number))
        number += 1


def commit_through(log: Log, transactional_id: str, *topics: str) -> None:
    """As `commit_for_ever` with some text in the records; prints `full` whenever the disk is, and tries again."""
    closed = input_closed()
    producer = log.transactional_producer(transactional_id)
    producer.fence(30.0)
    number = 0
    while not closed.is_set():
        producer.begin()
        for topic in topics:
            for _ in range(2):
                producer.append(topic, 0, b"%d" % number, b"%d %s" % (number, b"x" * 2000))
        try:
            producer.commit(30.0)
        except LogFullError:
            producer.abort(1.0)
            say("full")
            closed.wait(0.02)
        else:
            say(str(number))
            number += 1


class SayingListener:
    """Prints what it is told: `assigned 0,1`."""

    consumer: GroupConsumer

    def __init__(self) -> None:
        self.owned: set[int] = set()

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self._say("assigned", partitions)
        self.owned.update(partitions)
        self.consumer.resume(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self._say("revoked", partitions)
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self._say("lost", partitions)
        self.owned.difference_update(partitions)

    def on_stalled(self, partitions: Sequence[int]) -> None:
        self._say("stalled", partitions)

    def _say(self, what: str, partitions: Sequence[int]) -> None:
        say(f"{what} {','.join(str(partition) for partition in sorted(partitions))}")


class DyingListener(SayingListener):
    """Is killed when it has to give something up."""

    def on_revoked(self, partitions: Sequence[int]) -> None:
        super().on_revoked(partitions)
        os.kill(os.getpid(), signal.SIGKILL)


def be_member(log: Log, group: str, instance_id: str, session_timeout_s: str, *topics: str) -> None:
    """Be a member of a group (`instance_id` `-`: a dynamic one)."""
    _be_member(SayingListener(), log, group, instance_id, session_timeout_s, *topics)


def be_dying_member(
    log: Log, group: str, instance_id: str, session_timeout_s: str, *topics: str
) -> None:
    _be_member(DyingListener(), log, group, instance_id, session_timeout_s, *topics)


def _be_member(  # as the command line has them
    listener: SayingListener,
    log: Log,
    group: str,
    instance_id: str,
    session_timeout_s: str,
    *topics: str,
) -> None:
    closed = input_closed()
    listener.consumer = log.group_consumer(
        group,
        topics,
        listener,
        instance_id=None if instance_id == "-" else instance_id,
        session_timeout_s=float(session_timeout_s),
    )
    while not closed.is_set():
        listener.consumer.poll(100, 0.05)
    listener.consumer.close()


class Pipe:
    """A static group member that copies its records to another topic: output and offsets in one transaction."""

    def __init__(self, log: Log, group: str, instance_id: str, source: str, target: str) -> None:
        self._log = log
        self._transactional_id = f"{group}.{instance_id}"
        self._source = source
        self._target = target
        self._producer = self._taken_producer()
        self._listener = SayingListener()
        self.consumer = log.group_consumer(
            group, [source], self._listener, instance_id=instance_id, session_timeout_s=10.0
        )
        self._listener.consumer = self.consumer

    def _taken_producer(self) -> TransactionalProducer:
        producer = self._log.transactional_producer(self._transactional_id)
        producer.fence(30.0)
        return producer

    def step(self) -> None:
        records = self.consumer.poll(50, 0.05)
        if not records:
            return
        try:
            self._copy(records)
        except FencedError:
            self._producer.close()
            self._producer = self._taken_producer()
            self._go_back({record.partition for record in records})

    def _copy(self, records: Sequence[LogRecord]) -> None:
        member = self.consumer.member()
        self._producer.begin()
        for record in records:
            self._producer.append(self._target, record.partition, record.key, record.value)
        offsets = {(self._source, record.partition): record.offset + 1 for record in records}
        self._producer.send_offsets(offsets, member)
        self._producer.commit(30.0)

    def _go_back(self, partitions: set[int]) -> None:
        still_owned = [(self._source, partition) for partition in partitions & self._listener.owned]
        committed = self.consumer.committed(still_owned, 30.0)
        for topic, partition in still_owned:
            self.consumer.seek(topic, partition, committed.get((topic, partition), FROM_START))

    def close(self) -> None:
        self.consumer.close()
        self._producer.close()


def pipe(log: Log, group: str, instance_id: str, source: str, target: str) -> None:
    closed = input_closed()
    worker = Pipe(log, group, instance_id, source, target)
    while not closed.is_set():
        worker.step()
    worker.close()


def echo(log: Log, source: str, target: str) -> None:
    """Answer every record on `source` with a record of the same value on `target`, in a transaction each."""
    closed = input_closed()
    reader = log.reader()
    reader.assign({(source, 0): FROM_END})
    producer = log.transactional_producer(f"{target}.echo")
    producer.fence(30.0)
    say("ready")
    while not closed.is_set():
        for record in reader.poll(100, 0.1):
            producer.begin()
            producer.append(target, 0, record.key, record.value)
            producer.commit(30.0)
    producer.close()
    reader.close()


def produce(log: Log, topic: str, name: str, count: str) -> None:
    """Write `count` plain records with values `name:0`, `name:1`, ..., and print `done`."""
    producer = log.producer()
    for number in range(int(count)):
        producer.produce(topic, 0, name.encode(), f"{name}:{number}".encode())
    assert producer.flush(30.0) == 0
    producer.close()
    say("done")


def main() -> None:
    backend, address, command, *arguments = sys.argv[1:]
    log = open_log(kafka=address) if backend == "kafka" else open_log(embedded=address)
    commands: dict[str, Callable[..., None]] = {
        "commit": commit_for_ever,
        "commit-through": commit_through,
        "member": be_member,
        "dying-member": be_dying_member,
        "echo": echo,
        "pipe": pipe,
        "produce": produce,
    }
    commands[command](log, *arguments)
    log.close()


if __name__ == "__main__":
    main()
