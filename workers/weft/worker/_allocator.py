"""Memory that the C library keeps for later, given back to the system.

Reading a million records frees as much as it keeps, in pieces between those that stay. The C library would keep all of
it: up to twice what the workflows take.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Takes about 0.1 s for 2 GB, during which other threads may wait for memory. Does nothing without glibc."""
    if _trim is not None:
        _trim(0)


def _found_trim() -> ctypes._NamedFuncPointer | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


_trim = _found_trim()
