"""What must hold of events, replies, offsets and dead letters when all is over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.torture.events import kind_of
from tests.torture.ledger import CONTINUED, ENDS, Ending, Ledger
from weft.log import FROM_START, Log
from weft.topics import Namespace

_PROBLEMS_MAX = 20
_READ_TIMEOUT_S = 60.0
_ADMIN_TIMEOUT_S = 30.0


def check_events(events: Iterable[dict[str, Any]], ledger: Ledger) -> list[str]:
    """Every run began once and ended once, as it must; the runs are those that were asked for."""
    problems = []
    kinds: dict[str, list[str]] = {}
    endings: dict[str, list[Ending]] = {}
    ids: Counter[str] = Counter()
    for event in events:
        data, kind = event["data"], kind_of(event)
        ids[event["id"]] += 1
        kinds.setdefault(data["run_id"], []).append(kind)
        if kind in ENDS:
            endings.setdefault(event["subject"], []).append(_ending_of(data))
    problems += [f"event {name} is there {count} times" for name, count in ids.items() if count > 1]
    for run_id, found in kinds.items():
        if len(found) != 2 or found[0] != "started" or found[1] not in {*ENDS, CONTINUED}:
            problems.append(f"the events of run {run_id} are {found}")
    for workflow_id in ledger.expected.keys() | endings.keys():
        wanted, found_endings = ledger.expected.get(workflow_id), endings.get(workflow_id)
        if wanted != found_endings:
            problems.append(f"{workflow_id} ended as {found_endings}, not as {wanted}")
    return problems[:_PROBLEMS_MAX]


def _ending_of(data: dict[str, Any]) -> Ending:
    if data["status"] == "completed":
        return Ending("completed", data["result"])
    failure = data.get("failure")
    return Ending(data["status"], None, failure["message"] if failure else data.get("reason", ""))


def check_told(ledger: Ledger) -> list[str]:
    """What clients were told is what happened. Of a replaced run nobody waits for the end."""
    problems = []
    for workflow_id, expected in ledger.expected.items():
        told = ledger.told.get(workflow_id, [])
        if not told or told != expected[-len(told) :]:
            problems.append(f"{workflow_id}: clients were told {told}, it must be {expected}")
    return problems[:_PROBLEMS_MAX]


def check_deadletters(log: Log, topic: str, partitions: int, ledger: Ledger) -> list[str]:
    """Nothing was put aside but copies of signals and updates: their workflow had ended, or let none of them pass."""
    problems = []
    reader = log.reader()
    try:
        offsets = {(topic, number): FROM_START for number in range(partitions)}
        for record in reader.read_to_end(offsets, _READ_TIMEOUT_S, undecided_s=10.0):
            value = json.loads(record.value or b"{}")
            value = value["record"] if value.get("kind") == "forwarded" else value
            key = (record.key or b"").decode()
            sent = {*ledger.signal_ids.get(key, ()), *ledger.updates.get(key, ())}
            if value.get("id") not in sent:
                problems.append(f"{record.key!r}: {value} was put aside: {list(record.headers)}")
    finally:
        reader.close()
    return problems[:_PROBLEMS_MAX]


class Offsets:
    """How far consumer groups have come, and how far they can come."""

    def __init__(self, log: Log, address: str, namespace: Namespace, partitions: int) -> None:
        self._log = log
        self._settings: dict[str, str | int | float | bool] = {"bootstrap.servers": address}
        self._numbers = range(partitions)
        self._topics_by_group = {
            namespace.workflow_group: (namespace.signals, namespace.results, namespace.messages),
            namespace.activity_group("default"): (namespace.tasks("default"),),
        }

    def problems(self) -> list[str]:
        """Partitions whose committed offset is not behind their last committed record."""
        found: list[str] = []
        for group, topics in self._topics_by_group.items():
            ends = self._ends(topics)
            committed = self._committed(group, topics)
            found += [
                f"group {group} stands at {committed.get(place)} of {place[0]}-{place[1]}, whose end is {end}"
                for place, end in ends.items()
                if end > max(committed.get(place, 0), 0)
            ]
        return found

    def _ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offset after the last record that a read_committed reader sees, where there is one still."""
        ends: dict[tuple[str, int], int] = {}
        reader = self._log.reader()
        try:
            offsets = {
                (topic, number): self._tail(topic, number)
                for topic in topics
                for number in self._numbers
            }
            for record in reader.read_to_end(offsets, _READ_TIMEOUT_S, undecided_s=10.0):
                ends[record.topic, record.partition] = record.offset + 1
        finally:
            reader.close()
        return ends

    def _tail(self, topic: str, number: int) -> int:
        """Somewhere near the end, so that not all of it is read again."""
        consumer = Consumer({**self._settings, "group.id": "weft-torture-ends"})
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(topic, number), timeout=_ADMIN_TIMEOUT_S
            )
        finally:
            consumer.close()
        return max(low, high - 1000)

    def _committed(self, group: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        wanted = [TopicPartition(topic, number) for topic in topics for number in self._numbers]
        admin = AdminClient(self._settings)
        futures = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)])
        found = futures[group].result(_ADMIN_TIMEOUT_S).topic_partitions
        return {(one.topic, one.partition): one.offset for one in found}


def repeated_activities(notes: Path) -> tuple[int, int]:
    """(attempts that were done, of these how many more than once: a worker died before that was known)."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    counts = Counter(lines)
    return len(counts), sum(count - 1 for count in counts.values())
