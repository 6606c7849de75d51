"""The log contract runs on every backend, and on the simulated log: a test that asks for `kit` runs once on each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.log_contract.kit import REAL, Kit


@pytest.fixture(params=["simulated", *REAL])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    """A log of this backend, with names that no other test uses."""
    backend: str = request.param
    with ExitStack() as stack:
        if backend == "embedded":
            yield Kit(backend, str(tmp_path / "log.weft"), "test", stack)
        elif backend == "simulated":
            yield Kit(backend, "", "test", stack)
        else:
            address = request.getfixturevalue("kafka_address")
            yield Kit(backend, address, request.getfixturevalue("namespace"), stack)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Kit]:
    """For what only a file can show."""
    with ExitStack() as stack:
        yield Kit("embedded", str(tmp_path / "log.weft"), f"test-{uuid.uuid4().hex[:6]}", stack)
