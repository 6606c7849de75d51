"""What a shape is: a workflow as users write them, what happens to it, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.support.runs import DrivenRun, closed_on_error
from weft import activity
from weft.workflow import Workflow

Script = Callable[[DrivenRun], None]


@dataclass(frozen=True)
class Shape:
    """`script` plays the outside world. The run must end as `status`, with this result or this type of failure."""

    name: str
    workflow: Workflow[Any, Any]
    script: Script
    result: object = None
    status: str = "completed"
    failure: str = ""
    value: object = None
    timeout: timedelta | int = 0
    requirements: tuple[str, ...] = ()

    def play(self, *, crashed: bool = False) -> DrivenRun:
        """Drive the workflow through the script; the caller closes the run."""
        run = DrivenRun(self.workflow, self.value, timeout=self.timeout, crashed=crashed)
        with closed_on_error(run):
            self.script(run)
        return run


def parameters(shapes: Iterable[Shape]) -> list[Any]:
    """The shapes as pytest parameters, each with the requirements that it shows."""
    return [
        pytest.param(
            shape,
            id=shape.name,
            marks=[pytest.mark.requirement(*shape.requirements)] if shape.requirements else [],
        )
        for shape in shapes
    ]


@activity.define
async def charge(cents: int) -> int:
    return cents


@activity.define
async def pick(line: Any) -> Any:
    return line


@activity.define
async def ship(parcel: Any) -> Any:
    return parcel


@activity.define
async def refund(cents: int) -> int:
    return cents
