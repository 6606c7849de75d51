"""What really happened on the simulated log: every record as it was appended, and how each transaction was decided.

Kept outside of the log, so that compaction takes nothing from the checkers, with the virtual time of every decision, so
that they can tell what came too early.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.log import Entry, Observer
from tests.simulation.scheduler import Scheduler
from weft.codec import decode_reply, decode_state
from weft.log import LogRecord
from weft.records import ENDED, Head, chain_of, run_number
from weft.topics import Namespace


@dataclass(slots=True)
class Written:
    """A record. `decided_s` is when it became a fact; None for one that was aborted or is still open."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    decided_s: float | None = None


class Recorder(Observer):
    """Keeps everything; one of the cluster's observers."""

    def __init__(self, scheduler: Scheduler, namespace: Namespace) -> None:
        self.problems: list[str] = []
        self.reply_outcomes: set[str] = set()
        self.statuses: set[str] = set()
        self._scheduler = scheduler
        self._namespace = namespace
        self._written: dict[str, list[Written]] = {}
        self._open: dict[tuple[int, int], list[Written]] = {}
        self._runs: dict[str, str] = {}
        """The newest committed status, by run ID."""
        self._newest_of_chain: dict[str, int] = {}
        """The number of the newest run, by chain."""

    def facts(self, topic: str) -> Iterator[Written]:
        """Committed records of a topic, in the order of each partition."""
        records = [
            record for record in self._written.get(topic, ()) if record.decided_s is not None
        ]
        yield from sorted(records, key=lambda record: (record.partition, record.offset))

    def newest(self, topic: str, count: int) -> list[Written]:
        """The last committed records of a topic, whatever their partitions."""
        records = self._written.get(topic, ())
        return [record for record in records if record.decided_s is not None][-count:]

    # Told by the cluster.

    def appended(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.record is not None:
                self._append(entry.record, (entry.producer_id, entry.epoch))

    def decided(
        self, transactional_id: str, producer_id: int, epoch: int, *, committed: bool
    ) -> None:
        for record in self._open.pop((producer_id, epoch), ()):
            if committed:
                self._decide(record)

    def _append(self, record: LogRecord, producer: tuple[int, int]) -> None:
        written = Written(
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            tuple(record.headers),
        )
        self._written.setdefault(record.topic, []).append(written)
        if producer[0] >= 0:
            self._open.setdefault(producer, []).append(written)
        else:
            self._decide(written)

    def _decide(self, record: Written) -> None:
        record.decided_s = self._scheduler.now
        if record.topic == self._namespace.state:
            self._note_state(record)
        elif record.topic == self._namespace.replies:
            self._check_reply(record)

    def _note_state(self, record: Written) -> None:
        if record.value is not None:
            state = decode_state(record.value)
            if isinstance(state, Head):
                self._runs[state.run_id] = state.status
                self._newest_of_chain[chain_of(state.run_id)] = run_number(state.run_id)
                self.statuses.add(state.status)

    def _shown(self, run_id: str) -> str:
        """The run, or the one that continues it: several runs of a chain may have come and gone in one transaction."""
        newest = self._newest_of_chain.get(chain_of(run_id), 0)
        if run_id in self._runs or newest <= run_number(run_id):
            return run_id
        return f"{chain_of(run_id)}.{newest}"

    def _check_reply(self, record: Written) -> None:
        """What a client is told must be a fact already."""
        reply = decode_reply(record.value)
        self.reply_outcomes.add(reply.outcome)
        if not reply.run_id:
            return
        committed = self._runs.get(self._shown(reply.run_id))
        if committed is None or (reply.outcome == "ended" and committed not in ENDED):
            self.problems.append(
                f"a client was told {reply.outcome!r} ({reply.status}) of run {reply.run_id} before that was durable: "
                f"committed is {committed!r}"
            )
