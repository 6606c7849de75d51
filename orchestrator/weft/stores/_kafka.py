"""A store in a compacted topic: a state's JSON under its workflow's ID, and a tombstone for one that is deleted.

The topic is the truth, and what this process holds of it a cache that is read from the topic before it is first used.
A write counts when the topic has it; one that failed leaves the cache as it was. What others write to the topic is
seen as well, where there is a reader: the cache follows offsets, so that an older state never replaces a newer one.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self
from weakref import WeakValueDictionary

from weft.errors import LogError, UsageError
from weft.executor import StoreError, WorkflowFilter, WorkflowState
from weft.log import Log
from weft.stores._stored import Stored, chosen, loaded, stored

DEFAULT_TOPIC = "beluga-workflows"


class Message(NamedTuple):
    """One of the topic's. `value` is None for a tombstone; `offset` is where it lies, or -1 when nobody knows."""

    key: bytes
    value: bytes | None
    partition: int = 0
    offset: int = -1


class Writer(Protocol):
    """Writes to the topic."""

    async def write_messages(self, *messages: Message) -> builtins.list[Message] | None:
        """Return once all of them are durable, with where they lie if that is known. Raises what it likes."""

    async def close(self) -> None:
        """Give up what it holds."""


class Reader(Protocol):
    """Reads the topic from its start."""

    async def read_message(self) -> Message | None:
        """The next one; None when there is no more now."""

    async def close(self) -> None:
        """Give up what it holds."""


@dataclass(frozen=True, slots=True)
class KafkaStoreConfig:
    """`brokers` is `host:port`, for a store that makes its own writer and reader (`KafkaStore.connect`)."""

    writer: Writer | None = None
    reader: Reader | None = None
    brokers: str = ""
    topic: str = DEFAULT_TOPIC


class _Cached(NamedTuple):
    """`state` is None for a deleted one, whose place is kept: nothing older may bring it back."""

    state: Stored | None
    partition: int
    offset: int


