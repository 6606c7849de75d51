"""The executor in this process, over every store that needs no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.executor_contract import ExecutorContract
from tests.unit.stores.kit import Topic, TopicReader, TopicWriter
from weft.executor import Config, DefaultExecutor, DurableExecutor, Hooks, new, providers
from weft.stores import InMemoryStore, KafkaStore, SqliteStore


@pytest.mark.requirement("R1-16")
class TestDefaultExecutorInMemory(ExecutorContract):
    @asynccontextmanager
    async def open_executor(self, hooks: Hooks | None = None) -> AsyncIterator[DurableExecutor]:
        async with DefaultExecutor(InMemoryStore(), hooks=hooks) as executor:
            yield executor


@pytest.mark.requirement("R1-16")
class TestDefaultExecutorInAFile(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "states.db"

    @asynccontextmanager
    async def open_executor(self, hooks: Hooks | None = None) -> AsyncIterator[DurableExecutor]:
        async with (
            SqliteStore(self.path) as store,
            DefaultExecutor(store, hooks=hooks) as executor,
        ):
            yield executor


@pytest.mark.requirement("R1-16", "R1-40")
class TestDefaultExecutorInATopic(ExecutorContract):
    @asynccontextmanager
    async def open_executor(self, hooks: Hooks | None = None) -> AsyncIterator[DurableExecutor]:
        topic = Topic()
        store = KafkaStore.from_writer_reader(TopicWriter(topic), TopicReader(topic))
        async with store, DefaultExecutor(store, hooks=hooks) as executor:
            yield executor


@pytest.mark.requirement("R1-2", "R1-31", "R1-32")
class TestDefaultExecutorByItsName(ExecutorContract):
    @asynccontextmanager
    async def open_executor(self, hooks: Hooks | None = None) -> AsyncIterator[DurableExecutor]:
        assert "default" in providers()
        executor = new("default", Config(InMemoryStore(), hooks=hooks))
        assert isinstance(executor, DefaultExecutor)
        async with executor:
            yield executor
