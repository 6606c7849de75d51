"""What tests of documents share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.documents import load


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    """The block that the test is about (one of the `BLOCKS` of its file), as the module that a user has of it."""
    module = load(request.param, request.module.BLOCKS[request.param], tmp_path)
    yield module
    del sys.modules[module.__name__]
