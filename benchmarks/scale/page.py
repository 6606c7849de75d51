"""The tables of docs/scale.md that the model writes, each between its markers, and the picture beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.markdown import joined, put_between
from benchmarks.scale.picture import picture
from benchmarks.stage import Line

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
PICTURE = PAGE.with_suffix(".svg")
END = "<!-- model: end -->"
_BUSY = ("workflow workers", "activity workers", "brokers", "disks", "group coordinator")
_FIGURES = {
    "activities_per_s": "activities/s",
    "cpu_s_per_1000_activities": "CPU s per 1,000 activities",
    "p50_ms": "p50 ms",
    "signals_per_s": "signals/s",
}
_HEADS = [
    "activities/s",
    "step p50 / p99 ms",
    "batch",
    "transactions/s",
    *(f"{name} busy" for name in _BUSY),
]

Rows = Iterable[Sequence[str]]


def begin(name: str) -> str:
    return f"<!-- model: {name}. `make scale` writes what stands up to the end. -->"


def tables(lines_by_part: Mapping[str, list[Line]]) -> dict[str, str]:
    """Markdown by the name of its place in the page, of those parts that are there."""
    found = {}
    for name, (parts, heads, rows_of) in _TABLES.items():
        if all(part in lines_by_part for part in parts):
            lines = [line for part in parts for line in lines_by_part[part]]
            found[name] = _table(heads, rows_of(lines))
    return found


def put(text: str, name: str, table: str) -> str:
    """The page with this table in its place. Raises ValueError when there is none."""
    return put_between(text, begin(name), END, table, f"the table {name!r}")


def write(lines_by_part: Mapping[str, list[Line]], page: Path = PAGE) -> None:
    """All tables whose parts are there, and the picture if its part is."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables(lines_by_part).items():
        text = put(text, name, table)
    page.write_text(text, encoding="utf-8")
    if "loads" in lines_by_part:
        page.with_suffix(".svg").write_text(picture(lines_by_part["loads"]), encoding="utf-8")


def _table(heads: Sequence[str], rows: Rows) -> str:
    return "".join(f"{joined(cells)}\n" for cells in (heads, ["---"] * len(heads), *rows))


def _number(value: float) -> str:
    """Three digits are more than a model knows."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _validation(lines: Iterable[Line]) -> Rows:
    for line in lines:
        measured, predicted = line.get("measured"), line["predicted"]
        error = f"{predicted / measured - 1:+.0%}" if measured else "-"
        yield [
            f"{line['row']} {line['variant']}".strip(),
            _FIGURES[line["figure"]],
            _number(measured) if measured else "not yet",
            _number(predicted),
            "fitted" if line["fitted"] else error,
        ]


def _figures(line: Line) -> Iterator[str]:
    yield _number(line["activities_per_s"])
    yield f"{_number(line['p50_ms'])} / {_number(line['p99_ms'])}"
    yield _number(line["batch"])
    yield _number(line["transactions_per_s"])
    for name in _BUSY:
        yield f"{line['busy'][name]:.0%}"


def _sizes(lines: Iterable[Line]) -> Rows:
    for line in lines:
        is_first = line["load"] == 0.5
        yield [
            f"{line['brokers']} / {line['owners']:,} / {line['activity_workers']:,}"
            if is_first
            else "",
            str(line["namespaces"]) if is_first else "",
            f"{line['load']:.0%}",
            *_figures(line),
            line["limit"] if line["load"] == 1.0 else "",
        ]


def _sweep(lines: Iterable[Line]) -> Rows:
    for line in lines:
        yield [line["at"], *_figures(line)]


def _history(lines: Iterable[Line]) -> Rows:
    for line in lines:
        yield [
            _number(line["head_bytes"]),
            _number(line["bytes_per_step"]),
            _number(line["activities_per_s"]),
            line["limit"],
        ]


def _skewed(key: Callable[[Line], str]) -> Callable[[Iterable[Line]], Rows]:
    def rows(lines: Iterable[Line]) -> Rows:
        for line in lines:
            yield [
                key(line),
                f"{line['hottest_owner']:.0%}",
                _number(line["activities_per_s"]),
                _number(line["p99_ms"]),
                f"{line['busiest_owner']:.0%} / {line['mean_owner']:.0%}",
            ]

    return rows


def _takeover(lines: Iterable[Line]) -> Rows:
    for line in lines:
        yield [
            f"{line['workflows_per_partition']:,}",
            _number(line["restart_s"]),
            _number(line["takeover_s"]),
            _number(line["worker_gb"]),
        ]


_SKEW_HEADS = ["the hottest worker's share", "activities/s", "step p99 ms", "busiest / mean worker"]
_TABLES: dict[str, tuple[Sequence[str], Sequence[str], Callable[[Iterable[Line]], Rows]]] = {
    "validation": (
        ["validation"],
        ["row", "figure", "measured", "model", "error"],
        _validation,
    ),
    "sizes": (
        ["3", "30", "30 in 10 namespaces", "300", "300 in 100 namespaces"],
        [
            "brokers / workflow / activity workers",
            "namespaces",
            "load",
            *_HEADS,
            "what comes first",
        ],
        _sizes,
    ),
    "workers": (["workers"], ["workflow workers", *_HEADS], _sweep),
    "partitions": (["partitions"], ["partitions a worker", *_HEADS], _sweep),
    "history": (
        ["history"],
        ["bytes of a head", "bytes a step", "activities/s", "what comes first"],
        _history,
    ),
    "hot keys": (
        ["hot keys"],
        ["one ID's share of all records", *_SKEW_HEADS],
        _skewed(lambda line: f"{line['share']:.0%}"),
    ),
    "skew": (
        ["skew"],
        ["exponent; the hottest partition's share", *_SKEW_HEADS],
        _skewed(lambda line: f"{line['exponent']:g}; {line['hottest_partition']:.0%}"),
    ),
    "takeover": (
        ["takeover"],
        ["open workflows a partition", "restart, s", "takeover, s", "memory of a worker, GB"],
        _takeover,
    ),
}
