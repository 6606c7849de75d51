"""Executors by name, so that a setting can say which one to use.

`default` is always there. Others register themselves when they are imported; a package that is installed tells of its
own by an entry point of the group `weft.executors`, and is imported when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from weft.errors import UsageError
from weft.executor._contract import DurableExecutor, WorkflowFunction, WorkflowStore
from weft.executor._errors import ExecutorError
from weft.executor._hooks import Hooks

ENTRY_POINTS = "weft.executors"


@dataclass(frozen=True, slots=True)
class Config:
    """What a factory is given. `extra` holds what only one provider knows of; it says in its docs what that is."""

    store: WorkflowStore | None = None
    hooks: Hooks | None = None
    workflows: Iterable[WorkflowFunction] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Factory = Callable[[Config], DurableExecutor]
"""Makes a provider's executor from a configuration."""

_factories: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Make an executor known by its name. Raises UsageError for an empty name, no factory, or a name that is taken."""
    if not name:
        raise UsageError("workflow: Register called with empty name")
    if not callable(factory):
        raise UsageError(f"workflow: Register called with nil factory for {name}")
    if name in _factories:
        raise UsageError(f"workflow: Register called twice for {name}")
    _factories[name] = factory


def new(name: str, config: Config | None = None) -> DurableExecutor:
    """The executor of that name. Raises ExecutorError (`not_found`), and what its factory raises."""
    factory = _factories.get(name) or _installed(name)
    if factory is None:
        raise ExecutorError("not_found", f'workflow: unknown executor "{name}"')
    return factory(config or Config())


def providers() -> list[str]:
    """The names of all executors, sorted: registered ones and installed ones."""
    return sorted(_factories.keys() | {entry.name for entry in entry_points(group=ENTRY_POINTS)})


def _installed(name: str) -> Factory | None:
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        loaded: Factory = entry.load()
        # Its import may have registered it already.
        return _factories.setdefault(name, loaded)
    return None
