"""The JSON lines of one run, Weft's and its peers', as a table side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.markdown import joined

Line = Mapping[str, object]
NOT_MEASURED, FAILED, NOT_COMPARABLE = "-", "failed", "not comparable"


@dataclass(frozen=True)
class Row:
    title: str
    workload: str
    keys: tuple[str, ...]
    """Of the figures in the lines, in the order of the title."""
    part: str = ""
    """Of the lines' variant: which of the workload's lines it is. Empty: any."""


ROWS = (
    Row("W1 activities/s, 200 in flight", "W1", ("activities_per_s",), "200 in flight"),
    Row("W1 activities/s, 2,000 in flight", "W1", ("activities_per_s",), "2000 in flight"),
    Row(
        "W1 CPU s per 1,000 activities, 200 in flight",
        "W1",
        ("cpu_s_per_1000_activities",),
        "200 in flight",
    ),
    Row(
        "W1 CPU s per 1,000 activities, 2,000 in flight",
        "W1",
        ("cpu_s_per_1000_activities",),
        "2000 in flight",
    ),
    Row("W2 p50 / p99 ms", "W2", ("p50_ms", "p99_ms")),
    Row("W3 s", "W3", ("seconds",)),
    Row("W4 p50 / p99 ms", "W4", ("p50_ms", "p99_ms")),
    Row(
        "W5 ms per step, first / last 200 of 2,000",
        "W5",
        ("first_ms_per_step", "last_ms_per_step"),
        "2,000 steps",
    ),
    Row("W6 s from the kill until all results", "W6", ("seconds",)),
    Row("W6 lost / finished twice", "W6", ("lost", "finished_twice")),
)


def table(lines: Sequence[Line]) -> str:
    """Markdown: a column for each system and way of running, in the order in which they come."""
    known = {row.workload for row in ROWS}
    columns = list(dict.fromkeys(column_of(one) for one in lines if one.get("workload") in known))
    rows = [("", *columns)]
    rows += [(row.title, *(cell(row, column, lines) for column in columns)) for row in ROWS]
    rows.append(
        ("most of the machine used by others, cores", *(_others(c, lines) for c in columns))
    )
    head, *body = map(joined, rows)
    return "\n".join((head, "|---" * (len(columns) + 1) + "|", *body))


def column_of(line: Line) -> str:
    """A variant's first part is the way of running; Weft's lines without one are of queued activities."""
    way = str(line.get("variant", "")).split(", ")[0]
    if line["system"] == "weft" and way not in {"queued", "inline"}:
        way = "queued"
    return f"{line['system']}, {way}" if way else str(line["system"])


def cell(row: Row, column: str, lines: Iterable[Line]) -> str:
    """The figures of this row and column; why there are none."""
    found = [
        line
        for line in lines
        if line.get("workload") == row.workload
        and column_of(line) == column
        and _has_part(line, row)
    ]
    for line in found:
        if all(key in line for key in row.keys):
            if not line.get("comparable", True):
                return NOT_COMPARABLE
            return " / ".join(_text(line[key]) for key in row.keys)
    return FAILED if any("error" in line for line in found) else NOT_MEASURED


def _has_part(line: Line, row: Row) -> bool:
    parts = str(line.get("variant", "")).split(", ")
    return "error" in line or not row.part or row.part in parts


def _text(figure: object) -> str:
    return f"{figure:,}" if isinstance(figure, int | float) else str(figure)


def _others(column: str, lines: Iterable[Line]) -> str:
    of_column = (line for line in lines if "workload" in line and column_of(line) == column)
    cores = [line.get("others_cores") for line in of_column]
    return _text(max((one for one in cores if isinstance(one, int | float)), default=NOT_MEASURED))
