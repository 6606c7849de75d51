"""The table of results in benchmarks/README.md, made of the JSON lines of a run.

    .venv/bin/python benchmarks/table.py LINES.jsonl ...     prints the table of these lines
    .venv/bin/python benchmarks/table.py --write LINES...    puts them into results.jsonl and the README

The README's table shows the lines of results.jsonl: the latest of each workload, variant and backend. Lines of another
machine are not kept beside new ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a command: the checkout stands in for this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.markdown import joined, put_between
from benchmarks.rows import PEERS, ROWS, Row
from benchmarks.stage import Line

HERE = Path(__file__).parent
README = HERE / "README.md"
RESULTS = HERE / "results.jsonl"
BEGIN = "<!-- results: begin. `make bench` writes what stands up to the end. -->"
END = "<!-- results: end -->"
NOISE_MAX = 0.2
"""Cores that others used meanwhile; figures with more stand in brackets."""
BACKENDS = ("kafka", "embedded")
_MACHINE = ("processor", "cores", "memory_gib")


def key_of(line: Line) -> tuple[str, str, str]:
    return line["workload"], line["variant"], line["backend"]


def merged(old: Iterable[Line], new: Sequence[Line]) -> list[Line]:
    """The latest of each. What was measured on another machine than the new lines goes."""
    by_key = {key_of(line): line for line in old}
    machines = [line for line in new if line["workload"] == "machine"]
    before = by_key.get(("machine", "", ""))
    if machines and before and any(machines[-1][key] != before.get(key) for key in _MACHINE):
        by_key = {}
    by_key |= {key_of(line): line for line in new}
    return list(by_key.values())


def table(lines: Iterable[Line]) -> str:
    """Markdown: a sentence on the machine, and a row for each figure."""
    by_key = {key_of(line): line for line in lines}
    return "\n".join([*_heading(by_key), "", *_body(by_key)]) + "\n"


def _heading(by_key: dict[tuple[str, str, str], Line]) -> Iterator[str]:
    machine = by_key.get(("machine", "", ""))
    if machine is not None:
        parts = [
            f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB",
            machine["system"],
            f"Python {machine['python']}",
            f"Weft {machine['weft']}",
            f"confluent-kafka {machine['confluent_kafka']} (librdkafka {machine['librdkafka']})",
            f"SQLite {machine['sqlite']}",
            f"Apache Kafka {machine['kafka'] or 'of a version unknown'}, one broker, KRaft",
            f"Java {machine['java']}" if machine["java"] else "",
        ]
        yield "; ".join(part for part in parts if part) + "."
    dates: dict[str, set[str]] = {}
    for line in by_key.values():
        if line["workload"] != "machine":
            dates.setdefault(line["date"], set()).add(line["workload"])
    yield " ".join(
        f"Measured on {date}: {', '.join(sorted(names, key=_number))}."
        for date, names in sorted(dates.items())
    )


def _number(workload: str) -> int:
    return int(workload.removeprefix("W"))


def _body(by_key: dict[tuple[str, str, str], Line]) -> Iterator[str]:
    heads = ["", "figure", "variant", "Weft, Kafka", "Weft, embedded log", *PEERS]
    yield joined(heads)
    yield joined(["---"] * len(heads))
    before: Row | None = None
    for row in ROWS:
        repeated = before is not None and before.workload == row.workload
        same_figure = repeated and before is not None and before.figure == row.figure
        cells = [
            _cell(row, by_key.get((row.workload, row.variant, backend))) for backend in BACKENDS
        ]
        workload, figure = "" if repeated else row.workload, "" if same_figure else row.figure
        yield joined([workload, figure, row.variant, *cells, *row.peers])
        before = row


def _cell(row: Row, line: Line | None) -> str:
    text = row.cell(line) if line is not None else ""
    is_noisy = line is not None and line.get("others_cores", 0.0) > NOISE_MAX
    return f"({text})" if text and is_noisy else text


def read(file: Path) -> list[Line]:
    if not file.exists():
        return []
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines() if text]


def write(lines: Sequence[Line], readme: Path = README, results: Path = RESULTS) -> None:
    """Put the lines among the results, and the table of all of them into the README."""
    found = merged(read(results), lines)
    text = readme.read_text(encoding="utf-8")
    page = put_between(text, BEGIN, END, table(found), f"the table of {readme.name}")
    results.write_text("".join(json.dumps(line) + "\n" for line in found), encoding="utf-8")
    readme.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines, as run.py prints them")
    parser.add_argument("--write", action="store_true", help="into results.jsonl and README.md")
    arguments = parser.parse_args()
    lines = [line for file in arguments.files for line in read(file)]
    if arguments.write:
        write(lines)
    else:
        print(table(lines), end="")


if __name__ == "__main__":
    main()
