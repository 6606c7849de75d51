"""A state as a store keeps it: its JSON, with what lists need beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weft.errors import UsageError
from weft.executor import StoreError, WorkflowFilter, WorkflowState, cursor_of


class Stored(NamedTuple):
    """`place` is where it stands in a list."""

    place: str
    status: str
    data: bytes


def stored(provider: str, state: WorkflowState) -> Stored:
    """Raises StoreError for a state without an ID, and for one that JSON cannot hold."""
    if not state.workflow_id:
        raise StoreError(f"{provider}/save: workflow ID is required")
    try:
        return Stored(cursor_of(state), str(state.status), state.to_json())
    except UsageError as error:
        raise StoreError(f"{provider}/save: marshal: {error}") from error


def loaded(provider: str, operation: str, workflow_id: str, data: bytes) -> WorkflowState:
    """Raises StoreError for what is no state."""
    try:
        return WorkflowState.from_json(data)
    except UsageError as error:
        raise StoreError(f"{provider}/{operation}: unmarshal: {workflow_id}: {error}") from error


def chosen(found: Iterable[Stored], filter: WorkflowFilter) -> list[Stored]:
    """Those that the filter lets through, in order."""
    cursor = filter.cursor or ""
    fitting = sorted(
        one
        for one in found
        if (not filter.status or one.status == filter.status) and one.place > cursor
    )
    return fitting[: filter.limit] if filter.limit > 0 else fitting
