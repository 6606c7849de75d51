"""Which requirements are shown by which tests: `make requirements`.

A test says so itself, with `@pytest.mark.requirement("R1-7", ...)`; the list is `docs/requirements.md`.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

LIST = Path(__file__).resolve().parents[2] / "docs" / "requirements.md"
_LINE = re.compile(r"^- (R\d+-\d+) (.+)$", re.MULTILINE)


class UnknownRequirementError(Exception):
    """A test is marked with something that is not on the list."""


def requirements(text: str) -> dict[str, str]:
    """The lines of the list by ID. Raises ValueError when an ID is there twice."""
    lines = _LINE.findall(text)
    by_id = dict(lines)
    if len(by_id) != len(lines):
        raise ValueError("docs/requirements.md has an ID twice")
    return by_id


def shown_by(
    marked: Iterable[tuple[str, Iterable[object]]], known: Mapping[str, str]
) -> dict[str, list[str]]:
    """The tests of each requirement, from (test, the IDs in its marker).

    Raises UnknownRequirementError for an ID that is not on the list.
    """
    tests: dict[str, list[str]] = {requirement: [] for requirement in known}
    for test, ids in marked:
        for requirement in ids:
            if not isinstance(requirement, str) or requirement not in known:
                raise UnknownRequirementError(
                    f"{test} is marked with {requirement!r}, which is not in docs/requirements.md"
                )
            if test not in tests[requirement]:
                tests[requirement].append(test)
    return tests


def report(tests: Mapping[str, list[str]], known: Mapping[str, str]) -> str:
    """Each requirement with its tests, and last how many have one."""
    lines: list[str] = []
    for requirement, text in known.items():
        lines.append(f"{requirement:<6} {text}")
        lines += [f"       {test}" for test in sorted(tests[requirement])] or ["       -"]
    delivered = sum(1 for found in tests.values() if found)
    return "\n".join([*lines, "", f"{delivered} of {len(known)} delivered"])


class _Collector:
    """Notes the marked tests while pytest collects."""

    def __init__(self) -> None:
        self.marked: list[tuple[str, tuple[object, ...]]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test = item.nodeid.partition("[")[0]
            self.marked += [(test, mark.args) for mark in item.iter_markers("requirement")]


def main() -> int:
    """Print the report. Exit status 1 when tests cannot be collected, or one names an unknown requirement."""
    collector = _Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = pytest.main(
            ["--collect-only", "-qq", "-p", "no:cacheprovider"], plugins=[collector]
        )
    if status != pytest.ExitCode.OK:
        print(output.getvalue(), file=sys.stderr)
        return 1
    known = requirements(LIST.read_text(encoding="utf-8"))
    try:
        tests = shown_by(collector.marked, known)
    except UnknownRequirementError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(tests, known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
