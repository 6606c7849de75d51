"""Every store keeps the contract: the same cases on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.stores.kit import Topic, TopicReader, TopicWriter
from weft.executor import WorkflowStore
from weft.stores import InMemoryStore, KafkaStore, SqliteStore
from weft.testing import StoreContract


@pytest.mark.requirement("R1-11", "R1-38")
class TestInMemoryStore(StoreContract):
    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[WorkflowStore]:
        yield InMemoryStore()


@pytest.mark.requirement("R1-11", "R1-27")
class TestSqliteStore(StoreContract):
    is_durable = True

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "states.db"

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[WorkflowStore]:
        async with SqliteStore(self.path) as store:
            yield store


@pytest.mark.requirement("R1-40", "R1-43", "R1-45", "R1-48")
class TestKafkaStore(StoreContract):
    """On a topic in memory; tests/integration has it on real ones."""

    is_durable = True

    @pytest.fixture(autouse=True)
    def _topic(self) -> None:
        self.topic = Topic()

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[WorkflowStore]:
        reader = TopicReader(self.topic)
        async with KafkaStore.from_writer_reader(TopicWriter(self.topic), reader) as store:
            yield store


@pytest.mark.requirement("R1-43", "R1-44", "R1-48")
class TestKafkaStoreWithoutReader(StoreContract):
    """It knows what it has written itself."""

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[WorkflowStore]:
        async with KafkaStore.from_writer_reader(TopicWriter(Topic(), tells=False)) as store:
            yield store
