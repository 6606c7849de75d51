"""A log whose calls may kill the process that makes them, at the moments that matter: around every step of a commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.simulation.faults import Faults, fault
from tests.simulation.scheduler import Process
from weft.log import GroupMember, Headers, Log, OffsetCallback, TransactionalProducer

BEFORE_BEGIN = fault("killed_before_begin", 0.004, "kill -9 before a transaction begins")
IN_APPEND = fault("killed_in_append", 0.002, "kill -9 between two records of a transaction")
BEFORE_OFFSETS = fault("killed_before_offsets", 0.004, "kill -9 before the offsets are added")
BEFORE_COMMIT = fault("killed_before_commit", 0.004, "kill -9 before the commit is asked for")
AFTER_COMMIT = fault("killed_after_commit", 0.004, "kill -9 after the commit, before the replies")
PRODUCING = fault("killed_producing", 0.001, "kill -9 right after a plain record was handed over")


class CrashingLog:
    """Another log, with producers that may be the last thing that their process touches."""

    def __init__(self, log: Log, process: Process, faults: Faults) -> None:
        self._log = log
        self._process = process
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        producer = self._log.transactional_producer(transactional_id)
        return _CrashingTransactions(producer, self._process, self._faults)

    def producer(self, *, gather_s: float = 0.0) -> Any:
        producer = self._log.producer(gather_s=gather_s)
        return _CrashingProducer(producer, self._process, self._faults)


class _Crashing:
    def __init__(self, inner: Any, process: Process, faults: Faults) -> None:
        self._inner = inner
        self._process = process
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _may_die(self, name: str) -> None:
        if self._faults.fires(name):
            self._process.kill()
            self._process.check()


class _CrashingTransactions(_Crashing):
    def begin(self) -> None:
        self._may_die(BEFORE_BEGIN)
        self._inner.begin()

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        self._may_die(IN_APPEND)
        self._inner.append(topic, partition, key, value, headers, on_offset)

    def send_offsets(
        self, next_offsets: Mapping[tuple[str, int], int], member: GroupMember
    ) -> None:
        self._may_die(BEFORE_OFFSETS)
        self._inner.send_offsets(next_offsets, member)

    def commit(self, timeout_s: float) -> None:
        self._may_die(BEFORE_COMMIT)
        self._inner.commit(timeout_s)
        self._may_die(AFTER_COMMIT)


class _CrashingProducer(_Crashing):
    def produce(self, *args: Any, **kwargs: Any) -> None:
        self._inner.produce(*args, **kwargs)
        self._may_die(PRODUCING)
