"""The log contract runs on both backends: every test here that asks for `kit` runs once on each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.log_contract.kit import Kit


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    """A log of this backend, with names that no other test uses."""
    backend: str = request.param
    with ExitStack() as stack:
        if backend == "embedded":
            yield Kit(backend, str(tmp_path / "log.weft"), "test", stack)
        else:
            address = request.getfixturevalue("kafka_address")
            yield Kit(backend, address, request.getfixturevalue("namespace"), stack)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Kit]:
    """For what only a file can show."""
    with ExitStack() as stack:
        yield Kit("embedded", str(tmp_path / "log.weft"), f"test-{uuid.uuid4().hex[:6]}", stack)
