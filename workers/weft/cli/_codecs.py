"""Codecs of a user's own, by their name in a setting."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from weft.errors import UsageError
from weft.payloads import PayloadCodec


def load_codecs(name: str) -> Sequence[PayloadCodec]:
    """What `module:NAME` holds: a codec, or several. Modules are looked for in the working directory too.

    Raises UsageError; what the module raises when it is imported goes through.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(f"payload_codecs={name!r} says nothing: write module:NAME.")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(f"payload_codecs={name!r} cannot be found: {error}.") from None
    except AttributeError as error:
        raise UsageError(f"payload_codecs={name!r} cannot be found: {error}.") from None
    return tuple(found) if isinstance(found, Sequence) else (found,)