class KafkaStore:
    """States in a topic. Belongs to the event loop that uses it first.

    `KafkaStore.connect(kafka="host:port")` is the whole: it makes the topic if need be, writes, and reads. With a
    writer alone nothing is known that this store has not written itself. Raises StoreError (`kafka: writer is
    required`).
    """

    def __init__(self, config: KafkaStoreConfig) -> None:
        if config.writer is None:
            raise StoreError("kafka: writer is required")
        self.config = config
        self._writer = config.writer
        self._reader = config.reader
        self._cache: dict[bytes, _Cached] = {}
        self._reading = asyncio.Lock()
        self._writing: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._is_closed = False
        self._is_rebuilt = config.reader is None

    @classmethod
    def from_writer_reader(cls, writer: Writer, reader: Reader | None = None) -> Self:
        """On these two: for tests without a broker, and for whoever has his own client."""
        return cls(KafkaStoreConfig(writer, reader))

    @classmethod
    async def connect(
        cls,
        *,
        kafka: str | None = None,
        log: Log | None = None,
        topic: str = DEFAULT_TOPIC,
        partitions: int = 8,
        replication: int = 1,
        owner: str = "",
        kafka_config: Mapping[str, Any] | None = None,
    ) -> Self:
        """Open the topic (made compacted if it is not there) and read what it holds.

        Stores of several processes may write to one topic. With an `owner`, the one that was opened last under that
        name is the only one: the writes of the others fail with FencedStoreError from then on, and none of them is
        lost in between. Raises StoreError (`kafka/open: ...`).
        """
        from weft.stores._topic import open_topic  # noqa: PLC0415  # a store on a writer of the user's needs no client

        try:
            writer, reader = await asyncio.to_thread(
                open_topic,
                kafka,
                log,
                topic,
                partitions=partitions,
                replication=replication,
                owner=owner,
                kafka_config=kafka_config or {},
            )
        except (LogError, UsageError) as error:
            raise StoreError(f"kafka/open: {error}") from error
        store = cls(KafkaStoreConfig(writer, reader, kafka or "", topic))
        try:
            await store.rebuild()
        except BaseException:
            with suppress(Exception):
                await store.close()
            raise
        return store

    async def __aenter__(self) -> Self:
        await self.rebuild()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def rebuild(self) -> None:
        """Read what the topic holds. Every call does so before it begins; this one is for who wants it done early."""
        await self._follow("rebuild")

    async def save(self, state: WorkflowState) -> None:
        self._check_open("save")
        kept = stored("kafka", state)
        await self._write("save", state.workflow_id.encode(), kept)

    async def load(self, workflow_id: str) -> WorkflowState | None:
        await self._follow("load")
        found = self._cache.get(workflow_id.encode())
        if found is None or found.state is None:
            return None
        return loaded("kafka", "load", workflow_id, found.state.data)

    async def list(self, filter: WorkflowFilter | None = None) -> builtins.list[WorkflowState]:
        await self._follow("list")
        states = [cached.state for cached in self._cache.values() if cached.state is not None]
        return [
            loaded("kafka", "list", one.place, one.data)
            for one in chosen(states, filter or WorkflowFilter())
        ]

    async def delete(self, workflow_id: str) -> None:
        """A tombstone; none for an ID that is not there, and the empty one is refused: it is no workflow's."""
        if not workflow_id:
            raise StoreError("kafka/delete: workflow ID is required")
        await self._follow("delete")
        found = self._cache.get(workflow_id.encode())
        # Without a reader nobody knows what the topic holds of it.
        if self._reader is None or (found is not None and found.state is not None):
            await self._write("delete", workflow_id.encode(), None)

    async def close(self) -> None:
        """Close the writer, then the reader; both are tried, and the first error is raised. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        errors = []
        for one in (self._writer, self._reader):
            try:
                if one is not None:
                    await one.close()
            except Exception as error:  # noqa: BLE001  # a client of the user's may raise anything
                errors.append(error)
        if errors:
            raise StoreError(f"kafka/close: {errors[0]}") from errors[0]

    def _check_open(self, operation: str) -> None:
        if self._is_closed:
            raise StoreError(f"kafka/{operation}: the store is closed")

    async def _write(self, operation: str, key: bytes, state: Stored | None) -> None:
        if not self._is_rebuilt:
            await self._follow(operation)
        lock = self._writing.setdefault(key, asyncio.Lock())
        async with lock:  # one after the other: so the cache has the order of the log
            self._check_open(operation)
            before = self._cache.get(key)
            # Whoever has written it before may place keys in another way; a key stays where it is.
            partition = before.partition if before is not None else -1
            message = Message(key, state.data if state else None, partition)
            written = await self._shielded(operation, message)
            self._place(key, _Cached(state, written.partition, written.offset))

    async def _shielded(self, operation: str, message: Message) -> Message:
        """Write it, to the end: whoever stops waiting must not leave the cache behind the topic."""
        writing = asyncio.ensure_future(self._written(operation, message))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            if not writing.done():
                with suppress(Exception):
                    written = await writing
                    state = self._read(written)
                    self._place(message.key, _Cached(state, written.partition, written.offset))
            raise

    async def _written(self, operation: str, message: Message) -> Message:
        try:
            written = await self._writer.write_messages(message)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"kafka/{operation}: {error}") from error
        return written[0] if written else message._replace(partition=max(message.partition, 0))

    def _place(self, key: bytes, new: _Cached) -> None:
        old = self._cache.get(key)
        if old is not None and new.partition == old.partition and 0 <= new.offset < old.offset:
            return  # somebody has written since
        self._cache[key] = new

    async def _follow(self, operation: str) -> None:
        """Take in what the topic has beyond what was read."""
        self._check_open(operation)
        if self._reader is None:
            return
        async with self._reading:
            try:
                while (message := await self._reader.read_message()) is not None:
                    self._take(message)
            except StoreError:
                raise
            except Exception as error:
                raise StoreError(f"kafka/{operation}: read: {error}") from error
            self._is_rebuilt = True

    def _take(self, message: Message) -> None:
        if not message.key:
            return  # nobody's
        if message.offset < 0 and self._is_rebuilt:
            # Where it lies nobody knows, so it may be an echo of what was written here, and be older than that.
            return
        self._place(message.key, _Cached(self._read(message), message.partition, message.offset))

    def _read(self, message: Message) -> Stored | None:
        """What another program has written may be no state: it is kept, and told of when it is asked for."""
        if message.value is None:
            return None
        try:
            return stored("kafka", WorkflowState.from_json(message.value))
        except (UsageError, StoreError):
            return Stored(message.key.decode(errors="replace"), "", message.value)
