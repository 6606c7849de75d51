"""The histories that a simulation left on the log, put together from every head and page that was ever committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.recorder import Written
from weft.codec import decode_events, decode_payload, decode_state, join_events
from weft.records import (
    ENDED,
    Claim,
    Event,
    Head,
    Payload,
    Progress,
    Status,
    is_same_chain,
    run_number,
)


@dataclass(slots=True)
class RunHistory:
    workflow_id: str
    run_id: str
    partition: int
    raw: dict[int, bytes] = field(default_factory=dict)
    """Encoded events by event ID."""
    decided_s: dict[int, float] = field(default_factory=dict)
    """When each became a fact."""
    head: Head | None = None
    purged: bool = False
    replaced: bool = False
    """Ended by the start of the next run: in the same transaction, so its last event is published only."""
    continued: bool = False
    """Replaced by the run that continues it."""

    @property
    def status(self) -> Status:
        assert self.head is not None, "a run is found by its head"
        return self.head.status

    def events(self) -> list[Event]:
        return decode_events(join_events([self.raw[number] for number in sorted(self.raw)]))


class Histories:
    """All runs that ever were, and what is wrong with how they came to be."""

    def __init__(self, records: Iterable[Written]) -> None:
        self.runs: dict[str, RunHistory] = {}
        self.current: dict[str, str] = {}
        """The newest run, by workflow ID; purged ones are absent."""
        self.live_keys: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        """What the state of each partition holds in the end."""
        self.problems: list[str] = []
        self._gone: set[str] = set()
        for record in records:
            self._take(record)

    def last_of_chain(self, run_id: str) -> RunHistory | None:
        """The newest run that is, or continues, this one; None for one that was never on the log."""
        chain = [run for one, run in self.runs.items() if is_same_chain(one, run_id)]
        return max(chain, key=lambda run: run_number(run.run_id), default=None)

    def _take(self, record: Written) -> None:
        key = record.key or b""
        workflow_id, _, rest = key.decode().partition("\0")
        live = self.live_keys[record.partition]
        if record.value is None:
            live.pop(key, None)
            if not rest:
                self._tombstone(workflow_id)
            return
        live[key] = record.value
        state = decode_state(record.value)
        if isinstance(state, Claim | Progress):
            return
        if isinstance(state, Head):
            self._take_head(workflow_id, state, record)
        else:
            run = self._run(workflow_id, state.run_id, record)
            self._extend(run, state.first_event_id, state.events, record)

    def _take_head(self, workflow_id: str, head: Head, record: Written) -> None:
        where = f"{workflow_id}, run {head.run_id}, at state-{record.partition}@{record.offset}"
        if head.run_id in self._gone:
            self.problems.append(f"{where}: a purged or replaced run is back")
        former = self.current.get(workflow_id)
        if former is not None and former != head.run_id:
            self.runs[former].replaced = self.runs[former].status not in ENDED
            self.runs[former].continued = is_same_chain(former, head.run_id)
            self._gone.add(former)
        self.current[workflow_id] = head.run_id
        run = self._run(workflow_id, head.run_id, record)
        if run.head is not None and run.head.event_count > head.event_count:
            self.problems.append(f"{where}: the history was shortened")
        run.head = head
        count = len(decode_payload(head.tail, list[Payload]))
        self._extend(run, head.event_count - count + 1, head.tail, record)
        if len(run.raw) != head.event_count:
            self.problems.append(f"{where}: {len(run.raw)} events are known of {head.event_count}")

    def _run(self, workflow_id: str, run_id: str, record: Written) -> RunHistory:
        if run_id not in self.runs:
            self.runs[run_id] = RunHistory(workflow_id, run_id, record.partition)
        return self.runs[run_id]

    def _extend(self, run: RunHistory, first_event_id: int, tail: Payload, record: Written) -> None:
        for number, event in enumerate(decode_payload(tail, list[Payload]), first_event_id):
            raw = bytes(event)
            known = run.raw.setdefault(number, raw)
            if known != raw:
                self.problems.append(
                    f"{run.workflow_id}, run {run.run_id}: event {number} was rewritten at "
                    f"state-{record.partition}@{record.offset}: {known!r} became {raw!r}"
                )
            assert record.decided_s is not None, "only facts are looked at"
            run.decided_s.setdefault(number, record.decided_s)

    def _tombstone(self, workflow_id: str) -> None:
        run_id = self.current.pop(workflow_id, None)
        if run_id is not None:
            self.runs[run_id].purged = True
            self._gone.add(run_id)
