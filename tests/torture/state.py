"""The state topic read anew, and held against what workers have in memory and against what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.torture.child import digest, run_fields
from tests.torture.flows import WORKFLOWS
from tests.torture.ledger import Ending, Ledger
from weft.codec import decode_events, decode_payload, decode_state, encode
from weft.core import Run, rebuild
from weft.errors import WeftError
from weft.log import FROM_START, Log, LogRecord
from weft.records import Event, Head, Page, SignalReceived, WorkflowStarted
from weft.topics import Namespace
from weft.worker._partition import Partition

Held = dict[str, dict[str, dict[str, Any]]]
"""As `child.held` gives it: `{partition: {workflow ID: {head, pages, run}}}`."""
_READ_TIMEOUT_S = 60.0
_PAGE_MARK = "\0"
_CLAIM = "\0claim"
_PROBLEMS_MAX = 20


class State:
    """All that is committed on the state topic: `partitions` as a new owner would have them, and the last values."""

    def __init__(self, log: Log, namespace: Namespace, partition_count: int) -> None:
        self.partitions = {
            number: Partition(
                number,
                namespace=namespace,
                partition_count=partition_count,
                workflows={workflow.name: workflow for workflow in WORKFLOWS},
                queues=frozenset({"default"}),
            )
            for number in range(partition_count)
        }
        self.values: dict[str, bytes] = {}
        """By key, claims left out."""
        self.record_count = 0
        reader = log.reader()
        try:
            offsets = {(namespace.state, number): FROM_START for number in self.partitions}
            for record in reader.read_to_end(offsets, _READ_TIMEOUT_S, undecided_s=10.0):
                self._take(record)
        finally:
            reader.close()
        for partition in self.partitions.values():
            partition.loaded()

    def _take(self, record: LogRecord) -> None:
        self.record_count += 1
        self.partitions[record.partition].load(record)
        key = (record.key or b"").decode()
        if record.value is None:
            self.values.pop(key, None)
        elif key != _CLAIM:
            self.values[key] = record.value

    def runs(self) -> Iterator[tuple[str, Head, list[Event]]]:
        """(workflow ID, head, whole history) of every workflow. Raises KeyError when a page is missing."""
        for key, value in self.values.items():
            if _PAGE_MARK in key:
                continue
            head = decode_state(value)
            assert isinstance(head, Head), f"under {key} is a {type(head).__name__}"
            events: list[Event] = []
            for number in range(head.page_count):
                page = decode_state(self.values[f"{key}\0{head.run_id}\0{number}"])
                assert isinstance(page, Page), f"{key}: page {number} is a {type(page).__name__}"
                events += decode_events(page.events)
            yield key, head, events + decode_events(head.tail)

    def blocked(self) -> list[str]:
        return [
            cell.workflow_id
            for partition in self.partitions.values()
            for cell in partition.cells.values()
            if cell.status == "blocked"
        ]

    def stray_pages(self) -> list[str]:
        """Pages of runs that are no longer there."""
        wanted = set()
        for partition in self.partitions.values():
            for cell in partition.cells.values():
                wanted |= {
                    f"{cell.workflow_id}\0{cell.run_id}\0{n}" for n in range(cell.page_count)
                }
        return [key for key in self.values if _PAGE_MARK in key and key not in wanted]


def compare_memory(state: State, held_by_worker: dict[str, Held]) -> list[str]:
    """Where what the workers hold differs from what a rebuild gives."""
    problems = []
    owners: dict[str, list[str]] = {str(number): [] for number in state.partitions}
    for worker, held in held_by_worker.items():
        for number, cells in held.items():
            owners[number].append(worker)
            problems += [
                f"{worker}, partition {number}: {problem}"
                for problem in _compare_cells(state.partitions[int(number)], cells)
            ]
    problems += [
        f"partition {number} is served by {who or 'nobody'}"
        for number, who in owners.items()
        if len(who) != 1
    ]
    return problems[:_PROBLEMS_MAX]


def _compare_cells(partition: Partition, held: dict[str, dict[str, Any]]) -> Iterator[str]:
    for workflow_id in partition.cells.keys() ^ held.keys():
        where = "only in memory" if workflow_id in held else "only on the log"
        yield f"{workflow_id} is {where}"
    for workflow_id in partition.cells.keys() & held.keys():
        cell, memory = partition.cells[workflow_id], held[workflow_id]
        if digest(encode(cell.head)) != memory["head"]:
            yield f"{workflow_id}: the head in memory is not the one on the log"
        if [digest(encode(page)) for page in cell.pages] != memory["pages"]:
            yield f"{workflow_id}: the pages in memory are not those on the log"
        if memory["run"] is not None:
            again = run_fields(rebuild(workflow_id, cell.history()))
            if again != memory["run"]:
                yield f"{workflow_id}: in memory {memory['run']}, rebuilt {again}"


def check_histories(state: State, ledger: Ledger) -> list[str]:
    """Each history folds without a gap, ends as it must, and has each signal once."""
    problems = [f"a page is left of a run that is gone: {key!r}" for key in state.stray_pages()]
    seen = set()
    for workflow_id, head, events in state.runs():
        seen.add(workflow_id)
        try:
            run = rebuild(workflow_id, events)
        except WeftError as error:
            problems.append(str(error))
            continue
        problems += _check_run(workflow_id, head, run, ledger)
        problems += _check_signals(workflow_id, events, ledger)
    wanted = ledger.expected.keys() - ledger.purged
    problems += [f"{workflow_id} was purged and is there" for workflow_id in seen & ledger.purged]
    problems += [f"{workflow_id} is not on the state topic" for workflow_id in wanted - seen]
    problems += [f"nobody asked for {workflow_id}" for workflow_id in seen - ledger.expected.keys()]
    return problems[:_PROBLEMS_MAX]


def _check_run(workflow_id: str, head: Head, run: Run, ledger: Ledger) -> Iterator[str]:
    if (run.run_id, run.status, run.last_event_id) != (head.run_id, head.status, head.event_count):
        yield f"{workflow_id}: the head says {head.status}, its history {run.status}"
    expected = ledger.expected.get(workflow_id)
    if expected and ending_of(run) != expected[-1]:
        yield f"{workflow_id} ended as {ending_of(run)}, not as {expected[-1]}"


def ending_of(run: Run) -> Ending:
    if run.status == "completed":
        return Ending("completed", decode_payload(run.result))
    text = run.failure.message if run.failure is not None else run.reason
    return Ending(run.status, None, text)


def _check_signals(workflow_id: str, events: Sequence[Event], ledger: Ledger) -> Iterator[str]:
    first = events[0]
    assert isinstance(first, WorkflowStarted), "every history begins with it"
    received = [*first.signal_ids]  # by the runs that it continues
    received += [event.signal_id for event in events if isinstance(event, SignalReceived)]
    sent = ledger.signal_ids.get(workflow_id, set())
    if len(received) != len(set(received)):
        yield f"{workflow_id} took a signal twice"
    if set(received) != sent:
        yield f"{workflow_id} has signals {set(received) ^ sent}, which were only sent or only received"
