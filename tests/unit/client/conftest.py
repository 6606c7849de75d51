"""An embedded log with the topics of a namespace, an owner on it, and a client; waits are short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.unit.client.owner import FakeOwner
from weft.client import _bridge, _end_request, _request
from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create

PARTITIONS = 3
NAMES = Namespace("desk")


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens in another thread."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.weft"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    log = open_log(embedded=path)
    admin = log.admin()
    create(admin, catalogue(NAMES, partitions=PARTITIONS))
    admin.close()
    yield log
    log.close()


@pytest.fixture
def new_owner(log: Log) -> Callable[[], AbstractContextManager[FakeOwner]]:
    """Starts an owner, for tests in which it comes late or goes."""
    return lambda: FakeOwner(log, NAMES, PARTITIONS)


@pytest.fixture
def owner(new_owner: Callable[[], AbstractContextManager[FakeOwner]]) -> Iterator[FakeOwner]:
    with new_owner() as owner:
        yield owner


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are asked again after hundredths of seconds."""
    monkeypatch.setattr(_bridge, "POLL_S", 0.02)
    monkeypatch.setattr(_request, "ASK_AGAIN_S", (0.03, 0.06, 0.12))
    monkeypatch.setattr(_end_request, "AWAIT_AGAIN_S", (0.05, 0.1))
    monkeypatch.setattr(_end_request, "EXECUTE_AGAIN_S", (0.05, 0.1))
    monkeypatch.setattr(_end_request, "LOOK_AGAIN_S", (0.0, 0.1))
