"""What a workflow's code logs: once, and never in a replay."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.workflow._machine import Machine

_logger = logging.getLogger("weft.workflow")


class WorkflowLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to `weft.workflow`, with the run's place before the text and `workflow`, `workflow_id`, `run_id` beside it.

    Silent while the history is repeated. A turn whose commit failed is taken again, and logs again.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(_logger)
        self._machine = machine

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the standard library's name
        """Not while the history is repeated."""
        return not self._machine.replaying and super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """With the run's place before the text."""
        machine = self._machine
        place = {
            "workflow": machine.workflow.name,
            "workflow_id": machine.workflow_id,
            "run_id": machine.run_id,
        }
        kwargs["extra"] = {**place, **(kwargs.get("extra") or {})}
        escaped = f"{machine.workflow.name} {machine.workflow_id}".replace("%", "%%")
        return f"{escaped}: {msg}", kwargs
