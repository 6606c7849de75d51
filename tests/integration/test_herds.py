"""Thundering herds: everything at once, on one partition of one owner. Batches stay bounded, and everybody gets on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.noting import NotingLog
from tests.support.serving import make_topics, serving, until
from weft import activity, workflow
from weft.client import Client
from weft.codec import encode, encode_payload
from weft.log import FROM_START, Log, LogRecord, open_log
from weft.records import SignalWorkflow, StartWorkflow
from weft.topics import Namespace
from weft.worker import _room
from weft.worker._room import BATCH_BYTES_MAX, TURNS_S_MAX
from weft.worker._serving import _RECORDS_SHARE, DUE_MAX, INLINE_MAX, RECORDS_MAX

pytestmark = pytest.mark.timeout(180)

RECORD_BYTES_MAX = 1_048_588
SIGNALS = 100_000
TIMERS = 10_000
STARTS = 5_000


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A log of each backend, with a namespace of one partition."""
    if request.param == "embedded":
        log, name = open_log(embedded=tmp_path / "log.weft"), "herds"
    else:
        log = open_log(kafka=request.getfixturevalue("kafka_address"))
        name = request.getfixturevalue("namespace")
    make_topics(log, name)
    yield Place(log, name)
    log.close()


class Place:
    """One namespace of one log, and what its owner commits."""

    def __init__(self, log: Log, name: str) -> None:
        self.log = NotingLog(log)
        self.name = name
        self.topics = Namespace(name)

    def serving(self, *workflows: Any, activities: Sequence[Any] = ()) -> Any:
        return serving(cast("Log", self.log), self.name, workflows, activities)

    def client(self) -> Client:
        return Client(cast("Log", self.log), namespace=self.name)

    def send(self, records: Sequence[tuple[str, object]]) -> None:
        """Write (workflow ID, record) as any Kafka client would, and wait until all of it is durable."""
        producer = self.log.producer()
        for number, (workflow_id, record) in enumerate(records):
            value = record if isinstance(record, bytes) else encode(record)
            producer.produce(self.topics.signals, 0, workflow_id.encode(), value)
            if number % 20_000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0
        producer.close()

    def read(self, topic: str) -> list[LogRecord]:
        reader = self.log.reader()
        records = list(reader.read_to_end({(topic, 0): FROM_START}, 30.0, undecided_s=10.0))
        reader.close()
        return records

    def ended(self) -> Counter[bytes]:
        """How often each workflow was told to have ended, by what read_committed shows."""
        return Counter(
            record.key or b""
            for record in self.read(self.topics.events)
            if b"weft.workflow.completed" in (record.value or b"")
        )

    def check_bounds(self) -> None:
        """No transaction had more in it than one may have: items of each source, and bytes."""
        assert max(self.log.record_counts(self.topics.signals)) <= RECORDS_MAX
        # A turn writes an event, a task or a message at most here; a workflow its head and perhaps pages.
        writes_max = 3 * (RECORDS_MAX + DUE_MAX + INLINE_MAX)
        assert max(len(one.writes) for one in self.log.transactions) <= writes_max
        size_max = BATCH_BYTES_MAX + 3 * RECORD_BYTES_MAX
        assert max(one.size_bytes for one in self.log.transactions) <= size_max


def start(name: str, value: object = None) -> StartWorkflow:
    return StartWorkflow(name, f"request-{value}", encode_payload(value))


@workflow.define
async def collect(ctx: workflow.Context, count: int) -> int:
    """As many signals as are meant for it, each with the number that comes next."""
    for expected in range(count):
        if (number := await ctx.receive_signal("item", int)) != expected:
            raise AssertionError(f"signal {number} came as the {expected}th")
    return count


@workflow.define
async def deaf(ctx: workflow.Context) -> str:
    return await ctx.receive_signal("end", str)


@workflow.define
async def sleeper(ctx: workflow.Context, until_s: float) -> None:
    await ctx.sleep(max(0.0, until_s - ctx.now().timestamp()))


@workflow.define
async def many_sleeps(ctx: workflow.Context, until_s: float) -> int:
    seconds = max(0.0, until_s - ctx.now().timestamp())
    await asyncio.gather(*(ctx.sleep(seconds) for _ in range(TIMERS)))
    return TIMERS


@workflow.define
async def at_once(_ctx: workflow.Context, number: int) -> int:
    return number


