"""What passes between a worker and the processes that it runs activities in: JSON, and nothing that was pickled."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from weft.activity import Activity
from weft.errors import UsageError
from weft.records import NULL, ActivityTask, FailureInfo, Payload


class FunctionPlace(msgspec.Struct, frozen=True):
    """Where another process finds a function. `file` is that of its module, for one that was loaded from a path."""

    module: str
    qualname: str
    file: str = ""


class Call(msgspec.Struct, frozen=True):
    """One attempt. Input and details of `task` are as the user gave them, neither encoded nor in a payload store."""

    number: int
    """Of this worker's calls: what comes of a former one is nobody's any more."""
    place: FunctionPlace
    task: ActivityTask
    workflow_id: str


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The function was found and its arguments decoded: from now on it is the attempt's time."""


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The code says that it gets on."""

    number: int
    details: Payload = NULL


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """A record of `logging`: those of its attributes that are plain values, its text complete."""

    attributes: dict[str, Any]


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """The function's result, encoded. `details`: what it said last, NULL when that was passed on."""

    result: Payload
    details: Payload = NULL


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The function or what is around it raised."""

    failure: FailureInfo
    details: Payload = NULL


Message = Begun | Beat | Logged | Returned | Failed


def place_of(activity: Activity[..., Any]) -> FunctionPlace:
    """Raises UsageError when no other process would find the activity's function."""
    function: Any = activity.function
    name, qualname = function.__module__, function.__qualname__
    module = sys.modules.get(name)
    found = _inside(module, qualname)
    if found is not activity and getattr(found, "function", found) is not function:
        raise UsageError(
            f"activity {activity.name} has process=True, and {qualname} of module {name} is something else by now: no "
            "other process would find its function. Give it a name of its own there"
        )
    file = getattr(module, "__file__", None) or ""
    if name == "__main__" and not _is_imported_again(module, file):
        raise UsageError(
            f"activity {activity.name} has process=True, and no other process can import what is running here: define "
            "it in a module"
        )
    return FunctionPlace(name, qualname, file and str(Path(file).resolve()))


def find(place: FunctionPlace) -> Any:
    """What is there, in this process. Raises UsageError when nothing is, and what an import raises."""
    found = _inside(_module(place), place.qualname)
    if found is None:
        raise UsageError(
            f"there is no {place.qualname} in module {place.module} of this process: define it at its top level, also "
            'when `__name__` is not "__main__"'
        )
    return found


def _inside(module: ModuleType | None, qualname: str) -> Any:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _is_imported_again(main: ModuleType | None, file: str) -> bool:
    """Whether a new process imports this `__main__`: `multiprocessing` leaves out sessions and packages."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return not (spec.name == "__main__" or spec.name.endswith(".__main__"))
    return Path(file).is_file()


def _module(place: FunctionPlace) -> ModuleType:
    known = sys.modules.get(place.module)
    if known is not None:
        return known
    if place.file and not _is_found_by_name(place):
        return _executed(place)
    return importlib.import_module(place.module)


def _is_found_by_name(place: FunctionPlace) -> bool:
    """Whether an import of its name gives the same file: the command line loads files under names of its own too."""
    try:
        spec = importlib.util.find_spec(place.module)
    except ImportError:
        return False
    origin = spec.origin if spec is not None else None
    return origin is not None and Path(origin).resolve() == Path(place.file)


def _executed(place: FunctionPlace) -> ModuleType:
    spec = importlib.util.spec_from_file_location(place.module, place.file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{place.file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[place.module] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[place.module]
        raise
    return module
