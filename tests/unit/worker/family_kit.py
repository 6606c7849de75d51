"""Owners of several partitions and namespaces, each by hand, and the messages that they write to one another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.unit.worker.kit import NAMESPACE, Mode, Served
from weft.codec import decode_messages
from weft.log import LogRecord
from weft.payloads import Payloads, PayloadStore
from weft.records import PAYLOAD_BYTES_MAX, HistoryEvent, MessagesRecord
from weft.topics import Namespace, partition_of
from weft.worker._cells import HOT_MAX
from weft.worker._directory import Directory
from weft.workflow import Workflow

BILLING = Namespace("billing")
ROUNDS_MAX = 1000


class _Known(Directory):
    """Knows the namespaces of a test."""

    def __init__(self, own: Namespace, counts: dict[str, int]) -> None:
        super().__init__(own, counts[own.name])
        self._counts = counts

    def _look(self, name: str) -> tuple[Namespace, int] | None:
        return (Namespace(name), self._counts[name]) if name in self._counts else None


class Family:
    """`orders` with two partitions and `billing` with three, all of which have these workflows."""

    def __init__(
        self,
        *workflows: Workflow[Any, Any],
        mode: Mode = "live",
        store: PayloadStore | None = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        memory_bytes_max: int | None = None,
        hot_max: int = HOT_MAX,
    ) -> None:
        counts = {NAMESPACE.name: 2, BILLING.name: 3}
        self.members: dict[tuple[str, int], Served] = {
            (namespace.messages, number): Served(
                *workflows,
                mode=mode,
                number=number,
                partition_count=counts[namespace.name],
                namespace=namespace,
                directory=_Known(namespace, counts),
                payloads=Payloads(namespace.name, store, bytes_max=payload_bytes_max),
                memory_bytes_max=memory_bytes_max,
                hot_max=hot_max,
            )
            for namespace in (NAMESPACE, BILLING)
            for number in range(counts[namespace.name])
        }
        self.sent: list[tuple[str, str, MessagesRecord]] = []
        """(topic, workflow ID, message) of all that were delivered."""
        self._seen: dict[tuple[str, int], dict[str, int]] = {place: {} for place in self.members}

    def close(self) -> None:
        for member in self.members.values():
            member.close()

    def of(self, workflow_id: str, namespace: Namespace = NAMESPACE) -> Served:
        """The owner of this workflow."""
        count = 2 if namespace is NAMESPACE else 3
        return self.members[namespace.messages, partition_of(workflow_id.encode(), count)]

    def start(self, workflow: str, value: object = None, *, key: str, **options: Any) -> None:
        self.of(key).start(workflow, value, key=key, **options)
        self.deliver()

    def pending(self) -> Iterable[tuple[str, int, bytes, bytes]]:
        """(topic, partition, key, value) of messages that are not delivered yet, each writer's in its order."""
        for place, member in self.members.items():
            for topic in (NAMESPACE.messages, BILLING.messages):
                written = member.written[topic]
                first = self._seen[place].get(topic, 0)
                self._seen[place][topic] = len(written)
                for _, number, key, value, _ in written[first:]:
                    assert key is not None
                    assert value is not None
                    yield topic, number, key, value

    def deliver(self, copies: int = 1) -> None:
        """Until nobody has anything to say any more; each message so many times."""
        for _ in range(ROUNDS_MAX):
            messages = list(self.pending())
            if not messages:
                return
            for topic, number, key, value in messages:
                self.sent.append((topic, key.decode(), decode_messages(value)))
                member = self.members[topic, number]
                for _ in range(copies):
                    member.turn(member.record(topic, value, key.decode()))
        raise AssertionError("they go on talking for ever")

    def lose(self) -> list[tuple[str, int, bytes, bytes]]:
        """Messages that are on their way, kept back by the test."""
        return list(self.pending())

    def give(self, messages: Iterable[tuple[str, int, bytes, bytes]]) -> None:
        """Deliver these now."""
        for topic, number, key, value in messages:
            member = self.members[topic, number]
            member.turn(member.record(topic, value, key.decode()))

    def advance(self, milliseconds: int) -> None:
        for member in self.members.values():
            member.advance(milliseconds)
        self.deliver()

    def complete(self, workflow_id: str, result: object, namespace: Namespace = NAMESPACE) -> None:
        """The newest task of this workflow."""
        owner = self.of(workflow_id, namespace)
        run_id = owner.head(workflow_id).run_id
        task = [task for task in owner.tasks() if task.run_id == run_id][-1]
        owner.complete(task, result, workflow_id)
        self.deliver()

    def record(self, served: Served, topic: str, value: object, key: str) -> LogRecord:
        return served.record(topic, value, key)

    def workflow_ids(self, namespace: Namespace = NAMESPACE) -> list[str]:
        return sorted(
            workflow_id
            for (topic, _), member in self.members.items()
            if topic == namespace.messages
            for workflow_id in member.partition.cells
        )

    def child_of(self, parent_id: str, namespace: Namespace = NAMESPACE) -> str:
        """The only workflow there that is a child of that one."""
        (found,) = [
            workflow_id
            for workflow_id in self.workflow_ids(namespace)
            if (parent := self.of(workflow_id, namespace).head(workflow_id).parent) is not None
            and parent.workflow_id == parent_id
        ]
        return found

    def status(self, workflow_id: str, namespace: Namespace = NAMESPACE) -> str:
        return self.of(workflow_id, namespace).head(workflow_id).status

    def story(self, workflow_id: str, namespace: Namespace = NAMESPACE) -> list[str]:
        return self.of(workflow_id, namespace).story(workflow_id)

    def history(self, workflow_id: str, namespace: Namespace = NAMESPACE) -> list[HistoryEvent]:
        return self.of(workflow_id, namespace).history(workflow_id)

    def dropped(self, workflow_id: str, namespace: Namespace = NAMESPACE) -> dict[str, int]:
        return dict(self.of(workflow_id, namespace).partition.dropped)
