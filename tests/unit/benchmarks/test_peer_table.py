"""The table of Weft and its peers."""

from __future__ import annotations

import pytest
from benchmarks.peers.table import FAILED, NOT_COMPARABLE, NOT_MEASURED, ROWS, Line, cell, table

W2 = next(row for row in ROWS if row.workload == "W2")
W6 = next(row for row in ROWS if row.workload == "W6")
LATENCY = {"p50_ms": 8.7, "p99_ms": 27.0}


def line(system: str, workload: str, variant: str, **figures: object) -> Line:
    return {"system": system, "workload": workload, "variant": variant, **figures}


def test_table_has_a_column_for_each_system_and_way_of_running() -> None:
    lines = [
        {"system": "weft", "workload": "machine", "variant": ""},
        {"system": "restate", "error": "not installed"},
        line("weft", "W2", "queued", **LATENCY, others_cores=0.02),
        line("weft", "W2", "inline", **LATENCY, others_cores=0.01),
        line("dbos", "W1", "in process, 200 in flight", activities_per_s=1165, others_cores=0.1),
        line("dbos", "W1", "in process, 2000 in flight", activities_per_s=152, others_cores=0.3),
    ]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table(lines).splitlines()]
    assert rows[0] == ["", "weft, queued", "weft, inline", "dbos, in process"]
    assert rows[1] == ["---"] * 4
    by_title = {title: cells for title, *cells in rows[2:]}
    assert list(by_title)[:-1] == [row.title for row in ROWS]
    assert by_title["W1 activities/s, 200 in flight"] == ["-", "-", "1,165"]
    assert by_title["W1 activities/s, 2,000 in flight"] == ["-", "-", "152"]
    assert by_title["W2 p50 / p99 ms"] == ["8.7 / 27.0", "8.7 / 27.0", "-"]
    assert rows[-1][1:] == ["0.02", "0.01", "0.3"]


@pytest.mark.parametrize(
    "figures,expected",
    [
        (LATENCY, "8.7 / 27.0"),
        ({**LATENCY, "comparable": True}, "8.7 / 27.0"),
        ({**LATENCY, "comparable": False}, NOT_COMPARABLE),
        ({"p50_ms": 8.7}, NOT_MEASURED),
        ({"error": "TimeoutError"}, FAILED),
    ],
)
def test_cell_tells_figures_or_why_there_are_none(
    figures: dict[str, object], expected: str
) -> None:
    lines = [
        line("temporal", "W4", "memory", p50_ms=1.0, p99_ms=2.0),
        line("temporal", "W2", "file", p50_ms=3.0, p99_ms=4.0),
        line("temporal", "W2", "memory", **figures),
    ]
    assert cell(W2, "temporal, memory", lines) == expected


def test_only_the_shorter_of_weft_s_long_histories_is_compared() -> None:
    lines = [
        line("weft", "W5", f"queued, {steps} steps", first_ms_per_step=first, last_ms_per_step=5.0)
        for steps, first in (("50,000", 4.0), ("2,000", 4.5))
    ]
    (w5,) = (row for row in ROWS if row.workload == "W5")
    assert cell(w5, "weft, queued", lines) == "4.5 / 5.0"


def test_lines_of_weft_that_name_no_way_are_of_queued_activities() -> None:
    lines = [
        line("weft", "W6", "takeover by another worker", served_again_s=6.4),
        line("weft", "W6", "kill -9 at 40%, restart at once", seconds=2.4),
    ]
    assert cell(W6, "weft, queued", lines) == "2.4"
