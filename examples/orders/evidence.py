"""What is known of one run of the order desk, from four witnesses that know nothing of each other.

`told`: what the client was told. `events`: what was published on the events topic. `states`: what the state topic
holds. `books`: what the outside world wrote down. All of it lies as lines of JSON in one folder, where it can be looked
at, and checked again with `python -m examples.orders.check FOLDER`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from examples.orders.reading import OrderBook, read_orders
from examples.orders.world import Execution, read_books
from weft.codec import decode_events, decode_payload, decode_state
from weft.log import FROM_START, Log, LogRecord
from weft.records import Head, WorkflowCompleted
from weft.topics import Namespace

READ_TIMEOUT_S = 20.0
UNDECIDED_S = 10.0
"""How long the log may take to show what was confirmed."""

BOOKS_FILE = "books.jsonl"
_RUN_FILE, _ORDERS_FILE = "run.json", "orders.csv"
_TOLD_FILE, _EVENTS_FILE, _STATES_FILE = "told.jsonl", "events.jsonl", "states.jsonl"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How it was run. `kills_ms` are the times at which a worker was killed, since the epoch."""

    backend: str
    lines_max: int | None
    seconds: float
    kills_ms: list[int]


@dataclass(frozen=True, slots=True)
class Told:
    """What the client was told of one order: its outcome, or how else its run ended."""

    order_id: str
    run_id: str
    outcome: dict[str, Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A lifecycle event: `type` is the last part of its CloudEvents type, as in `completed`."""

    order_id: str
    run_id: str
    type: str


@dataclass(frozen=True, slots=True)
class State:
    """The head that the state topic holds for an order, and the outcome in its history."""

    order_id: str
    run_id: str
    status: str
    outcome: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, read from a folder."""

    run: RunFacts
    book: OrderBook
    told: list[Told]
    events: list[Event]
    states: list[State]
    executions: list[Execution]


def collect_from_log(log: Log, namespace: Namespace, partitions: int, folder: Path) -> None:
    """Write down what the events topic and the state topic say, committed records only."""
    events = [_event(record) for record in _read_all(log, namespace.events, partitions)]
    states: dict[str, State] = {}
    for record in _read_all(log, namespace.state, partitions):
        if record.key is None or b"\0" in record.key:
            continue  # a page of a long history, or an owner's claim
        order_id = record.key.decode()
        if record.value is None:
            states.pop(order_id, None)
            continue
        head = decode_state(record.value)
        assert isinstance(head, Head), "every other record has a NUL in its key"
        states[order_id] = _state(order_id, head)
    _write_lines(folder / _EVENTS_FILE, events)
    _write_lines(folder / _STATES_FILE, states.values())


def write_run(folder: Path, run: RunFacts, orders_file: Path, told: Iterable[Told]) -> None:
    """Write down how it was run, on which orders, and what the client was told."""
    (folder / _RUN_FILE).write_text(json.dumps(asdict(run)) + "\n", encoding="utf-8")
    shutil.copyfile(orders_file, folder / _ORDERS_FILE)
    _write_lines(folder / _TOLD_FILE, told)


def load(folder: Path) -> Evidence:
    """Read a folder that `write_run` and `collect_from_log` have filled."""
    run = RunFacts(**json.loads((folder / _RUN_FILE).read_text(encoding="utf-8")))
    books = folder / BOOKS_FILE
    return Evidence(
        run=run,
        book=read_orders(folder / _ORDERS_FILE, run.lines_max),
        told=_read_lines(folder / _TOLD_FILE, Told),
        events=_read_lines(folder / _EVENTS_FILE, Event),
        states=_read_lines(folder / _STATES_FILE, State),
        executions=read_books(books) if books.exists() else [],
    )


def _read_all(log: Log, topic: str, partitions: int) -> list[LogRecord]:
    reader = log.reader()
    try:
        offsets = {(topic, number): FROM_START for number in range(partitions)}
        return list(reader.read_to_end(offsets, READ_TIMEOUT_S, undecided_s=UNDECIDED_S))
    finally:
        reader.close()


def _event(record: LogRecord) -> Event:
    event = json.loads(record.value or b"{}")
    return Event(event["subject"], event["data"]["run_id"], event["type"].rpartition(".")[2])


def _state(order_id: str, head: Head) -> State:
    last = decode_events(head.tail)[-1]
    outcome = decode_payload(last.result) if isinstance(last, WorkflowCompleted) else None
    return State(order_id, head.run_id, head.status, outcome)


def _write_lines(path: Path, items: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items)


def _read_lines(path: Path, kind: type[T]) -> list[T]:
    return [kind(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
