"""A bound on memory: which bodies are left on the log, and that they come back as they were, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from tests.unit.worker.kit import NAMESPACE, ORDER, Served, accepted_reply, ended_reply
from tests.unit.worker.workflows import approval, collecting, fulfil
from weft.errors import InvariantViolation, LogUnavailableError
from weft.log import LogRecord, TopicPartition
from weft.records import SignalWorkflow
from weft.worker import _long
from weft.worker._cells import HOT_BYTES, INDEX_BYTES, Cells
from weft.worker._memory import READ_BACK_MAX, Memory, StateReader
from weft.worker._shelf import Shelf

IDS = [f"order-{number:03d}" for number in range(10)]
LINE = "x" * 400


def absent(served: Served) -> list[str]:
    return list(served.partition.cells._absent)


def started(memory_bytes_max: int | None, *, count: int = 10, hot_max: int = 0) -> Served:
    served = Served(approval, hot_max=hot_max, memory_bytes_max=memory_bytes_max, checked=False)
    for workflow_id in IDS[:count]:
        served.start("approval", key=workflow_id, request_id=workflow_id)
    return served


class Reads:
    """What a served partition reads back, counted, and spoiled where a test says so."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.counts: list[int] = []
        self.spoil: Any = lambda records: records
        assert served.memory is not None, "bounded"
        served.memory._reader = self

    def read_at(self, offsets: Mapping[int, Collection[int]]) -> list[LogRecord]:
        self.counts.append(sum(map(len, offsets.values())))
        records: list[LogRecord] = self.spoil(self._served.read_at(offsets))
        return records

    def close(self) -> None:
        """There is nothing to close."""


def test_body_is_left_on_the_log_and_read_back_when_something_happens() -> None:
    served = started(0)
    assert absent(served) == IDS
    assert set(served.partition.cells) == set(IDS)
    assert len(served.partition.cells) == 10
    served.turn(served.signals(SignalWorkflow("approval"), IDS[3]))
    assert served.head(IDS[3]).status == "completed"
    served.check_reload()
    served.close()


def test_bodies_that_have_been_cold_for_longest_go_first_and_the_bound_holds() -> None:
    body_bytes = len(started(None).compacted[IDS[0].encode()])
    served = started(10 * INDEX_BYTES + 7 * body_bytes)
    assert served.memory is not None
    assert served.memory.kept_bytes <= served.memory.bytes_max
    assert absent(served) == IDS[: len(absent(served))]
    assert 3 <= len(absent(served)) <= 6
    served.close()


def test_runs_that_have_ended_go_first() -> None:
    served = started(None)
    for workflow_id in IDS[7:]:
        served.turn(served.signals(SignalWorkflow("approval"), workflow_id))
    body_bytes = len(served.compacted[IDS[9].encode()])
    served.memory = Memory(10 * INDEX_BYTES + 8 * body_bytes, served)
    served.rebuild()
    assert set(absent(served)) < set(IDS[6:]), "as many as there was no room for"
    served.memory.bytes_max -= 2 * body_bytes
    served.turn(served.signals(SignalWorkflow("approval"), IDS[6]))
    assert set(IDS[7:]) <= set(absent(served)) <= set(IDS[6:])
    served.close()


def test_nothing_is_left_on_the_log_when_there_is_no_bound_or_room_enough() -> None:
    for memory_bytes_max in (None, 10**9):
        served = started(memory_bytes_max)
        assert absent(served) == []
        assert served.partition.cells.kept_bytes < 10**6
        served.close()


def test_cells_in_use_leave_when_the_cold_ones_are_not_enough() -> None:
    served = started(5 * HOT_BYTES, hot_max=100)
    kept = [cell.workflow_id for cell in served.partition.cells.hot()]
    assert kept == IDS[-len(kept) :], "those used last"
    assert 1 <= len(kept) <= 4
    gone = absent(served)
    assert gone == IDS[: len(gone)]
    assert 4 <= len(gone) <= 10 - len(kept), (
        "what is between has become cold, and there is room for it"
    )
    served.close()


def test_workflow_that_somebody_waits_for_stays_in_memory() -> None:
    served = Served(approval, memory_bytes_max=0)
    served.start("approval", reply_to=ended_reply())
    assert absent(served) == []
    served.signal("approval", {"by": "Ann"})
    assert [reply.outcome for reply in served.replies] == ["ended"]
    assert absent(served) == [ORDER]
    served.close()


