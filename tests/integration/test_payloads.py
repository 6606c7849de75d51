"""Payloads of megabytes through client, worker and both logs; and what happens where there is no place for them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.integration.payload_kit import (
    LARGE,
    LARGE_BYTES,
    WORKFLOWS,
    Place,
    collecting,
    dangling,
    echo,
    filled,
    objects,
    open_place,
    payloads_of,
    references,
    stamped,
    swollen,
    until,
    until_events,
    until_status,
)
from tests.support.workers import WorkerProcess, worker
from weft.client import Handle
from weft.codec import decode_state, encode_payload
from weft.errors import (
    LogError,
    PayloadError,
    PayloadTooLargeError,
    RecordTooLargeError,
    WorkflowFailedError,
)
from weft.log import FROM_START, GroupMember, Log
from weft.records import Head
from weft.topics import Namespace
from weft.worker import Worker
from weft.worker._batch import Batch
from weft.worker._commits import Commits
from weft.workflow import Workflow

NO_STORE = ""
MORTAL = Path(__file__).with_name("payload_mortal.py")


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with open_place(request, tmp_path) as place:
        yield place


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return str(tmp_path / "payloads")


def largest_record(log: Log, namespace: str) -> int:
    """Of all that is on the engine's topics."""
    admin = log.admin()
    topics = [name for name in admin.list_topics() if name.startswith(f"{namespace}.")]
    counts = admin.describe_topics(topics)
    admin.close()
    reader = log.reader()
    wanted = {
        (topic, number): FROM_START
        for topic in topics
        for number in range(counts[topic].partitions)
    }
    largest = max(len(record.value or b"") for record in reader.read_to_end(wanted, 30))
    reader.close()
    return largest


def test_input_result_and_signal_of_5_mb_go_through_a_workflow(place: Place, store: str) -> None:
    async def scenario() -> None:
        async with place.client(store) as client:
            handle = await client.start(echo, LARGE, id="order-1", wait_s=30)
            await handle.signal("more", LARGE)
            assert await handle.result(60) == {"stamped": LARGE + "!", "more": LARGE}
            events = await handle.history()
            assert len(references(events)) == 5
            assert sum(len(payload) for payload in payloads_of(events)) == 0
            assert dangling(events, store) == set()
            full = await handle.history(full=True)
            assert max(len(payload) for payload in payloads_of(full)) > 2 * LARGE_BYTES
            assert (await handle.describe(full=True)).input == LARGE
            assert isinstance((await handle.describe()).input, dict)
            assert largest_record(place.log, place.namespace) < 10_000
            await handle.purge()
            await until(lambda: objects(store) == [], "the payloads to be removed")

    with place.serving(store):
        asyncio.run(scenario())


def test_run_with_stored_payloads_goes_on_with_another_worker(place: Place, store: str) -> None:
    async def scenario() -> None:
        async with place.client(store) as client:
            with place.serving(store):
                handle = await client.start(echo, LARGE, id="order-1", wait_s=30)
                await until_events(handle, 3)
            with place.serving(store):
                await handle.signal("more", "", timeout_s=30)
                assert await handle.result(60) == {"stamped": LARGE + "!", "more": ""}

    asyncio.run(scenario())


def test_what_is_too_large_is_refused_clearly_when_there_is_no_store(place: Place) -> None:
    async def scenario() -> None:
        async with place.client(NO_STORE) as client:
            with pytest.raises(
                PayloadTooLargeError, match="The input of workflow 'order-1' is 5,000,002"
            ):
                await client.start(echo, LARGE, id="order-1")
            with pytest.raises(PayloadTooLargeError, match="no payload store"):
                await client.execute(echo, LARGE, id="order-1")
            handle = await client.start(echo, "small", id="order-1", wait_s=30)
            with pytest.raises(
                PayloadTooLargeError, match="Signal 'more' to workflow 'order-1' is"
            ):
                await handle.signal("more", LARGE)
            with pytest.raises(RecordTooLargeError):
                await handle.signal("m" * 1_100_000)
            await handle.signal("more", "small too")
            assert await handle.result(30) == {"stamped": "small!", "more": "small too"}

            texts = {}
            for definition in (filled, stamped, swollen):
                with pytest.raises(WorkflowFailedError) as failed:
                    await client.execute(definition, LARGE_BYTES, wait_s=60)
                assert failed.value.type == "PayloadTooLargeError"
                texts[definition.name] = failed.value.message
            for text in texts.values():
                assert " is 5,000,00" in text
                assert "900,000 is the most that a record takes" in text
                assert "WEFT_PAYLOAD_STORE" in text
            assert texts["filled"].startswith("The result of activity fill")
            assert texts["stamped"].startswith("The input of activity stamp")
            assert texts["swollen"].startswith("The result of workflow")
            runs = await client.list()
            assert {run.status for run in runs} == {"completed", "failed"}
            for run in runs:
                if run.status == "failed":
                    events = await client.handle(run.workflow_id).history()
                    retried = [type(event).__name__ for event in events]
                    assert "ActivityRetryScheduled" not in retried

    with place.serving(NO_STORE):
        asyncio.run(scenario())


