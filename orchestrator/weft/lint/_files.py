"""Which files are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from weft.errors import UsageError

_SKIPPED = {
    "__pycache__",
    "__pypackages__",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
}


def python_files(paths: Sequence[Path]) -> list[Path]:
    """The files given, and the Python files in the folders given; each once, in order.

    Hidden folders, environments and what is built are left out. Raises UsageError for a path that is not there, and
    when nothing is left to look at.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(_below(path)))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"There is no file or folder {path}.")
    if not found:
        raise UsageError(f"There are no Python files in {', '.join(map(str, paths))}.")
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for parent, names, files in os.walk(folder):
        names[:] = [name for name in names if not _is_skipped(Path(parent, name))]
        yield from (Path(parent, file) for file in files if file.endswith(".py"))


def _is_skipped(folder: Path) -> bool:
    return (
        folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
    )
