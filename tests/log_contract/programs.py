"""Random programs of log operations: written down once, run on every backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

TOPICS = ("orders", "state")
"""The second one is compacted."""
PARTITIONS = 2
GROUP_PARTITIONS = 3
PRODUCERS = ("a", "b")
MEMBERS = ("m0", "m1", "m2")
STEPS = {
    "write", "write-nowhere", "write-too-large", "write-last", "make-again",
    "fence", "zombie", "begin", "begin-again", "append", "too-large", "append-nowhere", "send-offsets", "commit",
    "abort", "close",
    "read", "read-undecided", "read-from-end", "read-on",
    "join", "leave", "return", "commit-offsets", "committed", "read-as-a-group",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    what: str
    who: str = ""
    """A transactional producer or a member, by name."""
    topic: str = ""
    partition: int = 0
    number: int = 0
    """Makes keys and values; or an offset."""
    is_tombstone: bool = False

    def __str__(self) -> str:
        place = f" {self.topic}-{self.partition}" if self.topic else ""
        return f"{self.what} {self.who}{place} {self.number}"


@dataclass(slots=True)
class _Writer:
    """What the program knows of a transactional ID while it is written."""

    is_open: bool = False
    has_offsets: bool = False
    has_zombie: bool = False
    is_closed: bool = False


@dataclass
class _Author:
    random: Random
    writers: dict[str, _Writer] = field(
        default_factory=lambda: {name: _Writer() for name in PRODUCERS}
    )
    members: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def add(self, what: str, who: str = "", *, is_tombstone: bool = False) -> None:
        assert what in STEPS
        number = len(self.steps)
        if what in ("write", "append", "too-large"):
            topic = self.random.choice(TOPICS)
            partition = self.random.randrange(PARTITIONS)
            self.steps.append(Step(what, who, topic, partition, number, is_tombstone))
        elif what in ("send-offsets", "commit-offsets"):
            partition = self.random.randrange(GROUP_PARTITIONS)
            self.steps.append(Step(what, who, "signals", partition, number))
        else:
            self.steps.append(Step(what, who, number=number))

    def step(self) -> None:
        """Any step that makes sense now, and some that do not."""
        kind = self.random.random()
        if kind < 0.15:
            self.add("write", is_tombstone=self.random.random() < 0.2)
        elif kind < 0.72:
            name = self.random.choice(PRODUCERS)
            self._produce(name, self.writers[name])
        elif kind < 0.84:
            self.add(self.random.choice(["read", "read", "read-undecided", "read-from-end"]))
        elif kind < 0.96:
            self._group()
        else:
            self.add(self.random.choice(["write-nowhere", "write-too-large", "make-again"]))

    def _produce(self, name: str, writer: _Writer) -> None:
        kind = self.random.random()
        if writer.is_closed or kind < 0.08:
            writer.has_zombie = not writer.is_closed
            writer.is_open = writer.has_offsets = writer.is_closed = False
            self.add("fence", name)
        elif writer.has_zombie and kind < 0.3:
            writer.has_zombie = False
            self.add("zombie", name)
        elif not writer.is_open:
            writer.is_open = True
            self.add("begin", name)
        elif kind < 0.65:
            self.add("append", name, is_tombstone=self.random.random() < 0.2)
        elif kind < 0.7:
            self.add(self.random.choice(["too-large", "append-nowhere", "begin-again"]), name)
        elif kind < 0.78 and self.members:
            writer.has_offsets = True
            self.add("send-offsets", name)
        elif kind < 0.82:
            writer.is_closed = True
            self.add("close", name)
        else:
            self._end(name, writer, "commit" if kind < 0.94 else "abort")

    def _end(self, name: str, writer: _Writer, what: str) -> None:
        writer.is_open = writer.has_offsets = False
        self.add(what, name)

    def _group(self) -> None:
        kind = self.random.random()
        # A new owner waits for offsets that are undecided.
        may_change = not any(writer.has_offsets for writer in self.writers.values())
        if may_change and len(self.members) < len(MEMBERS) and (kind < 0.2 or not self.members):
            name = next(name for name in MEMBERS if name not in self.members)
            self.members.append(name)
            self.add("join", name)
        elif may_change and len(self.members) > 1 and kind < 0.4:
            # The first one is static, and comes back.
            name = self.random.choice(self.members)
            if name == MEMBERS[0]:
                self.add("return", name)
            else:
                self.members.remove(name)
                self.add("leave", name)
        elif self.members and kind < 0.7:
            self.add("commit-offsets")
        elif self.members:
            self.add("committed")


def program(seed: int, length: int) -> list[Step]:
    """Steps that end with everything decided and read."""
    author = _Author(Random(seed))
    for _ in range(length):
        author.step()
    for name in PRODUCERS:
        author.add("fence", name)
    for what in ("write-last", "read", "read-undecided", "read-on"):
        author.add(what)
    if author.members:
        author.add("committed")
        author.add("read-as-a-group")
    return author.steps