def test_limit_may_be_lower_and_then_small_payloads_are_stored_too(
    place: Place, store: str
) -> None:
    async def scenario() -> None:
        async with place.client(store, payload_bytes_max=2000) as client:
            assert await client.execute(filled, 3000, id="order-1", wait_s=60) == "x" * 3000
            await client.execute(filled, 1000, id="order-2", wait_s=60)
            assert len(references(await client.handle("order-1").history())) == 2
            assert references(await client.handle("order-2").history()) == []

    with place.serving(store, payload_bytes_max=2000):
        asyncio.run(scenario())


def test_activity_whose_input_is_missing_is_tried_again_and_fails_with_its_url(
    place: Place, tmp_path: Path
) -> None:
    store = str(tmp_path / "payloads")

    async def scenario() -> None:
        async with place.client(store) as client:
            with place.serving(store, activities=False):
                handle = await client.start(stamped, LARGE_BYTES, id="order-1", wait_s=30)
                (key,) = references(await handle.history())
                (Path(store) / key).unlink()
            with place.serving(store):
                with pytest.raises(WorkflowFailedError) as failed:
                    await handle.result(60)
                assert failed.value.type == "PayloadError"
                assert f"{store}/{key} is missing" in str(failed.value)
                story = [type(event).__name__ for event in await handle.history()]
                assert story.count("ActivityRetryScheduled") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["unblock", "next worker"])
def test_run_whose_input_is_damaged_is_blocked_and_goes_on_when_it_is_mended(
    place: Place, tmp_path: Path, how: str
) -> None:
    store = str(tmp_path / "payloads")

    async def finish(handle: Handle[dict[str, str]]) -> None:
        await handle.signal("more", "", timeout_s=30)
        assert await handle.result(60) == {"stamped": LARGE + "!", "more": ""}

    async def scenario() -> None:
        async with place.client(store) as client:
            handle = await client.start(echo, LARGE, id="order-1", confirm=False)
            path = Path(store) / objects(store)[0]
            whole = path.read_bytes()
            path.write_bytes(whole.replace(b"x", b"y", 1))
            with place.serving(store):
                await until_status(handle, "blocked")
                reason = (await handle.describe()).reason
                assert "is damaged" in reason
                assert str(path) in reason
                assert await client.execute(filled, 5, wait_s=30) == "xxxxx", "others go on"
                path.write_bytes(whole)
                if how == "unblock":
                    assert await handle.unblock(timeout_s=30) == "running"
                    await finish(handle)
            if how == "next worker":
                with place.serving(store):
                    await finish(handle)

    asyncio.run(scenario())


def test_client_says_where_a_result_is_missing_or_that_it_has_no_store(
    place: Place, tmp_path: Path
) -> None:
    store = str(tmp_path / "payloads")

    async def scenario() -> None:
        async with place.client(store) as client, place.client(NO_STORE) as without:
            assert await client.execute(swollen, LARGE_BYTES, id="order-1", wait_s=60) == LARGE
            with pytest.raises(
                PayloadError, match=r"lie in a payload store as .*none is set up here"
            ):
                await without.handle("order-1").result(30)
            assert (await without.handle("order-1").describe()).status == "completed"
            (key,) = references(await client.handle("order-1").history())
            (Path(store) / key).unlink()
        async with place.client(store) as client:
            with pytest.raises(PayloadError, match=f"{key} is missing"):
                await client.handle("order-1").result(30)

    with place.serving(store):
        asyncio.run(scenario())


