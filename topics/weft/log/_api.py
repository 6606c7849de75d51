"""The log contract: what Weft needs from Kafka, and nothing more.

Two backends keep it (`weft.log.kafka`, `weft.log.embedded`) and one suite of tests holds both to it. Everything is
synchronous and thread-confined unless it says otherwise: the workers' loops are threads, and asyncio code reaches the
log through a bridge of its own.

Rules that every backend keeps:

- Offsets of a partition grow, with gaps: control records, aborted records and compaction leave holes.
- A reader sees committed records only, and nothing behind the first undecided one.
- A transaction's records and offsets become visible together or not at all.
- `send_offsets` carries the group's generation. A member whose generation is stale cannot commit: `FencedError`.
- `fence` with a transactional ID aborts what its previous holder left open and fences that holder.
- A compacted topic keeps at least the last value of each key; a null value is a tombstone and goes last of all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from weft.errors import LogError

Headers = Sequence[tuple[str, bytes]]
TopicPartition = tuple[str, int]
"""(topic, partition)"""

FROM_START = -2
"""Instead of an offset: the first record that is still there."""
FROM_END = -1
"""Instead of an offset: only what is written from now on."""
_LAST = -1000
"""Below every offset that Kafka's clients give a meaning of their own."""


def last(count: int) -> int:
    """Instead of an offset, for a reader: what has been written last, `count` offsets or as many as there are."""
    return _LAST - count


def count_of_last(offset: int) -> int | None:
    """The number that `last` was asked for; None for anything else."""
    return _LAST - offset if offset <= _LAST else None


class LogRecord(msgspec.Struct, gc=False):
    """A record as it was read. `value is None` is a tombstone. `timestamp_ms` is the writer's or the broker's clock."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as Weft wants it. `retention_ms` is for policy `delete`; None is the log's default."""

    name: str
    partitions: int
    compacted: bool = False
    retention_ms: int | None = None
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    """Further settings by Kafka's names; of these, the embedded log knows `max.message.bytes` only."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as it is on the log. `record_bytes_max` is the largest record it takes (key and value).

    `is_writable` is False when the log says that whoever asks may not write to it.
    """

    name: str
    partitions: int
    compacted: bool
    retention_ms: int | None
    replication: int
    record_bytes_max: int
    is_writable: bool = True


DeliveryCallback = Callable[[LogError | None, int, int], None]
"""Called with (error or None, partition, offset) once a record is durable, or surely is not."""

OffsetCallback = Callable[[int], None]
"""Called with the offset of a record of a transaction."""


@runtime_checkable
class Producer(Protocol):
    """Idempotent plain writes. `produce` may be called from any thread; callbacks run in `poll` and `flush`."""

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        """Queue one record. Raises `RecordTooLargeError` at once, `LogUnavailableError` when the queue is full."""

    def poll(self, timeout_s: float) -> int:
        """Serve delivery callbacks for at most `timeout_s`; returns how many were served."""

    def flush(self, timeout_s: float) -> int:
        """Wait until everything is delivered; returns how many records still are not."""

    def close(self) -> None: ...


class GroupMember(Protocol):
    """An opaque proof of membership at one generation, taken with a batch and handed to `send_offsets`."""


class TransactionalProducer(Protocol):
    """All or nothing. One transaction at a time; used by one thread.

    Any error of `commit`, `abort` or `send_offsets` other than `FencedError` leaves the outcome unknown
    (`CommitUnknownError`): close the producer, make a new one, rebuild. So do after a `LogFullError`, which says that
    nothing was written.
    """

    transactional_id: str

    def fence(self, timeout_s: float) -> None:
        """Take the transactional ID: abort what its previous holder left open, and fence that holder. Call first."""

    def begin(self) -> None: ...

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        """`on_offset` is told, before `commit` returns, at which offset the record lies. Rarely it is not.

        It counts only once `commit` has returned: what is told and not committed is nowhere.
        """

    def send_offsets(self, next_offsets: Mapping[TopicPartition, int], member: GroupMember) -> None:
        """Add consumed offsets (the next one to read, per partition) to the transaction."""

    def commit(self, timeout_s: float) -> None: ...

    def abort(self, timeout_s: float) -> None: ...

    def close(self) -> None: ...


