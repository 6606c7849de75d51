"""`drive(workflow, input)` starts a run by hand; what a test leaves waiting is dropped after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.runs import DrivenRun

Drive = Callable[..., DrivenRun]


@pytest.fixture
def drive() -> Iterator[Drive]:
    runs: list[DrivenRun] = []

    def begin(*args: Any, **options: Any) -> DrivenRun:
        runs.append(DrivenRun(*args, **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()
