"""`weft lint`: what in workflow code is not deterministic, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli._context import JsonOption
from weft.cli._output import Output
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.lint import Report


def register(app: typer.Typer) -> None:
    """Add `weft lint` to the command line. It needs no log, so it has none of the shared options."""
    app.command("lint")(lint_paths)


def lint_paths(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, and folders with all Python files in them.")
    ],
    json: JsonOption = False,
) -> None:
    """Find what is not deterministic in workflows and in what they call. Reads the code, runs nothing.

    Give it the whole project: calls are followed within the given files. Exit status 1 when something is found, 2 when
    a path is not there or a file is no Python.
    """
    from weft.lint import lint  # noqa: PLC0415  # workers need no linter

    output = Output(as_json=json)
    try:
        report = lint(paths)
    except UsageError as error:
        output.error(error)
        raise typer.Exit(2) from None
    _print(report, output)
    if report.unreadable:
        raise typer.Exit(2)
    if report.findings:
        raise typer.Exit(1)


def _print(report: Report, output: Output) -> None:
    lines = [*report.unreadable, *report.findings, report.summary()]
    document = {
        "findings": report.findings,
        "unreadable": report.unreadable,
        "files": report.files,
        "workflows": report.workflows,
    }
    output.answer("\n".join(map(str, lines)), document)
