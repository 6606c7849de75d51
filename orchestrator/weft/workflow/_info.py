"""Who a run is, and where it comes from: what `ctx.info` tells its code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from weft.workflow._continue import SUGGESTED_EVENTS


@dataclass(frozen=True, slots=True)
class ParentInfo:
    """The run that started this one as its child."""

    namespace: str
    workflow_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """Who this run is."""

    workflow_id: str
    run_id: str
    workflow: str
    version: str
    started: datetime
    parent: ParentInfo | None = None
    """Of a child."""
    continued_from: str = ""
    """The ID of the run that this one continues."""
    run_number: int = 1
    """Its place among the runs that continue one another."""
    history_length: int = 0
    """How many events this run has, up to the one that is being handled."""

    @property
    def is_continue_suggested(self) -> bool:
        """Whether the history has grown long (4,000 events): time to `ctx.continue_as_new`, where the code can.

        A long history costs its owner memory, and time after a takeover.
        """
        return self.history_length >= SUGGESTED_EVENTS
