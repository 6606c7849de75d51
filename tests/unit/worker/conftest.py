"""`serve(workflows...)` makes an owned partition, in each of the three modes of its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.worker.kit import Served

Serve = Callable[..., Served]


def _serving(mode: str) -> Iterator[Serve]:
    made: list[Served] = []

    def begin(*workflows: Any, **options: Any) -> Served:
        made.append(Served(*workflows, **{"mode": mode, **options}))
        return made[-1]

    yield begin
    for served in made:
        served.close()


@pytest.fixture(params=["live", "reloaded", "compacted"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Partitions that keep their memory, and ones that lose it after every turn."""
    yield from _serving(request.param)


@pytest.fixture
def serve_live() -> Iterator[Serve]:
    """Partitions that keep their memory; for what is in memory only, such as waiting clients."""
    yield from _serving("live")
