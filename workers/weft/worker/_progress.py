"""What activities last said of their progress: kept on the state topic, beside their workflow, for the next attempt.

Not in the history, which must not grow with heartbeats, and not in the head, which every step writes. Each open
activity has one record, replaced by the next and deleted with the turn that ends the activity.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.codec import encode
from weft.core import Run
from weft.records import NULL, Payload, Progress

_MARK = "progress-"


def progress_key(workflow_id: str, run_id: str, activity_id: int) -> bytes:
    """Beside its head and its pages, under a key that neither can have."""
    return f"{workflow_id}\0{run_id}\0{_MARK}{activity_id}".encode()


def activity_id_of(last_part: str) -> int | None:
    """From the last part of a key; None when it is a page's."""
    return int(last_part.removeprefix(_MARK)) if last_part.startswith(_MARK) else None


class _Entry:
    __slots__ = ("is_new", "is_stored", "progress")

    def __init__(self, progress: Progress, *, is_stored: bool) -> None:
        self.progress = progress
        self.is_stored = is_stored
        """There is a record of it on the log."""
        self.is_new = not is_stored
        """The record, if there is one, is older."""


class ProgressBook:
    """The progress of a partition's activities."""

    def __init__(self) -> None:
        self.by_workflow: dict[str, dict[int, _Entry]] = {}
        self.changed: dict[str, None] = {}
        """Workflows whose activities said something since `settle` was last called for them."""

    def load(self, workflow_id: str, progress: Progress) -> None:
        """A record of the state topic."""
        entries = self.by_workflow.setdefault(workflow_id, {})
        entries[progress.activity_id] = _Entry(progress, is_stored=True)

    def unload(self, workflow_id: str, activity_id: int) -> None:
        """A tombstone of the state topic."""
        self._drop(workflow_id, activity_id)

    def note(self, workflow_id: str, run_id: str, activity_id: int, details: Payload) -> None:
        """An activity said how far it is."""
        progress = Progress(run_id, activity_id, details)
        entries = self.by_workflow.setdefault(workflow_id, {})
        entry = entries.get(activity_id)
        if entry is None or entry.progress.run_id != run_id:
            entries[activity_id] = _Entry(progress, is_stored=False)
        elif entry.progress.details != details:
            entry.progress = progress
            entry.is_new = True
        self.changed[workflow_id] = None

    def details(self, workflow_id: str, run_id: str, activity_id: int) -> Payload:
        """What the next attempt is told."""
        entries = self.by_workflow.get(workflow_id)
        entry = entries.get(activity_id) if entries else None
        if entry is None or entry.progress.run_id != run_id:
            return NULL
        return entry.progress.details

    def settle(self, workflow_id: str, run: Run | None) -> Iterator[tuple[bytes, bytes | None]]:
        """(key, value) of the records to write so that the log holds what is here, for open activities alone."""
        self.changed.pop(workflow_id, None)
        for activity_id, entry in list(self.by_workflow.get(workflow_id, {}).items()):
            progress = entry.progress
            key = progress_key(workflow_id, progress.run_id, activity_id)
            if run is None or progress.run_id != run.run_id or activity_id not in run.activities:
                if entry.is_stored:
                    yield key, None
                self._drop(workflow_id, activity_id)
            elif entry.is_new:
                entry.is_new, entry.is_stored = False, True
                yield key, encode(progress)

    def _drop(self, workflow_id: str, activity_id: int) -> None:
        entries = self.by_workflow.get(workflow_id)
        if entries is not None:
            entries.pop(activity_id, None)
            if not entries:
                del self.by_workflow[workflow_id]
