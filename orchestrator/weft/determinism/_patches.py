"""Clocks, chance, files, connections, processes: wrapped where they are defined, once in a process.

A wrapper looks at one flag of its thread and calls what it stands for, with the same result. Functions are wrapped in
their modules, so that code imported earlier or later finds the wrapper; what a module of the project has taken out of
there by `from time import time` is replaced in that module, too. Classes keep their identity and have single methods
wrapped, those of `datetime` too, which is written in C. No module is imported anew, and no audit hook is set: it would
slow down `id()` and others in the whole process.

Not seen: a function that was put away, before the first workflow ran, in a class, a default argument or a closure
(`def f(clock=time.time)`), or in a library by `from os import remove`; and what a library does in C of its own.
"""

from __future__ import annotations

import _thread
import asyncio
import builtins
import ctypes
import datetime as dt
import functools
import gc
import importlib.util
import inspect
import io
import os
import pathlib
import platform
import random
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

from weft.determinism._code import judge, running_code
from weft.determinism._frames import is_library_file, is_users_file
from weft.determinism._names import ARGUMENTS_NEEDED, refused_names

_MODULES = (time, os, uuid, platform, signal, select, random, asyncio, socket)
"""Those of whose refused names the functions are wrapped."""
_FUNCTIONS: tuple[tuple[ModuleType, str, str], ...] = (
    (builtins, "open", "builtins.open"),
    (io, "open", "builtins.open"),
    (builtins, "input", "builtins.input"),
    (_thread, "start_new_thread", "_thread.start_new_thread"),
)
"""(module, attribute, name under which it is refused) of others."""
_METHODS: tuple[tuple[type, str, str], ...] = (
    (os._Environ, "os.environ", "__getitem__ __setitem__ __delitem__ __iter__ __len__ __repr__"),
    (socket.socket, "socket.socket", "__init__ connect connect_ex bind accept send sendall sendto"),
    (socket.socket, "socket.socket", "sendmsg recv recv_into recvfrom"),
    (ssl.SSLSocket, "socket.socket", "read write send"),
    (pathlib.Path, "pathlib.Path", "glob rglob iterdir"),
    (subprocess.Popen, "subprocess.Popen", "__init__"),
    (threading.Condition, "threading.Condition", "wait"),
    (threading.Thread, "threading.Thread", "start join"),
)
"""(class, name under which it is refused, its methods)."""
_OPENERS = {"builtins.open", "os.open"}
_TAKEN_EARLIER = ("bz2", "lzma", "tarfile")
"""Modules of the standard library that keep `open` under a name of their own."""

_OF_OTHERS = {"sqlite3": "connect"}
"""Functions of modules that are wrapped once something else has imported them."""

_lock = threading.Lock()
_wrappers: dict[int, Any] = {}
"""By the identity of what they stand for, which they hold, so that it stays what it is."""
_looked_into: set[str] = set()
"""The modules whose names were replaced, if that had to be."""


def cover(function: Callable[..., Any]) -> None:
    """Guard what this workflow's code may use. The first call in a process wraps, later ones see to new modules."""
    module = getattr(function, "__module__", "")
    if module in _looked_into:
        return
    with _lock:
        if not _wrappers:
            _make_room_for_time_machine()
            _wrap_functions()
            _wrap_methods()
            _wrap_chance()
            _wrap_dates()
        _replace_imported_names()
        _looked_into.add(module)


class _Of:
    """What a wrapper is bound to, for the sake of pickling: a function's module goes there by its name."""

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> tuple[object, ...]:
        return importlib.import_module, (self.module,)


def _guarded(original: Callable[..., Any], name: str, module: str) -> Callable[..., Any]:
    """What stands for a function that is written in C."""
    running, refuse = running_code, judge
    needed = ARGUMENTS_NEEDED.get(name, 0)
    opens = name in _OPENERS

    def guarded(_: Any, *args: Any, **kwargs: Any) -> Any:
        if running.code is not None and not 0 < needed <= len(args) + len(kwargs):
            refuse(name, args[0] if opens and args else kwargs.get("file") if opens else None)
        return original(*args, **kwargs)

    functools.update_wrapper(guarded, original)
    return MethodType(
        guarded, _Of(module)
    )  # as a function written in C, it is no method of a class that it is put into