def test_body_of_which_nobody_knows_where_it_lies_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = started(0, count=1)
    monkeypatch.setattr(served, "_note_place", lambda _write: None)
    served.turn(served.signals(SignalWorkflow("other"), IDS[0]))
    assert absent(served) == [], "where it lay before is no place for a new head"
    monkeypatch.undo()
    served.turn(served.signals(SignalWorkflow("other"), IDS[0]))
    assert absent(served) == IDS[:1]
    assert served.head(IDS[0]).event_count == 3
    served.close()


def test_history_with_pages_is_read_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_long, "EVENTS_MIN", 100)
    served = Served(collecting, memory_bytes_max=0, checked=False)
    served.start("collecting")
    while served.head().page_count < 3:
        served.signal("line", LINE)
        assert absent(served) == [ORDER]
    served.check_reload()
    sizes = (served.partition.long.events_max, served.partition.long.bytes_max)
    assert sizes[0] == served.head().event_count > 100
    reads = Reads(served)
    served.take_over()
    assert absent(served) == [ORDER]
    assert (served.partition.long.events_max, served.partition.long.bytes_max) == sizes
    served.signal("line", "last")
    assert reads.counts == [4], "the head and its pages, at once"
    served.check_reload()
    served.signal("enough")
    assert served.head().status == "completed"
    assert served.partition.long.events_max == 0
    reads.counts.clear()
    served.purge()
    assert reads.counts == [1], "of what has ended, the head alone"
    assert served.compacted == {}
    served.close()


def test_new_run_does_not_get_the_pages_of_the_former_one() -> None:
    served = Served(collecting, memory_bytes_max=0, checked=False)
    served.start("collecting")
    while served.head().page_count < 2:
        served.signal("line", LINE)
    served.start("collecting", request_id="request-2", on_conflict="terminate_existing")
    assert served.head().event_count == 1
    while served.head().page_count < 1:
        served.signal("line", LINE)
    assert absent(served) == [ORDER]
    served.check_reload()
    served.close()


def test_answers_come_from_what_is_read_back() -> None:
    served = started(0, count=2)
    served.turn(served.signals(SignalWorkflow("approval"), IDS[0]))
    served.replies.clear()
    served.start("approval", key=IDS[0], request_id=IDS[0], reply_to=ended_reply())
    served.start("approval", key=IDS[1], request_id="another", reply_to=accepted_reply())
    assert [reply.outcome for reply in served.replies] == ["ended", "conflict"]
    assert set(absent(served)) == set(IDS[:2])
    served.close()


def test_timers_that_are_due_together_are_read_back_together() -> None:
    served = Served(approval, memory_bytes_max=0, checked=False)
    count = 2 * READ_BACK_MAX + 1
    for number in range(count):
        served.start("approval", key=f"order-{number}", timeout_ms=5000)
    assert len(absent(served)) == count
    reads = Reads(served)
    served.advance(6000)
    assert reads.counts == [READ_BACK_MAX, READ_BACK_MAX, 1]
    assert {served.head(f"order-{number}").status for number in range(count)} == {"timed_out"}
    served.close()


def test_blocked_runs_are_tried_again_by_a_worker_that_has_their_code() -> None:
    served = Served(fulfil, memory_bytes_max=0)
    for workflow_id in IDS:
        served.start("approval", key=workflow_id)
        assert served.head(workflow_id).status == "blocked"
    assert absent(served) == IDS
    reads = Reads(served)
    served.take_over(approval)
    assert reads.counts[0] == len(IDS)
    assert {served.head(workflow_id).status for workflow_id in IDS} == {"running"}
    served.close()


def test_takeover_keeps_what_there_is_room_for_and_knows_of_the_rest() -> None:
    served = started(None)
    served.turn(served.signals(SignalWorkflow("approval"), IDS[0]))
    body_bytes = len(served.compacted[IDS[1].encode()])
    whole = served.partition
    served.memory = Memory(10 * INDEX_BYTES + 3 * body_bytes, served)
    for compacted in (True, False):
        again = served.reloaded(compacted=compacted, memory=served.memory)
        assert again.statuses == whole.statuses == {"running": 9, "completed": 1}
        assert set(again.cells) == set(IDS)
        assert 4 <= len(again.cells._absent) <= 9
        again.close()
    served.memory = None
    served.close()


def test_head_that_cannot_be_read_is_no_trouble_once_it_has_been_replaced() -> None:
    served = started(0, count=1)
    state = served.written[NAMESPACE.state]
    broken = (NAMESPACE.state, 0, IDS[0].encode(), b"{broken", ())
    state.insert(0, broken)
    again = served.reloaded(compacted=False, memory=served.memory)
    assert again.statuses == {"running": 1}
    again.close()
    state.append(broken)
    with pytest.raises(InvariantViolation, match=f"head of workflow '{IDS[0]}'"):
        served.reloaded(compacted=False, memory=served.memory)


