"""Records of a workflow's code's own, on topics of its users: `ctx.publish`.

The code asks within its step. Where the record goes, or why it cannot, is found out after that step, since looking at
topics takes time, and becomes part of the history: a replay tells the code the same, and nothing is published again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from weft.codec import encode_payload
from weft.core import PublishRecord
from weft.errors import RecordTooLargeError, UsageError, WeftError
from weft.records import FailureInfo, HistoryEvent, RecordPublished
from weft.workflow._commands import Commands
from weft.workflow._futures import WorkflowFuture

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_DIGEST_BYTES = 16
STEP_BYTES_MAX = 64 * 1024 * 1024
"""Of the records of one step: they all leave in one transaction."""
_ERRORS: dict[str, type[WeftError]] = {
    error.__name__: error for error in (RecordTooLargeError, UsageError)
}
"""What the code is told of a record that was refused, by the failure's type."""

Place = Callable[[PublishRecord], PublishRecord]
"""The same record with its partition, or with the failure that keeps it from being published. May block, and raise what
is no matter of the code's."""


def on_any_topic(record: PublishRecord) -> PublishRecord:
    """Of a machine whose records go nowhere."""
    return msgspec.structs.replace(record, partition=0)


def encoded(
    topic: str, key: object, value: object, headers: Mapping[str, str | bytes] | None
) -> PublishRecord:
    """The record that the code asks for, without its number.

    Raises UsageError for a topic that Kafka cannot have, and for a key, value or header that is none.
    """
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise UsageError(
            f"{topic[:250]!r} cannot be a topic: Kafka's have 1 to 249 letters, digits, dots, `_` and `-`"
        )
    key_bytes = _key(key)
    value_bytes = _value(value)
    pairs = tuple(
        (_text(name), _header(name, content)) for name, content in (headers or {}).items()
    )
    return PublishRecord(
        0, topic, key_bytes, value_bytes, pairs, _digest(key_bytes, value_bytes, pairs)
    )


def _key(key: object) -> bytes | None:
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return _text(key).encode()
    raise UsageError(f"a record's key is a text or bytes, not {key!r}: say how it is to be written")


def _value(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return bytes(encode_payload(value))


def _header(name: str, content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return _text(content).encode()
    raise UsageError(f"the header {name!r} of a record is a text or bytes, not {content!r}")


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise UsageError(f"the name of a record's header is a text, not {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} has a lone surrogate, which no record can hold") from None
    return text


def _digest(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> str:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in (
        key,
        value,
        *(part for name, content in headers for part in (name.encode(), content)),
    ):
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return digest.hexdigest()


def size_of(record: PublishRecord) -> int:
    """Of key, value and headers, in bytes."""
    size_bytes = len(record.key or b"") + len(record.value or b"")
    return size_bytes + sum(len(name) + len(content) for name, content in record.headers)


class PublishFuture(WorkflowFuture):
    """Done once the record's place is known, which takes no time of the workflow's."""

    def __init__(
        self, commands: Commands, publish_id: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(loop=loop)
        self._publish_id = publish_id
        self._commands = commands

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            # Nobody waits for it any more, and it was not brought out yet: it is not.
            self._commands.withdraw(self._publish_id)
        return cancelled

    def tell(self, failure: FailureInfo | None) -> None:
        """The record is published with this step, or was refused."""
        if self.done():
            return
        if failure is None:
            self.set_result(None)
        else:
            self.set_exception(_ERRORS.get(failure.type, UsageError)(failure.message))


class Publications:
    """Of one run: what its code has asked to publish and was not told of yet."""

    def __init__(self, commands: Commands, loop: asyncio.AbstractEventLoop, place: Place) -> None:
        self.waiting: list[tuple[PublishFuture, PublishRecord]] = []
        self._commands = commands
        self._loop = loop
        self._place = place
        self._recorded: dict[int, RecordPublished] = {}
        self._step_bytes = 0

    def begin_replay(self, history: Sequence[HistoryEvent]) -> None:
        """From now on the history says what became of each record."""
        self._recorded = {
            event.publish_id: event for event in history if isinstance(event, RecordPublished)
        }

    def publish(self, record: PublishRecord) -> PublishFuture:
        """Ask for a record to be published with this step."""
        number = self._commands.next_number("publish a record")
        future = PublishFuture(self._commands, number, self._loop)
        if not self._commands.ended:
            command = msgspec.structs.replace(record, publish_id=number)
            self._commands.ask(command, number)
            self.waiting.append((future, command))
        return future

    def begin_step(self) -> None:
        self._step_bytes = 0

    def settle(self, *, replaying: bool) -> list[tuple[PublishFuture, PublishRecord]]:
        """What becomes of those that wait, for `tell`. One that a replayed history lacks waits for ever: it is refused.

        Raises what is no matter of the code's.
        """
        settled = self._settled(replaying=replaying)
        for _, record in settled:
            self._commands.place(record)
        return settled

    def tell(self, settled: Sequence[tuple[PublishFuture, PublishRecord]]) -> None:
        """Let the code know what became of its records."""
        for future, record in settled:
            future.tell(record.failure)

    def _settled(self, *, replaying: bool) -> list[tuple[PublishFuture, PublishRecord]]:
        waiting, self.waiting = self.waiting, []
        if not replaying:
            return [
                (future, self._placed(record))
                for future, record in waiting
                if not future.cancelled()
            ]
        settled = []
        for future, record in waiting:
            event = self._recorded.get(record.publish_id)
            if event is not None and not future.cancelled():
                told = msgspec.structs.replace(
                    record, partition=event.partition, failure=event.failure
                )
                settled.append((future, told))
        return settled

    def _placed(self, record: PublishRecord) -> PublishRecord:
        size_bytes = size_of(record)
        if self._step_bytes + size_bytes > STEP_BYTES_MAX:
            text = (
                f"A record of {size_bytes:,} bytes for {record.topic} comes on top of {self._step_bytes:,} that the "
                f"workflow publishes in the same step; {STEP_BYTES_MAX:,} is the most. Publish fewer at a time."
            )
            return msgspec.structs.replace(record, failure=FailureInfo("RecordTooLargeError", text))
        placed = self._place(record)
        if placed.failure is None:
            self._step_bytes += size_bytes
        return placed
