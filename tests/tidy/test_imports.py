from __future__ import annotations

import pytest

from tests.tidy import imports
from tests.tidy.source import module_of, source_files

PACKAGES = {
    "topics": {"weft.errors", "weft.records", "weft.codec", "weft.log", "weft.topics"},
    "orchestrator": {"weft.core", "weft.workflow"},
    "workers": {"weft.worker", "weft.cli"},
}


def test_modules_import_what_their_layer_may() -> None:
    packages = imports.packages_by_root()
    found = [
        finding
        for file in source_files()
        for finding in imports.findings(
            file.read_text(encoding="utf-8"),
            module_of(file),
            packages,
            is_package=file.name == "__init__.py",
        )
    ]
    assert found == []


def test_package_is_in_one_root_only() -> None:
    topics, orchestrator, workers = imports.packages_by_root().values()
    assert not topics & orchestrator
    assert not topics & workers
    assert not orchestrator & workers


def test_every_restricted_package_exists() -> None:
    """A package that was renamed would go unwatched."""
    known = set().union(*imports.packages_by_root().values())
    assert imports.LOWER_PACKAGES.keys() <= known


@pytest.mark.parametrize(
    "module,statement,reason",
    [
        ("weft.log", "from weft.worker import Worker", "topics may not import workers"),
        ("weft.log", "import weft.workflow", "topics may not import orchestrator"),
        ("weft.workflow._loop", "from weft.cli import main", "orchestrator may not import workers"),
        ("weft.workflow", "from weft import worker", "orchestrator may not import workers"),
        (
            "weft.workflow",
            "def f():\n    import weft.worker",
            "orchestrator may not import workers",
        ),
        ("weft.records", "from weft.codec import encode", "weft.records may import none of ours"),
        ("weft.core._decide", "from weft.log import Log", "weft.core may import weft.errors"),
        ("weft.core._decide", "import time", "no clock, no chance and no I/O"),
        ("weft.worker._owner", "from time import monotonic", "ask the host"),
        ("weft.core", "from random import Random", "no clock, no chance and no I/O"),
        ("weft.core", "from os import path", "no clock, no chance and no I/O"),
        ("weft.core", "import asyncio.events", "no clock, no chance and no I/O"),
        ("weft.worker", "import confluent_kafka", "only weft.log.kafka may"),
        ("weft.log.kafkaesque", "import confluent_kafka", "only weft.log.kafka may"),
        ("weft.log", "from confluent_kafka.admin import AdminClient", "only weft.log.kafka may"),
        ("weft.log._api", "import sqlite3", "only weft.log.embedded, weft.stores may"),
        ("weft.records", "import pydantic", "only weft.cli, weft.codec, weft.worker may"),
        ("weft.worker", "import requests", "not a library that the distribution depends on"),
        ("weft.worker", "from weft.log._api import Log", "a private module of weft.log"),
        ("weft.worker", "from weft.log import _api", "a private module of weft.log"),
        ("weft.worker", "from weft.nothing import f", "there is no such package"),
        ("weft.log._api", "from ..worker import Worker", "topics may not import workers"),
    ],
)
def test_checker_finds_the_import_that_is_not_allowed(
    module: str, statement: str, reason: str
) -> None:
    (finding, *_) = imports.findings(statement, module, PACKAGES)
    assert reason in finding


@pytest.mark.parametrize(
    "module,statement",
    [
        ("weft.worker", "from weft.log import Log\nfrom weft.core import decide\nimport asyncio"),
        ("weft.core._decide", "import math\nfrom weft.records import Head\nfrom ._run import Run"),
        ("weft.core", "import msgspec\nfrom weft.core._decide import decide"),
        ("weft.log.kafka._log", "import confluent_kafka\nfrom weft.log._api import Log"),
        ("weft.log.embedded", "import sqlite3"),
        ("weft.topics", "from weft.log import TopicSpec"),
    ],
)
def test_checker_lets_the_allowed_import_pass(module: str, statement: str) -> None:
    assert imports.findings(statement, module, PACKAGES) == []
