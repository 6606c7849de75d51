"""What commands print: one JSON document with `--json`, text and tables for people without."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from weft.records import FailureInfo

_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "blocked": "bold red",
    "cancelled": "yellow",
    "terminated": "yellow",
}


def plain(value: Any) -> Any:
    """A value as JSON types: dataclasses, records, times, payloads."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Output:
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(soft_wrap=True)
        self._errors = Console(stderr=True, soft_wrap=True)

    def document(self, value: object) -> None:
        """The whole answer, as JSON."""
        sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")

    def value(self, value: object) -> None:
        """One JSON value for a person: texts as they are."""
        self.text(value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False))

    def text(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Something beside the answer: on standard error, so that output can be piped."""
        self._errors.print(text, markup=False, highlight=False)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        Console(width=None if sys.stdout.isatty() else 200).print(table)

    def error(self, error: BaseException) -> None:
        if self.as_json:
            document = {"error": type(error).__name__, "message": str(error)}
            sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            self._errors.print("[bold red]Error:[/]", end=" ")
            self._errors.print(str(error), markup=False, highlight=False)


def failure_text(failure: FailureInfo) -> str:
    return f"{failure.type}: {failure.message}" if failure.message else failure.type


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    text = "" if value is None else str(value)
    style = _STYLES.get(text)
    escaped = text.replace("[", "\\[")
    return f"[{style}]{escaped}[/]" if style else escaped
