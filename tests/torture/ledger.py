"""What was asked for, what must come of it, and what clients were told. The checks are made against it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

ENDS = ("completed", "failed", "cancelled", "terminated", "timed_out")
CONTINUED = "continued"
"""How a run ends that another one continues: its workflow has not."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends. `text` is its failure's message or the reason; `result` is None unless it completes."""

    status: str
    result: Any = None
    text: str = ""


@dataclass
class Update:
    """One update and what its senders were told. One that does not `pass` must be rejected, and is a number below 0."""

    number: int
    replies: list[Any] = field(default_factory=list)

    @property
    def passes(self) -> bool:
        return self.number >= 0


@dataclass
class Ledger:
    """One per torture; used on one event loop. Runs of one ID follow one another."""

    expected: dict[str, list[Ending]] = field(default_factory=dict)
    """By workflow ID, in the order of their starts."""
    told: dict[str, list[Ending]] = field(default_factory=dict)
    """What clients got to know, likewise."""
    purged: set[str] = field(default_factory=set)
    """Workflows that are gone."""
    signal_ids: dict[str, set[str]] = field(default_factory=dict)
    """Every signal's ID, by the workflow that it was for."""
    children: dict[str, dict[str, int]] = field(default_factory=dict)
    """What each child must count for, by its parent's workflow ID and its own; one that fails, its attempts below 0."""
    updates: dict[str, dict[str, Update]] = field(default_factory=dict)
    """By the workflow that they were for, and their IDs."""
    published: dict[str, int] = field(default_factory=dict)
    """By the key of the record."""
    chains: dict[str, int] = field(default_factory=dict)
    """How many runs the chain of a workflow has."""
    signals_sent: int = 0
    duplicates_sent: int = 0
    asked: int = 0
    """Workloads begun: each is open work until it is done."""
    done: int = 0

    def expect(self, workflow_id: str, ending: Ending) -> None:
        self.expected.setdefault(workflow_id, []).append(ending)
        self.purged.discard(workflow_id)

    def tell(self, workflow_id: str, ending: Ending) -> None:
        self.told.setdefault(workflow_id, []).append(ending)

    @property
    def runs(self) -> int:
        return sum(map(len, self.expected.values()))


@dataclass
class Stall:
    """The longest time in which nothing ended although work was open."""

    longest_s: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    def note_progress(self) -> None:
        self._measure()
        self._since = time.monotonic()

    def look(self, *, work_is_open: bool) -> None:
        """Call it often: time without open work does not count."""
        if work_is_open:
            self._measure()
        else:
            self._since = time.monotonic()

    def _measure(self) -> None:
        self.longest_s = max(self.longest_s, time.monotonic() - self._since)
