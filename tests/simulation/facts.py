"""What the users of a simulation know for sure: what they asked for, and what they were told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Facts:
    """Kept outside of every process, for the checkers."""

    expected: dict[str, tuple[str, Callable[[Any], bool]]] = field(default_factory=dict)
    """How the last run of a workflow must end, by workflow ID: its status, and what is true of its result."""
    started: list[tuple[str, str]] = field(default_factory=list)
    """(workflow ID, run ID) of starts that were confirmed."""
    signalled: list[tuple[str, str]] = field(default_factory=list)
    """(workflow ID, signal ID) of signals that were confirmed."""
    updated: list[tuple[str, str, Any]] = field(default_factory=list)
    """(workflow ID, update ID, answer or type of failure) of updates that a user was told are done."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """(workflow ID, update ID) of updates that a user was told the code did not let pass."""
    results: list[tuple[str, str, Any]] = field(default_factory=list)
    """(workflow ID, run ID, result) that a user was told."""
    ended: list[tuple[str, str, str]] = field(default_factory=list)
    """(workflow ID, run ID, status) of runs that a user was told did not complete."""
    purged: list[tuple[str, str]] = field(default_factory=list)
    """(workflow ID, run ID) of runs whose deletion was confirmed."""
    surprises: list[str] = field(default_factory=list)
    """Answers that cannot be right."""
