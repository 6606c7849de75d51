"""Whose code a stack frame is of: the user's, a library's, the standard library's, or ours."""

from __future__ import annotations

import sysconfig
from types import FrameType

_STDLIB = sysconfig.get_path("stdlib")
_PACKAGES = ("site-packages", "dist-packages")
_OURS = ("weft.",)


def is_users(frame: FrameType) -> bool:
    """Whether a frame is of the user's code (or of a library of theirs): not the standard library's, not ours."""
    return is_users_file(str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename)


def is_users_file(module: str, file: str) -> bool:
    """The same of a module by its name and file."""
    if module.startswith(_OURS) or file.startswith("<frozen "):
        return False
    return not file.startswith(_STDLIB) or is_library_file(file)


def is_library_file(file: str) -> bool:
    """Whether it was installed, and not written in the user's project."""
    return any(name in file for name in _PACKAGES)
