"""What a client is told of a workflow, under Dapr's names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from weft.client import WorkflowDescription


class WorkflowStatus(Enum):
    """How a workflow stands."""

    UNKNOWN = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    TERMINATED = 4
    PENDING = 5
    SUSPENDED = 6


_STATUSES = {
    "running": WorkflowStatus.RUNNING,
    "blocked": WorkflowStatus.RUNNING,
    "completed": WorkflowStatus.COMPLETED,
    "failed": WorkflowStatus.FAILED,
    "timed_out": WorkflowStatus.FAILED,
    "terminated": WorkflowStatus.TERMINATED,
    "cancelled": WorkflowStatus.TERMINATED,
    "suspended": WorkflowStatus.SUSPENDED,
}


@dataclass(frozen=True)
class FailureDetails:
    """Why a workflow failed."""

    message: str
    error_type: str
    stack_trace: str | None = None


@dataclass(frozen=True)
class WorkflowState:
    """How a workflow stands, and its values as JSON text. Times are UTC."""

    instance_id: str
    name: str
    runtime_status: WorkflowStatus
    created_at: datetime
    last_updated_at: datetime
    serialized_input: str | None = None
    serialized_output: str | None = None
    serialized_custom_status: str | None = None
    failure_details: FailureDetails | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it as a dict that JSON can hold."""
        failure = self.failure_details
        return {
            "instance_id": self.instance_id,
            "name": self.name,
            "runtime_status": self.runtime_status.name,
            "created_at": self.created_at.isoformat(),
            "last_updated_at": self.last_updated_at.isoformat(),
            "serialized_input": self.serialized_input,
            "serialized_output": self.serialized_output,
            "serialized_custom_status": self.serialized_custom_status,
            "failure_details": None if failure is None else dict(vars(failure)),
        }


def state_of(found: WorkflowDescription, *, fetch_payloads: bool) -> WorkflowState:
    """What a description says."""
    status = _STATUSES.get(found.status, WorkflowStatus.UNKNOWN)
    failure = None
    if found.failure is not None:
        stack = found.failure.stack or None
        failure = FailureDetails(found.failure.message, found.failure.type, stack)
    return WorkflowState(
        found.workflow_id,
        found.workflow,
        status,
        found.created,
        found.updated,
        _text(found.input, fetch_payloads),
        _text(found.result, fetch_payloads and status is WorkflowStatus.COMPLETED),
        _text(found.custom_status, fetch_payloads),
        failure,
    )


def _text(value: Any, is_wanted: bool) -> str | None:  # noqa: FBT001  # a word more says no more
    return json.dumps(value) if is_wanted and value is not None else None
