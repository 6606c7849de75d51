"""A namespace with its topics on the real broker, and the options that point a command at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create

PARTITIONS = 4


@pytest.fixture
def kafka_log(kafka_address: str) -> Iterator[Log]:
    log = open_log(kafka=kafka_address)
    yield log
    log.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """One log after the other: what both must do alike."""
    if request.param == "embedded":
        opened = open_log(embedded=tmp_path / "log.weft")
    else:
        opened = open_log(kafka=request.getfixturevalue("kafka_address"))
    with closing(opened):
        yield opened


@pytest.fixture
def topics(kafka_log: Log, namespace: str) -> Namespace:
    """The engine's topics, made for this test alone. The state topic is compacted within a second or two."""
    names = Namespace(namespace)
    admin = kafka_log.admin()
    create(admin, catalogue(names, partitions=PARTITIONS))
    admin.close()
    return names


@pytest.fixture
def options(kafka_address: str, topics: Namespace) -> list[str]:
    return ["--kafka", kafka_address, "--namespace", topics.name]
