"""Changes of a workflow's code under runs that are on their way: which of them takes the new way."""

from __future__ import annotations

from collections.abc import Sequence

from weft.core import RecordPatch
from weft.records import HistoryEvent, WorkflowPatched
from weft.workflow._commands import Commands


class Patches:
    """Of one run."""

    def __init__(self, commands: Commands, history: Sequence[HistoryEvent] = ()) -> None:
        """`history` is what was replayed, or is now: it says which way the code took."""
        self.told: dict[str, bool] = {}
        """What the code was told about each patch that it asked for."""
        self._commands = commands
        self._recorded = frozenset(
            event.patch_id for event in history if isinstance(event, WorkflowPatched)
        )

    def is_taken(self, patch_id: str, *, replaying: bool) -> bool:
        """Whether the code takes the new way of a change: always the same for one run.

        Its history knows, if the code came here before: with a mark it took the new way, and without one it was code
        that knew of no change. Who comes here for the first time takes the new way, and leaves the mark.
        """
        if patch_id not in self.told:
            self._commands.refuse_onlooker("be the first to ask for a patch")
            is_recorded = patch_id in self._recorded
            self.told[patch_id] = is_recorded or not replaying
            if not (is_recorded or replaying or self._commands.ended):
                self._commands.ask(RecordPatch(patch_id), patch_id)
        return self.told[patch_id]
