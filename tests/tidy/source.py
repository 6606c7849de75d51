"""The files of the checkout, as the tidy tests look at them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = ("topics", "orchestrator", "workers")
"""The source roots, lowest layer first."""
_NOT_OURS = {"__pycache__", "build", "dist", "node_modules"}


def files(*folders: str) -> Iterator[Path]:
    """Every file below these folders of the checkout (none given: all of it) that git would keep."""
    for folder in folders or (".",):
        for parent, names, file_names in os.walk(CHECKOUT / folder):
            names[:] = sorted(name for name in names if _is_ours(Path(parent), name))
            yield from (Path(parent, name) for name in sorted(file_names) if _is_file_of_ours(name))


def python_files(*folders: str) -> list[Path]:
    return [file for file in files(*folders) if file.suffix == ".py"]


def source_files() -> list[Path]:
    """The Python files of the distribution."""
    return python_files(*ROOTS)


def name_of(file: Path) -> str:
    """How a finding names a file."""
    return file.relative_to(CHECKOUT).as_posix()


def module_of(file: Path) -> str:
    """`topics/weft/log/_api.py` is `weft.log._api`; a package is its folder."""
    parts = file.relative_to(CHECKOUT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_ours(parent: Path, name: str) -> bool:
    """Hidden folders are caches, the environment and git's own, all but `.ci`."""
    is_hidden = name.startswith(".") and name != ".ci"
    return not is_hidden and name not in _NOT_OURS and not name.endswith(".egg-info")


def _is_file_of_ours(name: str) -> bool:
    return not name.endswith((".pyc", ".weft", ".weft-wal", ".weft-shm")) and name != ".coverage"
