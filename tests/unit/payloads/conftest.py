"""Stores of both sorts: a folder, and fsspec's own in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from weft.payloads import PayloadStore


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "payloads")
        return
    root = f"memory://{uuid.uuid4().hex}/payloads"
    yield root
    files, path = fsspec.core.url_to_fs(root)
    if files.exists(path):
        files.rm(path, recursive=True)


@pytest.fixture
def store(url: str) -> PayloadStore:
    return PayloadStore(url)
