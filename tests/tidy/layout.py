"""The shape of the source roots: one namespace, whole packages."""

from __future__ import annotations

from pathlib import Path


def findings(root: Path) -> list[str]:
    """What is wrong with one source root, one line each."""
    namespace = root / "weft"
    found: list[str] = []
    if (namespace / "__init__.py").exists():
        found.append(f"{root.name}/weft/__init__.py would hide the other roots: remove it")
    others = [
        entry.name
        for entry in root.iterdir()
        if entry.name not in {"weft", "README.md", "__pycache__"}
    ]
    found += [
        f"{root.name}/{name} is not in the namespace: only weft/ is installed" for name in others
    ]
    for package in sorted(namespace.iterdir()):
        if package.name == "__pycache__":
            continue
        if not package.is_dir():
            found.append(f"{root.name}/weft/{package.name} is in no package")
            continue
        found += [
            f"{root.name}/weft/{package.name} has no {name}: {why}"
            for name, why in (
                ("__init__.py", "it is no package"),
                ("py.typed", "its types are not seen"),
            )
            if not (package / name).exists()
        ]
        found += [
            f"{root.name}/weft/{folder.relative_to(namespace).as_posix()} has no __init__.py"
            for folder in package.rglob("*")
            if folder.is_dir()
            and any(folder.glob("*.py"))
            and not (folder / "__init__.py").exists()
        ]
    return found
