"""What the tests of the linter share: code in, findings out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from weft.lint import Finding, Report, lint

HEAD = "from weft import activity, workflow\n"


def report_on(folder: Path, files: Mapping[str, str]) -> Report:
    """What the linter says of a folder with these files. Files are then named from that folder on."""
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    return lint([folder])


def findings_in(folder: Path, source: str) -> list[Finding]:
    """What is found in one file. `weft` is imported in front of it, on a line of its own."""
    return report_on(folder, {"app.py": HEAD + textwrap.dedent(source)}).findings


def in_workflow(body: str, before: str = "") -> str:
    """An async workflow with this body; line 1 of `before` is the file's second line."""
    indented = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return (
        textwrap.dedent(before)
        + f"\n@workflow.define\nasync def flow(ctx: workflow.Context, order):\n{indented}\n"
    )


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]
