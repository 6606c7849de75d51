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
from rich.text import Text

from weft.errors import (
    AlreadyStartedError,
    CorruptRecordError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowFailedError,
)
from weft.records import FailureInfo

_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "blocked": "bold red",
    "suspended": "magenta",
    "cancelled": "yellow",
    "terminated": "yellow",
}
_PIPED_WIDTH = 200
_ERROR_FIELDS: dict[type[BaseException], tuple[str, ...]] = {
    WorkflowFailedError: ("workflow_id", "run_id", "status", "type", "details"),
    UpdateRejectedError: ("update", "update_id", "reason", "type"),
    UpdateFailedError: ("workflow_id", "update", "update_id", "type", "details"),
    AlreadyStartedError: ("run_id",),
    CorruptRecordError: ("topic", "partition", "offset", "why"),
}
"""What an error tells a program beside its text."""


def plain(value: Any) -> Any:
    """A value as JSON types: dataclasses, records, times, payloads."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Output:
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._console = Console(soft_wrap=True)
        self._errors = Console(stderr=True, soft_wrap=True)

    def document(self, value: object) -> None:
        """The whole answer, as JSON."""
        sys.stdout.write(json_text(value) + "\n")
        sys.stdout.flush()

    def answer(self, text: str, document: object) -> None:
        """The whole answer: the document with `--json`, the text for people."""
        if self.as_json:
            self.document(document)
        else:
            self.text(text)

    def text(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Something beside the answer: on standard error, so that output can be piped."""
        self._errors.print(text, markup=False, highlight=False)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in headings:
            table.add_column(heading, overflow="fold")
        _print_table(table, rows)

    def fields(self, rows: Iterable[tuple[str, object]]) -> None:
        """Names and values, one under the other."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        _print_table(table, rows)

    def error(self, error: BaseException) -> None:
        """On standard error: with `--json` the class's name, the text, and what else a program needs."""
        if not self.as_json:
            self._errors.print(Text("Error: ", style="bold red"), Text(str(error)), sep="")
            return
        document: dict[str, object] = {"error": type(error).__name__, "message": str(error)}
        for kind, fields in _ERROR_FIELDS.items():
            if isinstance(error, kind):
                document |= {field: getattr(error, field) for field in fields}
        sys.stderr.write(json_text(document) + "\n")


def failure_text(failure: FailureInfo) -> str:
    return f"{failure.type}: {failure.message}" if failure.message else failure.type


def json_text(value: object) -> str:
    """A value on one line, as JSON."""
    return json.dumps(plain(value), ensure_ascii=False)


def time_text(time: datetime) -> str:
    """To the second, in the time zone it is in."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _print_table(table: Table, rows: Iterable[Sequence[object]]) -> None:
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH).print(table)


def _cell(value: object) -> Text:
    if isinstance(value, datetime):
        return Text(time_text(value))
    text = "" if value is None else str(value)
    return Text(text, style=_STYLES.get(text, ""))
