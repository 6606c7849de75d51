"""Which module may import which: the layers, the pure core, and who may use which library.

An import that is not allowed here is a decision about the design. Make it there first (docs/internals), then here.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tests.tidy.source import CHECKOUT, ROOTS

LOWER_PACKAGES: dict[str, set[str]] = {
    "weft.errors": set(),
    "weft.host": set(),
    "weft.records": set(),
    "weft.codec": {"weft.errors", "weft.records"},
    "weft.payloads": {"weft.codec", "weft.errors", "weft.host", "weft.records"},
    "weft.log": {"weft.errors"},
    "weft.topics": {"weft.errors", "weft.log"},
    "weft.core": {"weft.errors", "weft.records"},
    "weft.hitl": {"weft.errors"},
    "weft.determinism": {"weft.errors"},
    "weft.lint": {"weft.determinism", "weft.errors"},
}
"""Packages that may import these of ours only. Any other may import its own layer and the ones below."""

LIBRARIES: dict[str, set[str]] = {
    "confluent_kafka": {"weft.log.kafka"},
    "sqlite3": {"weft.log.embedded", "weft.stores"},
    "fsspec": {"weft.payloads"},
    "cryptography": {"weft.payloads"},
    "zstandard": {"weft.payloads"},
    "pydantic": {"weft.codec", "weft.cli", "weft.worker"},
    "pydantic_settings": {"weft.cli", "weft.worker"},
    "typer": {"weft.cli"},
    "rich": {"weft.cli"},
    "opentelemetry": {"weft.executor", "weft.tracing"},
    "prometheus_client": {"weft.metrics", "weft.worker"},
    "msgspec": {"weft"},
    "pytest": {"weft.pytest_plugin"},
    "typing_extensions": {"weft"},
}
"""Who may import a library: these packages and what is in them. No other third-party library may be imported."""

NOT_IN_THE_CORE = {
    "asyncio", "datetime", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid",
}  # fmt: skip
"""Clocks, chance and I/O: these enter the core as arguments."""


ASKS_THE_HOST = {"weft.client", "weft.worker"}
OF_THE_HOST = {"random", "secrets", "time"}
"""Clocks and chance of those that run on any host; `weft.host.Host` gives them, threads too."""


def packages_by_root() -> dict[str, set[str]]:
    """`{"topics": {"weft.codec", ...}, ...}`, as the folders are."""
    return {
        root: {
            f"weft.{folder.name}"
            for folder in (CHECKOUT / root / "weft").iterdir()
            if folder.is_dir()
        }
        for root in ROOTS
    }


def imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, also inside functions and under TYPE_CHECKING.

    `from weft import codec` counts as `weft.codec`: the namespace itself holds nothing.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package=is_package)
            if base == "weft":
                yield from ((node.lineno, f"weft.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, base
                yield from (
                    (node.lineno, f"{base}.{alias.name}")
                    for alias in node.names
                    if base.startswith("weft.") and alias.name.startswith("_")
                )


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def findings(
    source: str, module: str, packages: dict[str, set[str]], *, is_package: bool = False
) -> list[str]:
    """What is wrong with a module's imports, one line each."""
    tree = ast.parse(source)
    return [
        f"{module}:{line} imports {name}: {why}"
        for line, name in imported(tree, module, is_package=is_package)
        if (why := _why_not(module, name, packages))
    ]


def _why_not(module: str, name: str, packages: dict[str, set[str]]) -> str | None:
    top = name.partition(".")[0]
    if top == "weft":
        return _why_not_of_ours(module, name, packages)
    if top in LIBRARIES:
        allowed = LIBRARIES[top]
        is_allowed = any(_is_in(module, package) for package in allowed)
        return None if is_allowed else f"only {', '.join(sorted(allowed))} may"
    if top not in sys.stdlib_module_names:
        return "not a library that the distribution depends on"
    if _package(module) == "weft.core" and top in NOT_IN_THE_CORE:
        return "the core has no clock, no chance and no I/O"
    if _package(module) in ASKS_THE_HOST and top in OF_THE_HOST:
        return "ask the host (`weft.host.Host`): this code runs on simulated ones too"
    return None


def _why_not_of_ours(module: str, name: str, packages: dict[str, set[str]]) -> str | None:
    importer, target = _package(module), _package(name)
    layers = {package: layer for layer, root in enumerate(ROOTS) for package in packages[root]}
    if target not in layers:
        return "there is no such package"
    if target == importer:
        return None
    if any(part.startswith("_") for part in name.split(".")):
        return f"a private module of {target}"
    if layers[target] > layers[importer]:
        return f"{ROOTS[layers[importer]]} may not import {ROOTS[layers[target]]}"
    if importer in LOWER_PACKAGES and target not in LOWER_PACKAGES[importer]:
        return (
            f"{importer} may import {', '.join(sorted(LOWER_PACKAGES[importer])) or 'none of ours'}"
        )
    return None


def _package(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