def test_orphans_are_cleaned_and_nothing_that_a_run_refers_to(place: Place, store: str) -> None:
    async def scenario() -> None:
        async with place.client(store) as client:
            handle = await client.start(echo, LARGE, id="order-1", wait_s=30)
            await handle.signal("more", LARGE)
            await handle.result(60)
            blocked = await client.start("unknown_workflow", LARGE, id="order-2", wait_s=30)
            await blocked.signal("line", LARGE)
            kept = objects(store)
            session = client._session
            for workflow_id in ("order-1", "order-3"):  # as a client leaves them that dies then
                payload = encode_payload(LARGE)
                await session.set_aside(session.address(workflow_id), payload, "It")
            assert len(objects(store)) == len(kept) + 2
            assert await client.clean_payloads() == [], "they are too young"
            found = await client.clean_payloads(0, dry_run=True)
            assert len(found) == 2
            assert len(objects(store)) == len(kept) + 2
            assert await client.clean_payloads(0) == found
            assert objects(store) == kept

    with place.serving(store):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    "definition", [stamped, filled, swollen], ids=["activity input", "activity result", "result"]
)
def test_worker_killed_between_store_and_commit_leaves_an_orphan_at_most(
    place: Place, tmp_path: Path, definition: Workflow[int, str]
) -> None:
    """Never a reference to nothing: the payload is durable before its reference is written."""
    store, mark = str(tmp_path / "payloads"), tmp_path / "die"
    env = {"PAYLOADS_DIE": str(mark), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    options = [*place.options, "--payload-store", store, "--instance-id", "w1"]

    async def scenario(running: WorkerProcess) -> None:
        async with place.client(store) as client:
            mark.touch()
            handle = await client.start(definition, LARGE_BYTES, id="order-1", confirm=False)
            await until(lambda: running.process.poll() is not None, "the worker to die")
            assert running.process.returncode == -signal.SIGKILL
            (stored,) = objects(store)
            assert len((Path(store) / stored).read_bytes()) > LARGE_BYTES
            running.restart()
            assert (await handle.result(60)).startswith("xxx")
            events = await handle.history()
            assert dangling(events, store) == set()
            orphans = set(objects(store)) - set(references(events))
            assert orphans <= {stored}
            assert {one.key for one in await client.clean_payloads(0)} == orphans
            assert set(objects(store)) == set(references(events))

    with worker(*options, file=MORTAL, env=env) as running:
        asyncio.run(scenario(running))


def test_history_of_many_large_results_is_paged_and_rebuilt(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """30 results of 800 KB: 24 MB of history, in heads and pages that their topic takes."""
    count = 30

    async def scenario() -> None:
        async with place.client(NO_STORE) as client:
            with place.serving(NO_STORE) as worker:
                handle = await client.start(collecting, count, id="order-1", wait_s=30)
                await until_events(handle, 2 * count + 1)
                metrics = worker.metrics.registry
                await until(
                    lambda: (metrics.get_sample_value("weft_history_bytes_max") or 0) > 24_000_000,
                    "the history to be counted",
                )
                assert 0.88 < (metrics.get_sample_value("weft_payload_ratio") or 0) < 0.9
            with place.serving(NO_STORE):
                await handle.signal("go", timeout_s=60)
                assert await handle.result(60) == [800_000] * count

    asyncio.run(scenario())
    warnings = [record.message for record in caplog.records if "has grown to" in record.message]
    assert len(warnings) == 1, "once, and not again by the next owner"
    for size, is_head in state_sizes(place):
        assert size < (850_000 if is_head else 1_200_000)


def test_large_tasks_of_many_workflows_leave_in_several_transactions(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 starts in one poll, each with a task of 100 KB, where a transaction takes 1 MB."""
    monkeypatch.setattr("weft.worker._room.BATCH_BYTES_MAX", 1_000_000)
    largest = [0]
    commit = Commits._commit

    def note_size(commits: Commits, batch: Batch, member: GroupMember) -> None:
        written = sum(len(value or b"") for _, _, _, value, _ in batch.writes)
        largest[0] = max(largest[0], written)
        commit(commits, batch, member)

    monkeypatch.setattr(Commits, "_commit", note_size)

    async def scenario() -> None:
        async with place.client(NO_STORE) as client:
            handles = [
                await client.start(stamped, 100_000, id=f"order-{number}", confirm=False)
                for number in range(60)
            ]
            with place.serving(NO_STORE):
                results = await asyncio.gather(*(handle.result(60) for handle in handles))
            assert {len(result) for result in results} == {100_001}
            for handle in handles:
                assert len(await handle.history()) == 4, (
                    "each was started once, and its activity run once"
                )

    asyncio.run(scenario())
    assert 500_000 < largest[0] < 1_500_000


def state_sizes(place: Place) -> list[tuple[int, bool]]:
    """(bytes, whether it is a head) of what is on the state topic."""
    reader = place.log.reader()
    topic = Namespace(place.namespace).state
    wanted = {(topic, number): FROM_START for number in range(4)}
    sizes = [
        (len(record.value), isinstance(decode_state(record.value), Head))
        for record in reader.read_to_end(wanted, 30, undecided_s=10)
        if record.value is not None
    ]
    reader.close()
    return sizes


def test_embedded_log_has_a_store_beside_it_and_kafka_has_none(place: Place) -> None:
    async def scenario() -> None:
        async with place.client(None) as client:
            if place.log.payload_store is not None:
                assert await client.execute(swollen, LARGE_BYTES, wait_s=60) == LARGE
                assert len(objects(f"{place.address}.payloads")) == 1
                return
            with pytest.raises(WorkflowFailedError, match="no payload store"):
                await client.execute(swollen, LARGE_BYTES, wait_s=60)
            with pytest.raises(PayloadTooLargeError):
                await client.start(echo, LARGE)

    with place.serving(None):
        asyncio.run(scenario())


@pytest.mark.kafka
def test_worker_refuses_topics_that_do_not_take_what_it_may_write(
    kafka_address: str, kafka_log: Log, topics: Namespace
) -> None:
    resource = ConfigResource("topic", topics.state)
    resource.add_incremental_config(
        ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
    )
    admin = AdminClient({"bootstrap.servers": kafka_address})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    log_admin = kafka_log.admin()
    while log_admin.describe_topics([topics.state])[topics.state].record_bytes_max > 1_000_000:
        time.sleep(0.05)  # until the brokers have heard of it
    log_admin.close()
    refused = Worker(kafka_log, namespace=topics.name, workflows=WORKFLOWS)
    with pytest.raises(
        LogError, match=r"takes records of 1000000 bytes; 4194304 are needed\. Mend it"
    ):
        asyncio.run(refused.run())
