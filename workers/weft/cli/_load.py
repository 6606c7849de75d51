"""The workflows and activities of a user's file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from weft.activity import Activity
from weft.errors import UsageError
from weft.workflow import Workflow


class Definitions(NamedTuple):
    """What a worker is to serve."""

    workflows: list[Workflow[Any, Any]]
    activities: list[Activity[..., Any]]


def load(target: str) -> Definitions:
    """Import a Python file, or a module by its dotted name, and collect what it defines or imports.

    Raises UsageError when there is nothing to import, the import fails, or nothing is defined there.
    """
    module = _import_file(Path(target)) if _is_path(target) else _import_module(target)
    found = list(vars(module).values())
    definitions = Definitions(
        _unique(value for value in found if isinstance(value, Workflow)),
        _unique(value for value in found if isinstance(value, Activity)),
    )
    if not definitions.workflows and not definitions.activities:
        raise UsageError(
            f"{target} has no workflow and no activity at its top level: decorate functions with @workflow.define or "
            "@activity.define."
        )
    return definitions


def _is_path(target: str) -> bool:
    return target.endswith(".py") or "/" in target


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python FILE` does: the file may import its neighbours
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(
            f"{name} cannot be imported: {type(error).__name__}: {error}. "
            "Give a path ending in .py, or a module's name."
        ) from error


def _unique(values: Any) -> list[Any]:
    """Without repetitions: an object may have several names in a module."""
    return list({id(value): value for value in values}.values())
