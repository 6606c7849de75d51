"""Writes what docs/comparison.md shows of the snippets in docs/comparison/: the code, and its lines, counted.

`python -m tests.support.comparison` writes the page; with `--check` it first imports every snippet of the others in an
environment of its own below `.weft-peers/comparison`, with the package that it is for, and keeps in
docs/comparison/checked.json what was imported with which version. The page shows what stands there, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "comparison.md"
FOLDER = ROOT / "docs" / "comparison"
CHECKED = FOLDER / "checked.json"
ENVIRONMENTS = ROOT / ".weft-peers" / "comparison"

TASKS = {
    "hello": "hello, world",
    "retry": "a retry policy",
    "parallel": "parallel steps",
    "approval": "a signal, with a timeout",
    "saga": "a saga",
    "tests": "its tests",
}
TESTED = "approval"
"""What the snippets of the tests import, by this name."""
SYSTEMS = {
    "weft": "Weft",
    "temporal": "Temporal",
    "dbos": "DBOS",
    "restate": "Restate",
    "dapr": "Dapr Workflow",
}
PACKAGES = {
    "temporal": "temporalio==1.35.0",
    "dbos": "dbos==3.4.0",
    "restate": "restate-sdk[harness]==1.3.0",
    "dapr": "dapr-ext-workflow==1.18.3",
}
_REGION = re.compile(r"(<!-- (lines|versions|code): ?(\w*) -->\n).*?(<!-- end -->)", re.DOTALL)


def snippet(task: str, system: str) -> str:
    return (FOLDER / task / f"{system}.py").read_text(encoding="utf-8")


def count(code: str) -> int:
    """Lines that are neither blank nor a comment."""
    lines = (line.strip() for line in code.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def written(page: str) -> str:
    """The page with its generated parts as they must be."""
    makers: dict[str, Callable[[str], str]] = {
        "lines": lambda _: _lines(),
        "versions": lambda _: _versions(),
        "code": _code,
    }
    return _REGION.sub(lambda found: found[1] + makers[found[2]](found[3]) + found[4], page)


def digest(task: str, system: str) -> str:
    """Of what is imported: a test is imported together with what it tests."""
    text = snippet(task, system) + (snippet(TESTED, system) if task == "tests" else "")
    return hashlib.sha256(text.encode()).hexdigest()


def checked() -> dict[str, dict[str, str]]:
    """By system: `package` and, by task, the digest of what was imported with it."""
    found: dict[str, dict[str, str]] = json.loads(CHECKED.read_text(encoding="utf-8"))
    return found


def import_snippets(system: str, python: Path) -> str:
    """Import all of a system's snippets with this interpreter; empty when that went well, else what was said."""
    with tempfile.TemporaryDirectory() as folder:
        modules = [task if task == TESTED else f"{task}_snippet" for task in TASKS]
        for task, module in zip(TASKS, modules, strict=True):
            Path(folder, f"{module}.py").write_text(snippet(task, system), encoding="utf-8")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", f"import {', '.join(modules)}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return "" if done.returncode == 0 else done.stderr


def python_of(system: str) -> Path:
    return ENVIRONMENTS / system / "bin" / "python"


def main() -> None:
    if "--check" in sys.argv[1:]:
        _check()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print("docs/comparison.md is written")


def _check() -> None:
    found: dict[str, dict[str, str]] = {}
    for system, package in PACKAGES.items():
        python = python_of(system)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, package, "pytest"], check=True)
        problem = import_snippets(system, python)
        if problem:
            sys.exit(f"{SYSTEMS[system]}: {problem}")
        found[system] = {"package": package} | {task: digest(task, system) for task in TASKS}
        print(f"{SYSTEMS[system]}: all imported with {package}")
    CHECKED.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _lines() -> str:
    head = f"| | {' | '.join(SYSTEMS.values())} |\n|---|{'---|' * len(SYSTEMS)}\n"
    rows = []
    for task, title in TASKS.items():
        counts = {system: count(snippet(task, system)) for system in SYSTEMS}
        cells = [f"**{counts['weft']}**", *(str(counts[system]) for system in PACKAGES)]
        rows.append(f"| [{title}](#{_anchor(title)}) | {' | '.join(cells)} |\n")
    return head + "".join(rows)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title).replace(" ", "-")


def _versions() -> str:
    packages = [f"`{found['package']}`" for found in checked().values()]
    return f"{', '.join(packages[:-1])} and {packages[-1]}.\n"


def _code(task: str) -> str:
    parts = [_block(snippet(task, "weft"))]
    for system in PACKAGES:
        code = snippet(task, system)
        summary = f"<summary>{SYSTEMS[system]}: {count(code)} lines</summary>"
        parts.append(f"<details>\n{summary}\n\n{_block(code)}\n</details>\n")
    return "\n".join(parts)


def _block(code: str) -> str:
    """As people type it: one blank line where the formatter has two."""
    typed = re.sub(r"\n{3,}", "\n\n", code)
    return f"```python\n{typed}```\n"


if __name__ == "__main__":
    main()
