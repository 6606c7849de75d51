"""What the Kafka store writes, and what it makes of what it reads."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.unit.stores.kit import Topic, TopicReader, TopicWriter
from weft.executor import StoreError, WorkflowState
from weft.stores import KafkaStore, KafkaStoreConfig, Message
from weft.testing import state_of


def open_store(topic: Topic) -> tuple[KafkaStore, TopicWriter, TopicReader]:
    writer, reader = TopicWriter(topic), TopicReader(topic)
    return KafkaStore.from_writer_reader(writer, reader), writer, reader


@pytest.mark.requirement("R1-44")
def test_store_is_refused_when_it_has_no_writer() -> None:
    with pytest.raises(StoreError, match=r"^kafka: writer is required$"):
        KafkaStore(KafkaStoreConfig())


@pytest.mark.requirement("R1-46")
def test_topic_is_the_default_one_unless_another_is_given() -> None:
    writer = TopicWriter(Topic())
    assert KafkaStore(KafkaStoreConfig(writer)).config.topic == "beluga-workflows"
    assert KafkaStore(KafkaStoreConfig(writer, topic="orders")).config.topic == "orders"


@pytest.mark.requirement("R1-40", "R1-41", "R1-42")
def test_message_is_the_states_json_under_the_workflows_id_and_a_tombstone_for_a_deletion() -> None:
    async def run() -> None:
        topic = Topic()
        store, _, _ = open_store(topic)
        await store.save(state_of("wf-1", input={"a": 1}))
        await store.delete("wf-1")
        saved, deleted = topic.messages
        assert (saved.key, deleted.key, deleted.value) == (b"wf-1", b"wf-1", None)
        assert saved.value is not None
        assert json.loads(saved.value) == {
            "WorkflowID": "wf-1",
            "RunID": "run-wf-1",
            "Status": "running",
            "Input": {"a": 1},
            "Result": None,
            "Error": "",
            "History": [],
            "CreatedAt": "2026-01-02T03:04:05.678901Z",
            "UpdatedAt": "2026-01-02T03:04:05.678901Z",
        }

    asyncio.run(run())


def test_deletion_writes_nothing_when_there_is_nothing() -> None:
    async def run() -> None:
        topic = Topic()
        store, _, _ = open_store(topic)
        await store.delete("never")
        with pytest.raises(StoreError, match=r"^kafka/delete: workflow ID is required$"):
            await store.delete("")
        assert topic.messages == []
        # Nobody knows what the topic holds when it is not read.
        await KafkaStore.from_writer_reader(TopicWriter(topic)).delete("never")
        assert [(one.key, one.value) for one in topic.messages] == [(b"never", None)]

    asyncio.run(run())


@pytest.mark.requirement("R1-43", "R1-45")
def test_list_and_load_find_what_a_former_process_wrote() -> None:
    async def run() -> None:
        topic = Topic()
        former, _, _ = open_store(topic)
        for number in range(3):
            await former.save(state_of(f"wf-{number}", number))
        await former.save(state_of("wf-1", 1, result="newest"))
        await former.delete("wf-0")
        store, _, _ = open_store(topic)
        assert [state.workflow_id for state in await store.list()] == ["wf-1", "wf-2"]
        loaded = await store.load("wf-1")
        assert loaded is not None
        assert loaded.result == "newest"
        assert await store.load("wf-0") is None

    asyncio.run(run())


def test_what_another_process_writes_is_seen() -> None:
    async def run() -> None:
        topic = Topic()
        here, _, _ = open_store(topic)
        there, _, _ = open_store(topic)
        await here.save(state_of("wf-1", result="here"))
        await there.save(state_of("wf-1", result="there"))
        loaded = await here.load("wf-1")
        assert loaded is not None
        assert loaded.result == "there"
        await there.delete("wf-1")
        assert await here.load("wf-1") is None

    asyncio.run(run())


def test_failed_write_leaves_the_cache_as_it_was() -> None:
    async def run() -> None:
        store, writer, _ = open_store(Topic())
        await store.save(state_of("wf-1", result="first"))
        writer.fails = OSError("no broker")
        with pytest.raises(StoreError, match=r"^kafka/save: no broker$"):
            await store.save(state_of("wf-1", result="second"))
        with pytest.raises(StoreError, match=r"^kafka/delete: no broker$"):
            await store.delete("wf-1")
        loaded = await store.load("wf-1")
        assert loaded is not None
        assert loaded.result == "first"
        assert len(await store.list()) == 1

    asyncio.run(run())


@pytest.mark.parametrize("tells", [True, False])
def test_cache_has_the_order_of_the_log_when_a_write_is_confirmed_late(tells: bool) -> None:
    async def run() -> None:
        topic = Topic()
        writer = TopicWriter(topic, tells=tells)
        store = KafkaStore.from_writer_reader(writer, TopicReader(topic) if tells else None)
        await store.rebuild()
        writer.pauses = [0.02, 0.0]
        first, second = state_of("wf-1", result="first"), state_of("wf-1", result="second")
        await asyncio.gather(store.save(first), store.save(second))
        loaded = await store.load("wf-1")
        assert loaded is not None
        assert loaded.result == "second"
        assert topic.messages[-1].value == second.to_json()

    asyncio.run(run())


def test_older_record_of_the_topic_does_not_replace_what_was_written_since() -> None:
    async def run() -> None:
        topic = Topic()
        writer, reader = TopicWriter(topic), TopicReader(topic)
        store = KafkaStore.from_writer_reader(writer, reader)
        await store.rebuild()
        await store.save(state_of("wf-1", result="first"))
        await store.save(state_of("wf-1", result="second"))
        first_only = topic.messages[:1]
        topic.messages, whole = first_only, topic.messages  # the reader lags behind
        loaded = await store.load("wf-1")
        assert loaded is not None
        assert loaded.result == "second"
        topic.messages = whole
        assert len(await store.list()) == 1

    asyncio.run(run())


def test_save_that_nobody_waits_for_any_more_is_in_the_cache_when_it_is_in_the_topic() -> None:
    async def run() -> None:
        topic = Topic()
        writer = TopicWriter(topic)
        store = KafkaStore.from_writer_reader(writer)
        writer.pauses = [0.02]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await store.save(state_of("wf-1"))
        assert len(topic.messages) == 1
        assert await store.load("wf-1") is not None

    asyncio.run(run())


def test_key_stays_on_the_partition_where_another_program_put_it() -> None:
    async def run() -> None:
        topic = Topic()
        store, _, _ = open_store(topic)
        usual = topic.append(Message(b"wf-1", b"", -1)).partition
        topic.messages.clear()
        other = (usual + 1) % 3
        topic.append(Message(b"wf-1", state_of("wf-1").to_json(), other))
        await store.save(state_of("wf-1", result="mine"))
        await store.delete("wf-1")
        assert [one.partition for one in topic.messages] == [other] * 3

    asyncio.run(run())


def test_records_that_are_no_states_are_told_of_when_they_are_asked_for() -> None:
    async def run() -> None:
        topic = Topic()
        store, _, _ = open_store(topic)
        topic.append(Message(b"broken", b"{not json", 0))
        topic.append(Message(b"", b"{}", 0))
        await store.save(state_of("wf-1"))
        assert await store.load("wf-1") is not None
        with pytest.raises(StoreError, match=r"^kafka/load: unmarshal: broken: "):
            await store.load("broken")
        with pytest.raises(StoreError, match=r"^kafka/list: unmarshal: broken: "):
            await store.list()
        await store.save(state_of("broken"))
        assert [state.workflow_id for state in await store.list()] == ["broken", "wf-1"]

    asyncio.run(run())


@pytest.mark.requirement("R1-47")
def test_close_closes_both_and_nothing_is_taken_afterwards() -> None:
    async def run() -> None:
        store, writer, reader = open_store(Topic())
        await store.close()
        await store.close()
        assert (writer.closed, reader.closed) == (1, 1)
        for call in (store.save(state_of("wf-1")), store.load("wf-1"), store.list()):
            with pytest.raises(StoreError, match=r": the store is closed$"):
                await call
        await KafkaStore.from_writer_reader(TopicWriter(Topic())).close()

    asyncio.run(run())


def test_close_tries_the_reader_too_when_the_writer_fails() -> None:
    async def run() -> None:
        store, writer, reader = open_store(Topic())
        writer.fails = OSError("writer")
        reader.fails = OSError("reader")
        with pytest.raises(StoreError, match=r"^kafka/close: writer$"):
            await store.close()
        assert (writer.closed, reader.closed) == (1, 1)

    asyncio.run(run())


def test_failing_read_is_told() -> None:
    async def run() -> None:
        store, _, reader = open_store(Topic())
        reader.fails = OSError("gone")
        with pytest.raises(StoreError, match=r"^kafka/load: read: gone$"):
            await store.load("wf-1")

    asyncio.run(run())


def test_state_of_another_implementation_is_read() -> None:
    """Go writes nanoseconds, and null for a history without events."""
    data = (
        b'{"WorkflowID":"wf-1","RunID":"run-1","Status":"canceled","Input":1.5,"Result":null,"Error":"e","History":null'
        b',"CreatedAt":"2026-01-02T03:04:05.123456789Z","UpdatedAt":"0001-01-01T00:00:00Z"}'
    )
    state = WorkflowState.from_json(data)
    assert (state.status, state.input, state.history) == ("canceled", 1.5, [])
    assert state.created_at.microsecond == 123457
