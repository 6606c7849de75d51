"""A namespace with its topics on the real broker, and the options that point a command at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create

PARTITIONS = 4


@pytest.fixture
def kafka_log(kafka_address: str) -> Iterator[Log]:
    log = open_log(kafka=kafka_address)
    yield log
    log.close()


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
