"""The modules that are looked at together, and which of them an import means."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
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


NESTING_MAX = 1000
"""Deeper code is not looked at. An `elif` lies one deeper than the one before."""
_FRAMES = 20_000
"""Python's own limit is soon met by what goes through such code."""


@contextmanager
def room_for_nesting() -> Iterator[None]:
    """Let calls nest as deeply as code may."""
    former = sys.getrecursionlimit()
    sys.setrecursionlimit(max(former, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(former)


def parse(file: str, data: bytes, name: str = "", *, is_package: bool = False) -> Module:
    """Raises SyntaxError or ValueError for what is no Python, and RecursionError for what is nested too deeply."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data, file)
    if _nesting(tree) > NESTING_MAX:
        raise RecursionError
    package = name if is_package else name.rpartition(".")[0]
    with room_for_nesting():
        return Module(file, name, package, data, tree, scopes_of(tree, package))


def _nesting(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


class Project:
    """All modules of one call, found by the names that imports use."""

    def __init__(self, modules: Sequence[Module], roots: Iterable[PurePath] = ()) -> None:
        """`roots` are folders from which imports may start, as the modules' files name them."""
        self.modules = modules
        self._by_name: dict[str, list[Module]] = {}
        self._by_suffix: dict[str, list[Module]] = {}
        starts = list(roots)
        for module in modules:
            parts = _parts(module.file)
            below = (
                ".".join(parts[len(root.parts) :])
                for root in starts
                if PurePath(module.file).is_relative_to(root)
            )
            for name in {module.name, *below} - {""}:
                self._by_name.setdefault(name, []).append(module)
            for start in range(len(parts) - 1):
                self._by_suffix.setdefault(".".join(parts[start:]), []).append(module)

    def find(self, name: str, importer: Module | None = None) -> Module | None:
        """The module that an import names; None when it is none of the given ones.

        Of several with that name it is the one nearest to the importer. Where packages have no `__init__.py`, a file
        is found by the end of its path, if only one fits.
        """
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "weft":
            return None
        named = self._by_name.get(name, [])
        if named:
            return max(named, key=lambda module: _nearness(module, importer))
        ending = self._by_suffix.get(name, [])
        return ending[0] if len(ending) == 1 else None


def _nearness(module: Module, importer: Module | None) -> int:
    """How many folders the two have in common."""
    if importer is None:
        return 0
    pairs = zip(PurePath(module.file).parts, PurePath(importer.file).parts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


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
