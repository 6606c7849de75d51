"""What must hold between runs, and between a run and who updates it or reads what it publishes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.torture.events import kind_of
from tests.torture.flows import mix
from tests.torture.hand import REJECTED
from tests.torture.ledger import CONTINUED, Ledger, Update
from weft.codec import decode_payload
from weft.records import (
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    Event,
    SignalReceived,
    UpdateAccepted,
    UpdateCompleted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)

Histories = Mapping[str, Sequence[Event]]
"""By workflow ID, of the newest run."""
_PROBLEMS_MAX = 20
_READ_TIMEOUT_S = 60.0
_POLL_S = 0.5


def check_children(histories: Histories, ledger: Ledger) -> list[str]:
    """Each child's end is counted once by its parent, as it was."""
    problems: list[str] = []
    for parent, wanted in ledger.children.items():
        events = histories.get(parent, ())
        names = {e.child_id: e.workflow_id for e in events if isinstance(e, ChildScheduled)}
        ends = [event for event in events if isinstance(event, ChildCompleted | ChildFailed)]
        heard = Counter(names.get(event.child_id, "a stranger") for event in ends)
        if heard != Counter(wanted.keys()):
            problems.append(f"{parent} heard of {dict(heard)}, its children are {sorted(wanted)}")
        for event in ends:
            name = names.get(event.child_id, "")
            problems += _problems_of_child(parent, event, histories.get(name, ()), name)
        result = _result(events)
        if result.get("counted") != wanted:
            problems.append(f"{parent} has counted {result.get('counted')}, not {wanted}")
        total = sum(value for value in wanted.values() if value > 0)
        if result.get("total") != total:
            problems.append(f"{parent} has {result.get('total')} in all, not {total}")
    return problems[:_PROBLEMS_MAX]


def _problems_of_child(
    parent: str, heard: ChildCompleted | ChildFailed, events: Sequence[Event], name: str
) -> Iterator[str]:
    """What the parent heard is what the child's newest run tells."""
    if not events:
        yield f"{parent} heard of {name!r}, which has no history"
        return
    first, last = events[0], events[-1]
    assert isinstance(first, WorkflowStarted), "every history begins with it"
    if first.parent is None or first.parent.workflow_id != parent:
        yield f"{name} is the child of {first.parent}, and {parent} heard of it"
    match heard, last:
        case ChildCompleted(), WorkflowCompleted():
            same = bytes(heard.result) == bytes(last.result)
        case ChildFailed(), WorkflowFailed():
            same = heard.failure.message == last.failure.message
        case _:
            same = False
    if not same or heard.run_id != first.run_id:
        yield f"{parent} heard of {name} {heard}, which ended as {last}"


def check_updates(histories: Histories, ledger: Ledger) -> list[str]:
    """Each update that the code lets pass is applied once, the others never; all who sent one were told the truth."""
    problems: list[str] = []
    for workflow_id, updates in ledger.updates.items():
        events = histories.get(workflow_id, ())
        accepted = [event.update_id for event in events if isinstance(event, UpdateAccepted)]
        wanted = [update_id for update_id, update in updates.items() if update.passes]
        if sorted(accepted) != sorted(wanted):
            differ = Counter(accepted)
            differ.subtract(wanted)
            odd = {name: count for name, count in differ.items() if count}
            problems.append(f"{workflow_id} took updates up too often, or not at all (<0): {odd}")
        numbers = sorted(updates[name].number for name in wanted)
        if _result(events).get("entered") != numbers:
            problems.append(
                f"{workflow_id} has applied {_result(events).get('entered')}, not {numbers}"
            )
        for update_id, update in updates.items():
            problems += _problems_of_update(update_id, update, accepted, events)
    return problems[:_PROBLEMS_MAX]