@workflow.define
async def slow_thinker(ctx: workflow.Context, count: int) -> int:
    """Keeps the processor busy for 20 ms with each signal."""
    for _ in range(count):
        await ctx.receive_signal("think")
        with workflow.unguarded():
            busy_until_s = time.perf_counter() + 0.02
            while time.perf_counter() < busy_until_s:
                pass
    return count


class Gate:
    """An activity that waits to be let through, and a workflow that calls it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.open = asyncio.Event()

        @activity.define(name="wait_at_gate")
        async def wait_at_gate() -> str:
            self.waiting += 1
            await self.open.wait()
            return "through"

        @workflow.define(name="gated")
        async def gated(ctx: workflow.Context) -> str:
            return await ctx.execute_activity(wait_at_gate)

        self.activity, self.workflow = wait_at_gate, gated


def test_signals_to_one_workflow_keep_nobody_waiting_and_come_in_order(place: Place) -> None:
    """A result, a query and a timer of others are handled while most of the flood is still to come."""

    async def scenario() -> None:
        gate = Gate()
        async with (
            place.serving(collect, sleeper, gate.workflow, activities=[gate.activity]),
            place.client() as client,
        ):
            flooded = await client.start(collect, SIGNALS, id="flooded", wait_s=60)
            gated = await client.start(gate.workflow, id="gated", wait_s=60)
            result = asyncio.create_task(gated.result(timeout=60))
            await until(lambda: gate.waiting, "the activity to be under way")
            due_s = time.time() + 1.0
            timer = await client.start(sleeper, due_s, id="timer", wait_s=60)
            signals = [
                ("flooded", b'{"signal":"item","payload":%d,"id":"%d"}' % (number, number))
                for number in range(SIGNALS)
            ]
            await asyncio.to_thread(place.send, signals[:20_000])
            sending = asyncio.create_task(asyncio.to_thread(place.send, signals[20_000:]))
            gate.open.set()
            assert await result == "through"
            status = await flooded.describe()
            seen = place.log.next_offset(place.topics.signals)
            await timer.result(timeout=60)
            await sending
            assert await flooded.result(timeout=100) == SIGNALS
            assert status.status == "running"
            assert seen < SIGNALS, "the result came through before the flood was over"

    asyncio.run(scenario())
    place.check_bounds()
    assert place.ended() == {b"flooded": 1, b"gated": 1, b"timer": 1}
    # One head a batch, however many signals were in it.
    for transaction in place.log.transactions:
        assert transaction.writes.count((place.topics.state, b"flooded")) <= 1


def test_result_waits_for_a_part_of_a_backlog_only(place: Place) -> None:
    """Everything lies there when the worker starts: the client of the log has all it may fetch of the flood."""

    async def scenario() -> None:
        gate = Gate()
        async with (
            place.serving(deaf, gate.workflow, activities=[gate.activity]),
            place.client() as client,
        ):
            await client.start(deaf, id="flooded", wait_s=60)
            await client.start(gate.workflow, id="gated", wait_s=60)
            await until(lambda: gate.waiting, "the activity to be under way")
        signals = [("flooded", b'{"signal":"item","payload":%d}' % n) for n in range(SIGNALS)]
        place.send(signals)
        place.log.transactions.clear()
        gate.open.set()
        async with (
            place.serving(deaf, gate.workflow, activities=[gate.activity]),
            place.client() as client,
        ):
            assert await client.handle("gated").result(timeout=60) == "through"
            await until(lambda: place.log.next_offset(place.topics.signals) >= SIGNALS, "the flood")
            await client.handle("flooded").signal("end", "enough", timeout_s=60)
            assert await client.handle("flooded").result(timeout=60) == "enough"

    asyncio.run(scenario())
    place.check_bounds()
    assert place.ended() == {b"flooded": 1, b"gated": 1}
    by_result = next(
        index
        for index, one in enumerate(place.log.transactions)
        if one.next_offsets.get((place.topics.results, 0), 0) > 0
        and (place.topics.state, b"gated") in one.writes
    )
    before = [one.next_offsets.get((place.topics.signals, 0), 0) for one in place.log.transactions]
    assert max(before[: by_result + 1]) < SIGNALS * 0.8


def test_timers_that_are_due_at_once_all_fire_and_a_start_is_not_kept_waiting(
    place: Place,
) -> None:
    async def scenario() -> None:
        async with place.serving(sleeper, at_once), place.client() as client:
            due_s = time.time() + 8.0
            records = [
                (f"sleeper-{n}", StartWorkflow("sleeper", f"r-{n}", encode_payload(due_s)))
                for n in range(TIMERS)
            ]
            await asyncio.to_thread(place.send, records)
            await until(
                lambda: place.log.next_offset(place.topics.signals) >= TIMERS, "all to sleep"
            )
            await asyncio.sleep(max(0.0, due_s - time.time()))
            assert await client.execute(at_once, 1, id="between", wait_s=60) == 1
            last = client.handle(f"sleeper-{TIMERS - 1}")
            await last.result(timeout=60)
            await until(lambda: _told_count(place) == 2 * TIMERS + 2, "every timer")

    asyncio.run(scenario())
    place.check_bounds()
    expected = {f"sleeper-{number}".encode(): 1 for number in range(TIMERS)}
    assert place.ended() == {**expected, b"between": 1}
    heads = [
        sum(topic == place.topics.state for topic, _ in one.writes)
        for one in place.log.transactions
    ]
    assert max(heads) <= RECORDS_MAX + DUE_MAX


def _told_count(place: Place) -> int:
    """How many starts and ends were told."""
    return sum(
        topic == place.topics.events
        for transaction in place.log.transactions
        for topic, _ in transaction.writes
    )


def test_timers_of_one_workflow_do_not_hold_up_those_of_others(place: Place) -> None:
    """Ten thousand of one, due just before the only one of another: that comes in the first batch or two."""

    async def scenario() -> None:
        async with place.serving(many_sleeps, sleeper), place.client() as client:
            due_s = time.time() + 3.0
            many = await client.start(many_sleeps, due_s, id="many", wait_s=60)
            single = await client.start(sleeper, due_s + 0.001, id="single", wait_s=60)
            assert time.time() < due_s, "both were started in time"
            place.log.transactions.clear()
            await single.result(timeout=60)
            assert await many.result(timeout=100) == TIMERS

    asyncio.run(scenario())
    place.check_bounds()
    assert place.ended() == {b"many": 1, b"single": 1}
    fired = [one.keys(place.topics.state) for one in place.log.transactions]
    batches = [keys for keys in fired if keys & {b"many", b"single"}]
    assert len(batches) >= TIMERS / DUE_MAX
    assert any(b"single" in keys for keys in batches[:3])


def test_starts_in_a_burst_are_all_served_once(place: Place) -> None:
    async def scenario() -> None:
        async with place.serving(at_once), place.client() as client:
            records = [(f"run-{n}", start("at_once", n)) for n in range(STARTS)]
            await asyncio.to_thread(place.send, records * 2)
            await until(
                lambda: place.log.next_offset(place.topics.signals) >= 2 * STARTS, "all records"
            )
            assert await client.handle(f"run-{STARTS - 1}").result(timeout=60) == STARTS - 1

    asyncio.run(scenario())
    place.check_bounds()
    assert place.ended() == {f"run-{number}".encode(): 1 for number in range(STARTS)}


def test_batches_are_bounded_by_bytes_when_records_are_large(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty signals of 800 KB would be a transaction of 48 MB. By bytes, not only because they take their time."""
    monkeypatch.setattr(_room, "TURNS_S_MAX", 60.0)

    async def scenario() -> None:
        async with place.serving(deaf), place.client() as client:
            await client.start(deaf, id="large", wait_s=60)
        signal = SignalWorkflow("item", encode_payload("x" * 800_000))
        place.send([("large", signal)] * 60)
        async with place.serving(deaf), place.client() as client:
            # One that is confirmed is sent again while its answer is not there: further records, and small ones.
            await client.handle("large").signal("end", "enough", confirm=False)
            assert await client.handle("large").result(timeout=60) == "enough"

    asyncio.run(scenario())
    place.check_bounds()
    assert sum(one.size_bytes for one in place.log.transactions) > 48_000_000
    # Records have a part of the room for themselves, and one may go beyond it.
    counts = place.log.record_counts(place.topics.signals)
    assert max(counts) <= BATCH_BYTES_MAX * _RECORDS_SHARE / 800_000 + 1


def test_batches_are_bounded_by_time_when_turns_are_slow(place: Place) -> None:
    """A hundred turns of 20 ms each would be a transaction of two seconds."""

    async def scenario() -> None:
        async with place.serving(slow_thinker), place.client() as client:
            handle = await client.start(slow_thinker, 100, id="slow", wait_s=60)
            signal = SignalWorkflow("think", encode_payload(None))
            await asyncio.to_thread(place.send, [("slow", signal)] * 100)
            assert await handle.result(timeout=60) == 100

    asyncio.run(scenario())
    assert max(place.log.record_counts(place.topics.signals)) <= TURNS_S_MAX / 0.02 + 1