class AssignmentListener(Protocol):
    """Told about partitions from inside `GroupConsumer.poll` (and `close`), in the polling thread."""

    def on_assigned(self, partitions: Sequence[int]) -> None:
        """These partition numbers, of every topic of the group, are this member's. They are paused until `resume`."""

    def on_revoked(self, partitions: Sequence[int]) -> None:
        """These must be given up; while this call runs they may still be committed."""

    def on_lost(self, partitions: Sequence[int]) -> None:
        """These are somebody else's already; nothing may be committed for them."""

    def on_stalled(self, partitions: Sequence[int]) -> None:
        """Committed offsets here are undecided for 500 ms: fence the previous owner. Repeated until they move."""


class GroupConsumer(Protocol):
    """A member of a consumer group that owns the same partition numbers on several topics at once.

    Membership is balanced on the first topic alone; the others follow it, so all topics must have the same count.
    """

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        """Wait for the first record at most `timeout_s`, then take what is there at once, up to `records_max`.

        Drives the membership: must be called at least every few seconds, also with every partition paused.
        """

    def resume(self, partitions: Sequence[int]) -> None: ...

    def pause(self, partitions: Sequence[int]) -> None: ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read this owned partition again from `offset` (after an aborted batch)."""

    def member(self) -> GroupMember:
        """Proof of the present generation, for `send_offsets`."""

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit outside a transaction (activity workers). Raises `FencedError` for a stale generation."""

    def committed(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, int]:
        """Decided offsets; a partition without one is absent. Raises `LogUnavailableError` while undecided."""

    def close(self) -> None:
        """Revoke everything (the listener is told) and end. A static member's partitions wait for its return."""


class Reader(Protocol):
    """Reads chosen partitions outside of any group, committed records only."""

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets (or `FROM_START`, `FROM_END`, `last(n)`); replaces the former ones.

        The end is resolved before this returns: what is written afterwards will be read.
        """

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]: ...

    def read_to_end(
        self,
        offsets: Mapping[TopicPartition, int],
        timeout_s: float,
        *,
        undecided_s: float = 0.0,
    ) -> Iterator[LogRecord]:
        """Assign, then yield up to the last record that is committed as each partition's end is first reached.

        A commit may be confirmed a moment before readers see it. So a log where that can be waits for what is undecided
        at an end, for at most `undecided_s` in all. `timeout_s` bounds the time without progress. Raises
        `LogUnavailableError` beyond it.
        """

    def read_at(
        self, offsets: Mapping[TopicPartition, Collection[int]], timeout_s: float
    ) -> list[LogRecord]:
        """The records at exactly these offsets; those that are not there any more are left out.

        For offsets that are known to be committed: nothing is waited for that stands undecided before them. `timeout_s`
        bounds the time without progress. Raises `LogUnavailableError` beyond it. `poll` is not affected.
        """

    def close(self) -> None: ...


class Admin(Protocol):
    """Topics. Every call is bounded by `timeout_s` and raises `LogUnavailableError` beyond it."""

    def create_topics(self, specs: Sequence[TopicSpec], timeout_s: float = 30.0) -> list[str]:
        """Create what is missing; returns the names that were created. Existing topics are left as they are."""

    def describe_topics(
        self, names: Sequence[str], timeout_s: float = 30.0
    ) -> dict[str, TopicInfo]:
        """The topics among `names` that exist."""

    def list_topics(self, timeout_s: float = 30.0) -> list[str]: ...

    def delete_topics(self, names: Sequence[str], timeout_s: float = 30.0) -> None: ...

    def close(self) -> None: ...


class Log(Protocol):
    """One log. Opening it checks that it can be reached; objects made from it are closed by whoever made them."""

    name: str
    """For messages: `kafka 127.0.0.1:19092` or `embedded orders.weft`."""
    payload_store: str | None
    """Where payloads go that no record takes, unless a user names another place; None: nowhere."""

    def admin(self) -> Admin: ...

    def producer(self, *, gather_s: float = 0.0) -> Producer:
        """A record may wait so long for others that go with it in one request: less work, where there are many."""

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer: ...

    def group_consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: AssignmentListener,
        *,
        instance_id: str | None = None,
        session_timeout_s: float = 6.0,
    ) -> GroupConsumer:
        """Join `group` on `topics[0]`, followed by the rest. `instance_id` makes the member static.

        A partition without a committed offset starts at `FROM_START`.
        """

    def reader(self, *, committed: bool = True) -> Reader:
        """`committed=False` also sees undecided records; only the takeover of a dead owner needs that."""

    def compact(self) -> int:
        """Clean as the topics' policies say; returns how many records went. Brokers do that by themselves: 0.

        May take seconds and be called from any thread; writers go on meanwhile.
        """

    def close(self) -> None: ...
