"""A topic in a list, for stores without a broker."""

from __future__ import annotations

import asyncio

from weft.stores import Message
from weft.topics import partition_of

PARTITIONS = 3


class Topic:
    """Records of all partitions, in the order in which they came; nothing is ever cleaned."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def append(self, message: Message) -> Message:
        number = message.partition
        if number < 0:
            number = partition_of(message.key, PARTITIONS)
        offset = sum(one.partition == number for one in self.messages)
        written = Message(message.key, message.value, number, offset)
        self.messages.append(written)
        return written


class TopicWriter:
    """`tells` says whether it tells where a message lies; `fails` is raised instead of writing."""

    def __init__(self, topic: Topic, *, tells: bool = True) -> None:
        self.topic = topic
        self.tells = tells
        self.fails: Exception | None = None
        self.pauses: list[float] = []
        """How long the next writes take to be confirmed."""
        self.closed = 0

    async def write_messages(self, *messages: Message) -> list[Message] | None:
        if self.fails is not None:
            raise self.fails
        written = [self.topic.append(message) for message in messages]
        await asyncio.sleep(self.pauses.pop(0) if self.pauses else 0)
        return written if self.tells else None

    async def close(self) -> None:
        self.closed += 1
        if self.fails is not None:
            raise self.fails


class TopicReader:
    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.next = 0
        self.closed = 0
        self.fails: Exception | None = None

    async def read_message(self) -> Message | None:
        if self.fails is not None:
            raise self.fails
        if self.next == len(self.topic.messages):
            return None
        self.next += 1
        return self.topic.messages[self.next - 1]

    async def close(self) -> None:
        self.closed += 1
        if self.fails is not None:
            raise self.fails
