"""Hooks: functions of the user's that are told what happens to workflows.

They are told what is durable, after it is, and never in a replay. One that raises is logged and counted, and changes
nothing: neither the workflow nor the hooks after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from weft.executor._types import Signal

logger = logging.getLogger("weft.executor")

Hook = Callable[[str, Any], object]
"""Called with (workflow ID, what it is about)."""


class HookFailures:
    """How often hooks raised."""

    def __init__(self) -> None:
        self.count = 0
        self.counters: list[Callable[[], object]] = []
        """Called for each, besides: a metric's `inc`."""

    def guard(self, name: str, hook: Hook, workflow_id: str, about: object) -> None:
        try:
            hook(workflow_id, about)
        except Exception:
            self.count += 1
            for counter in self.counters:
                counter()
            logger.exception(
                "hook %s raised for workflow %s; nothing else changes", name, workflow_id
            )


@dataclass(frozen=True, slots=True)
class Hooks:
    """What to call; all optional. Each gets the workflow's ID and, in this order of the fields: its input, its result,
    its error, the reason of its cancellation; an activity's input, result, error; the signal; a failed attempt's error.

    `on_retry` is told of every failed attempt of an activity that may be tried again, the last one included. They are
    called where workflows are served, so they must be quick: hand what takes time to a task or a thread of your own.
    """

    on_workflow_start: Hook | None = None
    on_workflow_complete: Hook | None = None
    on_workflow_fail: Hook | None = None
    on_workflow_cancel: Hook | None = None
    on_activity_start: Hook | None = None
    on_activity_complete: Hook | None = None
    on_activity_fail: Hook | None = None
    on_signal: Callable[[str, Signal], object] | None = None
    on_retry: Hook | None = None
    failures: HookFailures = field(default_factory=HookFailures, compare=False)

    def call(self, name: str, workflow_id: str, about: object) -> None:
        """Call one of them, if it is there. Raises nothing that is an Exception."""
        hook: Hook | None = getattr(self, name)
        if hook is not None:
            self.failures.guard(name, hook, workflow_id, about)


HOOK_NAMES = tuple(one.name for one in fields(Hooks) if one.name.startswith("on_"))


def compose_hooks(*hooks: Hooks) -> Hooks:
    """One for all: each hook calls those of the same name in the order given, also after one that raised."""
    failures = HookFailures()

    def composed(name: str) -> Hook:
        chosen = [hook for one in hooks if (hook := getattr(one, name)) is not None]

        def call_all(workflow_id: str, about: object) -> None:
            for hook in chosen:
                failures.guard(name, hook, workflow_id, about)

        return call_all

    return Hooks(**{name: composed(name) for name in HOOK_NAMES}, failures=failures)
