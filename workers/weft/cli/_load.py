"""The workflows and activities of a user's file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from weft.activity import Activity
from weft.errors import UsageError
from weft.workflow import Workflow

T = TypeVar("T")


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
            "@activity.define, or import them there."
        )
    return definitions


def _is_path(target: str) -> bool:
    return target.endswith(".py") or "/" in target


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    file = path.resolve()
    root, name = _place(file)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # as `python FILE` does: the file may import its neighbours
    if "." in name:
        return _imported(str(path), lambda: importlib.import_module(name))
    return _imported(str(path), lambda: _executed(file, name))


def _place(file: Path) -> tuple[Path, str]:
    """The folder to import from, and the module's name there: a dotted one inside of a package."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    return root, ".".join(parts)


def _executed(file: Path, name: str) -> ModuleType:
    """A file under its own name, unless another module has that already (a user's `queue.py`)."""
    if name in sys.modules:
        name = f"weft_file_{name}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file.name} is no Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    return _imported(name, lambda: importlib.import_module(name))


def _imported(target: str, make: Callable[[], ModuleType]) -> ModuleType:
    try:
        return make()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{target} cannot be imported: {type(error).__name__}: {error}{_where(error)}"
        ) from error


def _where(error: BaseException) -> str:
    """The last line of the user's own code on the way to the error."""
    if isinstance(error, SyntaxError):
        return ""  # its text has the line
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _unique(values: Iterable[T]) -> list[T]:
    """Without repetitions: an object may have several names in a module."""
    return list({id(value): value for value in values}.values())
