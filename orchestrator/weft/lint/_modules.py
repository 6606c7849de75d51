"""The modules that are looked at together, and which of them an import means."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from weft.lint._scopes import Scope, Scopes, scopes_of


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A parsed file. `name` is what most imports call it; `file` is what findings call it."""

    file: str
    name: str
    package: str
    data: bytes
    tree: ast.Module
    scopes: Scopes

    @property
    def scope(self) -> Scope:
        return self.scopes.of_node[self.tree]


def parse(file: str, data: bytes, name: str = "", *, is_package: bool = False) -> Module:
    """Raises SyntaxError or ValueError for what is no Python, and RecursionError for what is nested too deeply."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data, file)
    package = name if is_package else name.rpartition(".")[0]
    return Module(file, name, package, data, tree, scopes_of(tree, package))


class Project:
    """All modules of one call, found by the names that imports use."""

    def __init__(self, modules: Sequence[Module], roots: Iterable[PurePath] = ()) -> None:
        """`roots` are folders from which imports may start, as the modules' files name them."""
        self.modules = modules
        self._by_name: dict[str, Module] = {}
        self._by_suffix: dict[str, list[Module]] = {}
        for module in modules:
            parts = _parts(module.file)
            for root in roots:
                if PurePath(module.file).is_relative_to(root):
                    below = parts[len(root.parts) :]
                    self._by_name.setdefault(".".join(below), module)
            for start in range(len(parts) - 1):
                self._by_suffix.setdefault(".".join(parts[start:]), []).append(module)
        self._by_name |= {module.name: module for module in modules if module.name}

    def find(self, name: str) -> Module | None:
        """The module that an import names; None when it is none of the given ones.

        Where packages have no `__init__.py`, a file is found by the end of its path, if only one fits.
        """
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "weft":
            return None
        if name in self._by_name:
            return self._by_name[name]
        candidates = self._by_suffix.get(name, []) if "." in name else []
        return candidates[0] if len(candidates) == 1 else None


def module_name(path: Path) -> tuple[str, bool]:
    """(name, whether it is a package's own file), from the folders with an `__init__.py` above the file."""
    is_package = path.name == "__init__.py"
    parts = [] if is_package else [path.stem]
    folder = path.resolve().parent
    while (folder / "__init__.py").exists() and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), is_package


def _parts(file: str) -> tuple[str, ...]:
    path = PurePath(file)
    return path.parent.parts if path.name == "__init__.py" else (*path.parent.parts, path.stem)
