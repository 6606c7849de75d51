"""How much a batch takes: bytes and time, with a part for each source of turns."""

from __future__ import annotations

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, NOW_MS
from weft import workflow
from weft.codec import encode_payload
from weft.host import Host
from weft.records import SignalWorkflow, StartWorkflow
from weft.worker._batch import Batch
from weft.worker._room import BATCH_BYTES_MAX, TURNS_S_MAX, Room
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import Context


class Clock(Host):
    """Stands still until it is told."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@workflow.define
async def listening(ctx: Context) -> str:
    return await ctx.receive_signal("end", str)


@workflow.define
async def napping_often(ctx: Context, count: int) -> int:
    for _ in range(count):
        await ctx.sleep(0)
    return count


def test_room_ends_with_the_bytes_of_its_part() -> None:
    batch = Batch(NAMESPACE)
    room = Room(batch, host=Clock())
    room.begin_part(0.5)
    assert room.is_left, "for one turn in any case"
    batch.planned_bytes = BATCH_BYTES_MAX // 2 - 1
    assert room.is_left
    batch.planned_bytes = BATCH_BYTES_MAX // 2
    assert not room.is_left
    room.begin_part(0.5)
    assert room.is_left
    batch.planned_bytes += BATCH_BYTES_MAX // 4 - 1
    assert room.is_left
    batch.planned_bytes += 1
    assert not room.is_left
    room.begin_part(1.0)
    assert room.is_left
    batch.planned_bytes = BATCH_BYTES_MAX
    assert not room.is_left
    room.begin_part(1.0)
    assert [room.is_left, room.is_left] == [True, False]


def test_room_ends_with_the_time_of_its_part() -> None:
    clock = Clock()
    room = Room(Batch(NAMESPACE), host=clock)
    room.begin_part(0.5)
    assert room.is_left, "for one turn in any case"
    clock.now_s += 0.49 * TURNS_S_MAX
    assert room.is_left
    clock.now_s += 0.02 * TURNS_S_MAX
    assert not room.is_left
    room.begin_part(1.0)
    assert room.is_left
    clock.now_s += TURNS_S_MAX
    assert not room.is_left


def test_room_is_used_up_when_a_workflow_had_to_be_interrupted() -> None:
    guard = TurnWatchdog(60.0)
    room = Room(Batch(NAMESPACE), guard)
    room.begin_part(0.5)
    assert room.is_left
    guard.interrupted_count += 1
    assert not room.is_left
    room.begin_part(1.0)
    assert not room.is_left, "not even for one turn"


def test_batch_plans_for_what_states_will_take(serve: Serve) -> None:
    """A state is counted once, with all of its tail, however often it changes; what it was before counts too."""
    served = serve(listening)
    served.start("listening")
    served.signal("item", "x" * 9000)
    batch = Batch(NAMESPACE)
    served.partition.handle(served.signals(signal("y")), batch, NOW_MS)
    assert 9000 < batch.planned_bytes < 9600
    served.partition.handle(served.signals(signal("z" * 2000)), batch, NOW_MS)
    assert 11_000 < batch.planned_bytes < 11_800
    planned_bytes = batch.planned_bytes
    served.partition.flush(batch)
    written_bytes = sum(len(value or b"") for _, _, _, value, _ in batch.writes)
    assert abs(written_bytes - planned_bytes) < 600
    after = Batch(NAMESPACE)
    served.partition.handle(served.signals(signal("y")), after, NOW_MS)
    assert after.planned_bytes > 11_000, "the next batch writes it all again"


def signal(text: str) -> SignalWorkflow:
    return SignalWorkflow("item", encode_payload(text))


def test_batch_plans_for_records_that_are_put_aside(serve: Serve) -> None:
    served = serve(listening)
    batch = Batch(NAMESPACE)
    served.partition.handle(served.signals(b"no JSON" * 100), batch, NOW_MS)
    assert batch.planned_bytes == 700


@pytest.mark.parametrize("count_max", [6, 9, 1000])
def test_what_is_due_is_taken_in_rounds(serve_live: Serve, count_max: int) -> None:
    """Three workflows with three timers each: none has its second before each had its first."""
    served = serve_live(napping_often)
    partition, batch = served.partition, Batch(NAMESPACE)
    for number in range(3):
        request = StartWorkflow("napping_often", "request-1", encode_payload(3))
        partition.handle(served.signals(request, f"order-{number}"), batch, NOW_MS)
    for _ in range(2):
        assert partition.fire_due(batch, NOW_MS, 3) == 3
        runs = [partition.cells[f"order-{number}"].warm() for number in range(3)]
        assert len({run.last_event_id for run in runs}) == 1
    assert partition.fire_due(batch, NOW_MS, count_max) == 3
    assert all(cell.ended for cell in partition.cells.values())


def test_what_is_due_stays_due_when_there_is_no_room(serve_live: Serve) -> None:
    served = serve_live(napping_often)
    partition, batch, clock = served.partition, Batch(NAMESPACE), Clock()
    for number in range(5):
        request = StartWorkflow("napping_often", "request-1", encode_payload(1))
        partition.handle(served.signals(request, f"order-{number}"), batch, NOW_MS)
    room = Room(batch, host=clock)
    room.begin_part(1.0)
    clock.now_s += 2 * TURNS_S_MAX
    assert partition.fire_due(batch, NOW_MS, 1000, room) == 1, "one at least, so that it goes on"
    assert partition.next_due_ms() == NOW_MS
    assert partition.fire_due(batch, NOW_MS, 1000) == 4
    assert partition.next_due_ms() == 0
