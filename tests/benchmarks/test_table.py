from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import table
from benchmarks.rows import PEERS, ROWS
from benchmarks.stage import Line

MACHINE: Line = {
    "workload": "machine",
    "variant": "",
    "backend": "",
    "date": "2026-11-21",
    "cores": 2,
    "processor": "Some Processor",
    "memory_gib": 24,
    "system": "Linux 6",
    "python": "3.11.7",
    "weft": "0.1.0",
    "confluent_kafka": "2.16.1",
    "librdkafka": "2.16.1",
    "sqlite": "3.40",
    "kafka": "4.3.0",
    "java": "17.0.1",
}


def line(workload: str, variant: str, backend: str = "kafka", **figures: object) -> Line:
    return {
        "workload": workload,
        "variant": variant,
        "backend": backend,
        "date": "2026-11-21",
        "others_cores": 0.0,
        **figures,
    }


def row_of(text: str, figure: str) -> list[str]:
    """The cells of the first row with this figure."""
    (first, *_) = [row for row in text.splitlines() if f"| {figure} |" in row]
    return [cell.strip() for cell in first.strip("|").split("|")]


def test_table_has_every_row_when_nothing_was_measured() -> None:
    rows = [text for text in table.table([]).splitlines() if text.startswith("|")]
    assert len(rows) == 2 + len(ROWS)
    assert {row.count("|") for row in rows} == {len(PEERS) + 6}
    assert row_of("\n".join(rows), "activities/s")[3:5] == ["", ""]


def test_table_shows_ours_beside_the_peers_of_the_same_kind() -> None:
    text = table.table(
        [
            line("W2", "queued", p50_ms=8.7, p99_ms=27.0),
            line("W2", "queued", "embedded", p50_ms=3.7, p99_ms=6.2),
        ]
    )
    assert row_of(text, "p50 / p99 ms")[:6] == [
        "W2",
        "p50 / p99 ms",
        "queued",
        "8.7 / 27",
        "3.7 / 6.2",
        "-",
    ]
    assert "13.2 / 31" in row_of(text, "p50 / p99 ms")


def test_figure_stands_in_brackets_when_others_used_the_machine() -> None:
    text = table.table([line("W3", "queued", seconds=0.25) | {"others_cores": 0.9}])
    assert "| (0.25) |" in text


def test_heading_tells_the_machine_and_when_what_was_measured() -> None:
    later = line("W10", "", p50_ms=1.0, p99_ms=2.0) | {"date": "2026-11-25"}
    text = table.table([MACHINE, line("W2", "queued"), later])
    assert text.startswith("2 cores of Some Processor, 24 GiB; Linux 6; Python 3.11.7; Weft 0.1.0;")
    assert "Measured on 2026-11-21: W2. Measured on 2026-11-25: W10." in text


def test_latest_line_of_each_is_kept() -> None:
    old = [MACHINE, line("W2", "queued", p50_ms=9.0), line("W4", "", p50_ms=5.0)]
    new = [MACHINE | {"weft": "0.2.0"}, line("W2", "queued", p50_ms=8.0)]
    assert table.merged(old, new) == [new[0], new[1], old[2]]


def test_lines_of_another_machine_go() -> None:
    old = [MACHINE, line("W4", "", p50_ms=5.0)]
    new = [MACHINE | {"cores": 8}, line("W2", "queued", p50_ms=8.0)]
    assert table.merged(old, new) == new


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A README with a place for the table, and where results are kept."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{table.BEGIN}\nold\n{table.END}\n\nafter\n", encoding="utf-8")
    return readme, tmp_path / "results.jsonl"


def test_table_is_written_between_its_marks_when_asked_twice(files: tuple[Path, Path]) -> None:
    readme, results = files
    table.write([MACHINE, line("W4", "", p50_ms=5.0, p99_ms=6.0)], *files)
    table.write([MACHINE, line("W10", "", p50_ms=1.0, p99_ms=2.0)], *files)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n\n{table.BEGIN}\n\n2 cores of Some Processor")
    assert text.endswith(f"|\n\n{table.END}\n\nafter\n")
    assert "old" not in text.splitlines()
    assert "5 / 6" in text
    assert "1 / 2" in text
    kept = [json.loads(one) for one in results.read_text(encoding="utf-8").splitlines()]
    assert [one["workload"] for one in kept] == ["machine", "W4", "W10"]


def test_readme_shows_the_results_that_are_kept() -> None:
    text = table.README.read_text(encoding="utf-8")
    shown = text.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    assert shown == table.table(table.read(table.RESULTS)).strip()