def signalled(served: Served) -> None:
    served.turn(served.signals(SignalWorkflow("approval"), IDS[0]))


def _without(records: Sequence[LogRecord]) -> Sequence[LogRecord]:
    return records[1:]


def test_body_that_is_gone_from_the_log_is_a_matter_for_a_new_owner() -> None:
    served = started(0)
    Reads(served).spoil = _without
    with pytest.raises(LogUnavailableError, match=r"orders.state-0@\d+ is not on the log any more"):
        signalled(served)


@pytest.mark.parametrize("spoiled", ["key", "value", "tombstone"])
def test_anything_else_that_lies_there_ends_the_worker(spoiled: str) -> None:
    served = started(0)
    (older,) = [
        value for _, _, key, value, _ in served.written[NAMESPACE.state] if key == IDS[0].encode()
    ]
    served.turn(served.signals(SignalWorkflow("other"), IDS[0]))

    def spoil(records: Sequence[LogRecord]) -> list[LogRecord]:
        (record,) = records
        key = IDS[1].encode() if spoiled == "key" else record.key
        value = {"key": record.value, "value": older, "tombstone": None}[spoiled]
        return [LogRecord(record.topic, record.partition, record.offset, key, value)]

    Reads(served).spoil = spoil
    with pytest.raises(InvariantViolation, match=f"is not the state of workflow '{IDS[0]}"):
        signalled(served)


def test_page_of_another_number_ends_the_worker() -> None:
    served = Served(collecting, memory_bytes_max=0, checked=False)
    served.start("collecting")
    while served.head().page_count < 2:
        served.signal("line", LINE)

    def spoil(records: Sequence[LogRecord]) -> list[LogRecord]:
        head, first, second = records
        at = [record.offset for record in (head, first, second)]
        return [
            LogRecord(one.topic, one.partition, offset, one.key, one.value)
            for one, offset in zip((head, second, first), at, strict=True)
        ]

    Reads(served).spoil = spoil
    with pytest.raises(InvariantViolation, match="is not the state of workflow"):
        served.signal("line", "last")


def test_bound_that_cannot_hold_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    served = started(1)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert "--memory allows 1:" in told[0].message
    served.close()


def test_bound_is_shared_by_the_partitions_in_proportion() -> None:
    memory = Memory(40_000, Never())
    partitions = [Cells(10, Shelf("state", number, memory)) for number in range(2)]
    for cells, count in zip(partitions, (30, 10), strict=True):
        for number in range(count):
            record = LogRecord("state", cells.number, number, b"", bytes(1000))
            cells.load_bounded(f"w-{number}", record)
    assert memory.kept_bytes == 40 * (1000 + INDEX_BYTES)
    memory.trim(partitions)
    assert 0.9 * memory.bytes_max < memory.kept_bytes < memory.bytes_max
    left = [len(cells) - len(cells._absent) for cells in partitions]
    assert left[0] == pytest.approx(3 * left[1], abs=2)
    for cells in partitions:
        cells.clear()
    assert memory.kept_bytes == 0


class Never:
    """A log that cannot be read."""

    def __init__(self) -> None:
        self.closed_count = 0

    def read_at(
        self, _offsets: Mapping[Any, Collection[int]], _timeout_s: float = 0.0
    ) -> list[LogRecord]:
        raise LogUnavailableError("not now")

    def close(self) -> None:
        self.closed_count += 1


class OneRecord(Never):
    def read_at(
        self, offsets: Mapping[TopicPartition, Collection[int]], _timeout_s: float = 0.0
    ) -> list[LogRecord]:
        ((topic, number), (offset,)) = next(iter(offsets.items()))
        return [LogRecord(topic, number, offset, b"key", b"value")]


def test_reader_is_made_anew_when_it_has_failed() -> None:
    readers: list[Never] = [Never(), OneRecord()]
    made: list[Never] = []

    class AnyLog:
        def reader(self) -> Never:
            made.append(readers.pop(0))
            return made[-1]

    log: Any = AnyLog()
    state = StateReader(log, NAMESPACE)
    with pytest.raises(LogUnavailableError):
        state.read_at({1: [5]})
    assert made[0].closed_count == 1
    for _ in range(2):
        assert state.read_at({1: [5]}) == [LogRecord(NAMESPACE.state, 1, 5, b"key", b"value")]
    state.close()
    state.close()
    assert [one.closed_count for one in made] == [1, 1]