def _problems_of_update(
    update_id: str, update: Update, accepted: Sequence[str], events: Sequence[Event]
) -> Iterator[str]:
    outcomes = [
        decode_payload(event.result)
        for event in events
        if isinstance(event, UpdateCompleted) and event.update_id == update_id
    ]
    truth: Any = REJECTED
    if update.passes:
        place = accepted.index(update_id) + 1 if update_id in accepted else 0
        truth = {"place": place, "value": mix(update.number)}
    if outcomes != ([truth] if update.passes else []):
        yield f"update {update_id} came to {outcomes} in the history, it must be {truth}"
    if not update.replies or any(reply != truth for reply in update.replies):
        yield f"who sent update {update_id} was told {update.replies}, it must be {truth}"


def check_published(records: Iterable[tuple[str, Any]], ledger: Ledger) -> list[str]:
    """Each record, (key, value), is there once."""
    found: dict[str, list[Any]] = {}
    for key, value in records:
        found.setdefault(key, []).append(value)
    return [
        f"{key} was published as {found.get(key, [])}, it must be {ledger.published.get(key)} once"
        for key in ledger.published.keys() | found.keys()
        if key not in ledger.published or found.get(key) != [ledger.published[key]]
    ][:_PROBLEMS_MAX]


def read_committed(address: str, topic: str, partitions: int) -> Iterator[tuple[str, Any]]:
    """(key, value) of all records that a consumer of committed ones gets. Raises TimeoutError."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "weft-torture-news",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    deadline_s = time.monotonic() + _READ_TIMEOUT_S
    unread = set(range(partitions))
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        while unread:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"partitions {sorted(unread)} of {topic} cannot be read")
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield (message.key() or b"").decode(), json.loads(message.value() or b"null")
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition() or 0)
    finally:
        consumer.close()


def check_chains(
    events: Iterable[dict[str, Any]], histories: Histories, ledger: Ledger
) -> list[str]:
    """Each chain has as many runs as it must, each continues the one before, and no signal is lost between them."""
    problems: list[str] = []
    links: dict[str, list[tuple[str, str]]] = {name: [] for name in ledger.chains}
    begun: dict[str, list[tuple[str, str]]] = {name: [] for name in ledger.chains}
    for event in events:
        name, data, kind = event["subject"], event["data"], kind_of(event)
        if kind == CONTINUED and name in links:
            links[name].append((data["run_id"], data["next_run_id"]))
        elif kind == "started" and "continued_from" in data and name in begun:
            begun[name].append((data["continued_from"], data["run_id"]))
    for name, runs in ledger.chains.items():
        if sorted(links[name]) != sorted(begun[name]) or len(set(links[name])) != runs - 1:
            problems.append(
                f"{name}, of {runs} runs: continued were {links[name]}, and begun {begun[name]}"
            )
        problems += _lost_signals(name, histories.get(name, ()), ledger)
    return problems[:_PROBLEMS_MAX]


def carried_count(histories: Histories, ledger: Ledger) -> int:
    """How many signals the last runs of the chains were given by the runs before them, which had not taken them."""
    firsts = (histories[name][0] for name in ledger.chains if name in histories)
    return sum(first.carried_count for first in firsts if isinstance(first, WorkflowStarted))


def _lost_signals(name: str, events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    """The last run knows the signals that former ones have received; its code has taken each of all those once."""
    first = events[0] if events else None
    if not isinstance(first, WorkflowStarted):
        yield f"{name} has no history"
        return
    received = [*first.signal_ids]
    received += [event.signal_id for event in events if isinstance(event, SignalReceived)]
    sent = ledger.signal_ids.get(name, set())
    if Counter(received) != Counter(sent):
        yield f"{name} received {sorted(received)}, sent were {sorted(sent)}"
    numbers = sorted(int(signal_id.split("/")[2]) for signal_id in sent)
    if _result(events).get("numbers") != numbers:
        yield f"{name} has taken {_result(events).get('numbers')}, sent were {numbers}"


def _result(events: Sequence[Event]) -> dict[str, Any]:
    """What a completed run returned; empty for others."""
    last = events[-1] if events else None
    found = decode_payload(last.result) if isinstance(last, WorkflowCompleted) else None
    return found if isinstance(found, dict) else {}
