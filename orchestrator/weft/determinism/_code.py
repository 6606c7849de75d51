"""Which run's code a thread is in, and what is said to it when it uses a refused name.

The flag is the thread's own and is set for as long as workflow code runs, so the guard costs a look at it where nothing
is refused. Only a refused name that is used under the flag costs a walk up the stack, which tells who wants it: the
workflow's code (refused), or somebody whose business it is (logging, an import, a debugger, Weft itself).
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import NamedTuple

from weft.determinism._frames import is_library_file, is_users
from weft.determinism._names import rule_of, rule_of_value
from weft.determinism._rules import ENVIRONMENT, FILES, Rule
from weft.errors import DeterminismError

_MAY = frozenset({
    # What only tells, and what an import does once for the process.
    *("logging", "warnings", "traceback", "linecache", "inspect", "_colorize", "structlog", "loguru", "opentelemetry"),
    *("sentry_sdk", "ddtrace", "importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "pkgutil"),
    # Rules of time zones, read once.
    "zoneinfo",
    # What ends objects of others, whenever Python comes to it.
    "weakref",
    # Who looks from outside.
    *("pdb", "bdb", "IPython", "pydevd", "_pydevd_bundle", "debugpy", "coverage", "_pytest", "pytest_timeout"),
})  # fmt: skip
"""Modules that may do what they like, and all that they call, while workflow code runs."""
_SETS_ITSELF_UP = frozenset(
    {"pydantic", "pydantic_core", "msgspec", "attr", "attrs", "typing_extensions"}
)
"""Libraries that look at the process the first time, and decide nothing by it."""
_BOTTOM = frozenset({"weft.workflow._loop", "weft.workflow._machine"})
"""Who runs workflow code: below it on the stack there is none."""
_KNOWN_AS = {
    **dict.fromkeys(("genericpath", "posixpath", "ntpath"), "os.path"),
    **dict.fromkeys(
        ("concurrent.futures.thread", "concurrent.futures.process"), "concurrent.futures"
    ),
}
"""Modules that users know under another name."""
_INSTALLED = tuple({
    os.path.join(path, "")  # noqa: PTH118  # as text
    for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
})  # fmt: skip


class GuardedCode:
    """The code of one run: who is named when it does what is refused, and what it did first."""

    __slots__ = ("is_generator", "refused", "workflow", "workflow_id")

    def __init__(self, workflow: str, workflow_id: str, *, is_generator: bool) -> None:
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.is_generator = is_generator
        self.refused: DeterminismError | None = None
        """Kept, because the code may have caught it: whoever ran the code looks here afterwards."""


class _Running(threading.local):
    code: GuardedCode | None = None


running_code = _Running()
"""`code` is that of the workflow which runs in this thread now; None, in all other code, lets everything pass."""

_unguarded: ContextVar[bool] = ContextVar("weft_unguarded", default=False)


@contextmanager
def unguarded() -> Iterator[None]:
    """`with workflow.unguarded():` a block of workflow code in which nothing is refused.

    For what may differ between a run and its replay because nothing follows from it, such as a measurement that only a
    log line shows. Whatever it decides on, or hands to an activity, must come from the context instead.
    """
    before = _unguarded.get()
    _unguarded.set(True)
    try:
        yield
    finally:
        _unguarded.set(before)  # no reset: code that is dropped is not in its own context


class _Asked(NamedTuple):
    name: str
    rule: Rule
    line: str


def judge(name: str, argument: object = None) -> None:
    """Raises DeterminismError when the code that runs in this thread is a workflow's and may not use `name`.

    Called by what stands in for the refused function, so the stack is looked at from its caller on. `argument` is what
    is opened, if anything is.
    """
    code = running_code.code
    if code is None or _unguarded.get():
        return
    asked = _asked(name, argument, sys._getframe(2))
    if asked is None:
        return
    name, rule, line = asked
    advice = rule.advice_for(is_generator=code.is_generator)
    error = DeterminismError(
        f"Workflow {code.workflow!r} ({code.workflow_id}) may not use {name}{f' ({line})' if line else ''}: it "
        f"{rule.what}. Instead, {advice}. The run is blocked; with code that does not do this it goes on by itself.",
        name=name,
        rule=rule.code,
        line=line,
    )
    if code.refused is None:
        code.refused = error
    raise error


def _asked(name: str, argument: object, frame: FrameType | None) -> _Asked | None:
    """What the user's code used, and where; None when it was not the user's code, or somebody who may.

    The name is the outermost that is refused by itself: who calls `requests.get` is told so, and not of a socket.
    """
    line, is_library, is_found = "", False, False
    rule = _rule(name)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if top in _MAY or frame.f_code.co_name == "__del__":
            return None
        if module in _BOTTOM:
            break
        file = frame.f_code.co_filename
        if is_users(frame):
            if not is_found:
                is_found, is_library = True, is_library_file(file)
                if top in _SETS_ITSELF_UP and rule in (ENVIRONMENT, FILES):
                    return None
            if not is_library_file(file) and not file.startswith("<"):
                line = f"{file}, line {frame.f_lineno}"
                break
        elif top == "weft" and not is_found:
            return None
        outer = _as_in_the_table(module, frame.f_code.co_qualname, name)
        if found := rule_of(outer):
            name, rule = outer, found
        frame = frame.f_back
    if not is_found or _may_be_opened(argument, by_library=is_library):
        return None
    return _Asked(name, rule, line) if _goes_on(frame) else None


def _goes_on(frame: FrameType | None) -> bool:
    """Whether nobody further out may do this: a handler of logging may be the user's."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _MAY or frame.f_code.co_name == "__del__":
            return False
        if module in _BOTTOM:
            return True
        frame = frame.f_back
    return True


def _rule(name: str) -> Rule:
    rule = rule_of(name) or rule_of_value(name)
    assert rule is not None, f"{name} is guarded, and in no table"
    return rule


def _as_in_the_table(module: str, function: str, name: str) -> str:
    """A function's whole name as users know it: without private modules, and `random.choice` for what it is."""
    parts = [part for part in module.split(".") if not part.startswith("_")]
    whole = ".".join([_KNOWN_AS.get(module) or ".".join(parts), function]).partition(".__")[0]
    if name.startswith("random.") and function.startswith("Random."):
        return whole.replace("random.Random.", "random.", 1)
    return whole


def _may_be_opened(argument: object, *, by_library: bool) -> bool:
    """What is the same wherever this code runs: the rules of time zones, and what was installed with a library."""
    if not isinstance(argument, str | bytes | os.PathLike):
        return False
    path = os.path.normpath(os.fsdecode(argument))
    zones = getattr(sys.modules.get("zoneinfo"), "TZPATH", ())
    return path.startswith(tuple(zones)) or (by_library and path.startswith(_INSTALLED))