def _guarded_method(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    running, refuse = running_code, judge

    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if running.code is not None:
            refuse(name)
        return original(*args, **kwargs)

    return guarded


def _wrap(module: ModuleType, attribute: str, name: str) -> None:
    original = getattr(module, attribute)
    wrapper = _wrappers.get(id(original))
    if wrapper is None:
        if isinstance(original, FunctionType):
            wrapper = _guarded_method(original, name)
        else:
            wrapper = _guarded(original, name, module.__name__)
        _wrappers[id(original)] = wrapper
    setattr(module, attribute, wrapper)
    if module is os:
        _declare_supported(original, wrapper)


def _wrap_functions() -> None:
    for module, attribute, name in _FUNCTIONS:
        _wrap(module, attribute, name)
    for module in _MODULES:
        prefix = f"{module.__name__}."
        names = {name for name in refused_names() if name.startswith(prefix)}
        if f"{prefix}*" in names:
            names |= {f"{prefix}{attribute}" for attribute in getattr(module, "__all__", ())}
        for name in sorted(names):
            attribute = name.removeprefix(prefix)
            if _is_plain_function(getattr(module, attribute, None)):
                _wrap(module, attribute, name)


def _is_plain_function(value: object) -> bool:
    """No class, which others make subclasses of, and no coroutine function: its wrapper would be none."""
    is_other = isinstance(value, type) or inspect.iscoroutinefunction(value)
    return callable(value) and not is_other


def _declare_supported(original: Any, wrapper: Any) -> None:
    """`os.stat in os.supports_fd` stays true: `shutil` looks there when it is imported."""
    for supported in (
        os.supports_fd,
        os.supports_dir_fd,
        os.supports_effective_ids,
        os.supports_follow_symlinks,
    ):
        if original in supported:
            supported.add(wrapper)


def _wrap_methods() -> None:
    for owner, name, methods in _METHODS:
        for method in methods.split():
            refused = name if method.startswith("__") else f"{name}.{method}"
            setattr(owner, method, _guarded_method(getattr(owner, method), refused))


def _wrap_chance() -> None:
    """The generator without a seed that `random`'s functions share, and what draws from the system."""
    shared = random._inst
    for method in ("random", "getrandbits"):
        setattr(shared, method, _guarded(getattr(shared, method), f"random.{method}", "random"))
    random._urandom = os.urandom  # type: ignore[attr-defined]
    seed = random.Random.seed

    @functools.wraps(seed)
    def guarded_seed(self: random.Random, a: Any = None, *args: Any, **kwargs: Any) -> None:
        if running_code.code is not None and (a is None or self is shared):
            judge("random.Random" if a is None else "random.seed")
        seed(self, a, *args, **kwargs)

    random.Random.seed = guarded_seed  # type: ignore[method-assign]


def _wrap_dates() -> None:
    _wrap_class_method(dt.datetime, "now")
    _wrap_class_method(dt.datetime, "utcnow")
    _wrap_class_method(dt.date, "today")


def _wrap_class_method(owner: type, method: str) -> None:
    descriptor = owner.__dict__[method]
    name = f"datetime.{owner.__name__}.{method}"
    running, refuse = running_code, judge

    def guarded(cls: type, *args: Any, **kwargs: Any) -> Any:
        if running.code is not None:
            refuse(name)
        return descriptor.__get__(None, cls)(*args, **kwargs)

    guarded.__name__, guarded.__qualname__ = method, f"{owner.__name__}.{method}"
    guarded.__doc__, guarded.__module__ = descriptor.__doc__, "datetime"
    wrapper: Any = classmethod(guarded)
    try:
        setattr(owner, method, wrapper)
    except TypeError:  # a class written in C refuses that; its namespace is a dict like any other
        namespace = gc.get_referents(owner.__dict__)[0]
        namespace[method] = wrapper
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


def _replace_imported_names() -> None:
    """In the project's modules: `from time import time` holds the function itself."""
    for name, module in list(sys.modules.items()):
        if name in _looked_into:
            continue
        _looked_into.add(name)
        if name in _OF_OTHERS:
            _wrap(module, _OF_OTHERS[name], f"{name}.{_OF_OTHERS[name]}")
        file = getattr(module, "__file__", None) or ""
        is_project = file and is_users_file(name, file) and not is_library_file(file)
        if not is_project and name not in _TAKEN_EARLIER:
            continue
        names = vars(module)
        for key, value in list(names.items()):
            wrapper = _wrappers.get(id(value))
            if wrapper is not None:
                names[key] = wrapper


def _make_room_for_time_machine() -> None:
    """That library of tests looks, the first time, for functions written in C under the names that are wrapped here."""
    if importlib.util.find_spec("_time_machine") is None:
        return
    library: Any = importlib.import_module("_time_machine")
    travelling = getattr(sys.modules.get("time_machine"), "coordinates_stack", ())
    if hasattr(library, "patch_if_needed"):
        library.patch_if_needed()
    elif not travelling:
        library.patch()
        library.unpatch()
