"""The store in a compacted topic, on a real broker and on the embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from weft.executor import FencedStoreError, StoreError, WorkflowStore
from weft.log import Log, TopicSpec
from weft.stores import KafkaStore
from weft.testing import StoreContract, state_of


@pytest.mark.requirement("R1-40", "R1-41", "R1-42", "R1-43", "R1-45")
class TestKafkaStoreOnALog(StoreContract):
    is_durable = True

    @pytest.fixture(autouse=True)
    def _topic(self, log: Log, namespace: str) -> None:
        self.log = log
        self.topic = f"{namespace}-states"

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[WorkflowStore]:
        async with await KafkaStore.connect(log=self.log, topic=self.topic, partitions=2) as store:
            yield store


@pytest.mark.requirement("R1-40", "R1-46")
def test_topic_is_made_compacted(log: Log, namespace: str) -> None:
    topic = f"{namespace}-states"

    async def run() -> None:
        async with await KafkaStore.connect(log=log, topic=topic, partitions=2):
            pass

    asyncio.run(run())
    with closing(log.admin()) as admin:
        info = admin.describe_topics([topic])[topic]
    assert (info.compacted, info.partitions) == (True, 2)


def test_topic_that_is_not_compacted_is_refused(log: Log, namespace: str) -> None:
    topic = f"{namespace}-states"
    with closing(log.admin()) as admin:
        admin.create_topics([TopicSpec(topic, 1)])

    async def run() -> None:
        with pytest.raises(StoreError, match=r"^kafka/open: Topic .* is not compacted"):
            await KafkaStore.connect(log=log, topic=topic)

    asyncio.run(run())


def test_two_stores_see_each_other(log: Log, namespace: str) -> None:
    topic = f"{namespace}-states"

    async def run() -> None:
        async with (
            await KafkaStore.connect(log=log, topic=topic, partitions=2) as one,
            await KafkaStore.connect(log=log, topic=topic) as other,
        ):
            for number in range(5):
                await one.save(state_of(f"wf-{number}", number))
                await other.save(state_of(f"wf-{number}", number, result="other"))
            async with asyncio.timeout(20):
                while [state.result for state in await one.list()] != ["other"] * 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    asyncio.run(run())


def test_owner_is_fenced_when_another_one_takes_over(log: Log, namespace: str) -> None:
    topic = f"{namespace}-states"

    async def run() -> None:
        former = await KafkaStore.connect(log=log, topic=topic, partitions=2, owner="orders")
        await former.save(state_of("wf-1", result="former"))
        newer = await KafkaStore.connect(log=log, topic=topic, owner="orders")
        with pytest.raises(FencedStoreError, match=r"^kafka/save: another store has taken over"):
            await former.save(state_of("wf-1", result="late"))
        await newer.save(state_of("wf-2", 1, result="newer"))
        assert [state.result for state in await newer.list()] == ["former", "newer"]
        with pytest.raises(StoreError):
            await former.delete("wf-1")
        assert [state.result for state in await newer.list()] == ["former", "newer"]
        await newer.close()
        await former.close()

    asyncio.run(run())
