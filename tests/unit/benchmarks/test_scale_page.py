"""What the model writes into docs/scale.md, and that it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks.processes import BenchmarkError
from benchmarks.scale.__main__ import main
from benchmarks.scale.costs import TRANSACTIONS, broker_costs
from benchmarks.scale.fitting import FITTED, fitted
from benchmarks.scale.page import PAGE, PICTURE, begin, put, tables, write
from benchmarks.scale.picture import picture
from benchmarks.scale.scenarios import PARTS, Model
from benchmarks.stage import Line
from benchmarks.table import RESULTS, read

CHEAP = ("validation", "3", "history", "takeover")
"""Parts that are computed here; `make scale` computes the others in the same way."""
AT = {
    "activities_per_s": 83_205,
    "p50_ms": 19.8,
    "p99_ms": 123.4,
    "batch": 74,
    "transactions_per_s": 1341,
    "busy": {
        "workflow workers": 0.61,
        "activity workers": 0.62,
        "brokers": 0.79,
        "group coordinator": 0.47,
        "disks": 0.24,
    },
    "limit": "brokers",
}


def text_of(name: str) -> str:
    page = PAGE.read_text(encoding="utf-8")
    return page.partition(begin(name))[2].partition("<!-- model: end -->")[0].strip()


def test_page_has_what_the_command_writes() -> None:
    measured = read(RESULTS)
    model = Model(fitted(measured), measured)
    found = {name: list(PARTS[name](model)) for name in CHEAP}
    written = tables(found)
    assert set(written) == {"validation", "history", "takeover"}
    for name, table in written.items():
        assert text_of(name) == table.strip(), f"{name}: make scale"
    sizes = tables(found | {name: found["3"] for name in PARTS if name[0] == "3"})["sizes"]
    rows = sizes.splitlines()[: 2 + len(found["3"])]
    assert text_of("sizes").splitlines()[: len(rows)] == rows, "make scale"


def test_page_has_a_table_in_every_place_and_the_picture() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"<!-- model: (.*?)\. `make scale`", page)
    assert names == [
        "validation",
        "sizes",
        "workers",
        "partitions",
        "history",
        "hot keys",
        "skew",
        "takeover",
    ]
    assert all(text_of(name).startswith("| ") for name in names)
    assert f"]({PICTURE.name})" in page
    ET.fromstring(PICTURE.read_text(encoding="utf-8"))


def test_table_says_what_was_measured_and_how_far_the_model_is_from_it() -> None:
    row: Line = {"row": "W1", "variant": "queued", "figure": "activities_per_s"}
    lines = [
        row | {"fitted": False, "predicted": 11_000.0, "measured": 10_000},
        row | {"fitted": True, "predicted": 0.196, "measured": 0.194},
        row | {"fitted": False, "predicted": 15_812.3},
    ]
    assert tables({"validation": lines})["validation"].splitlines()[2:] == [
        "| W1 queued | activities/s | 10,000 | 11,000 | +10% |",
        "| W1 queued | activities/s | 0.194 | 0.196 | fitted |",
        "| W1 queued | activities/s | not yet | 15,800 | - |",
    ]


def test_sweep_has_its_figures_in_the_order_of_the_heads() -> None:
    heads, _, row = tables({"workers": [{"at": "26", **AT}]})["workers"].splitlines()
    assert heads == (
        "| workflow workers | activities/s | step p50 / p99 ms | batch | transactions/s | workflow workers busy | "
        "activity workers busy | brokers busy | disks busy | group coordinator busy |"
    )
    assert row == "| 26 | 83,200 | 19.8 / 123 | 74 | 1,340 | 61% | 62% | 79% | 24% | 47% |"


def test_table_is_put_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = f"before\n{begin('skew')}\nold\n<!-- model: end -->\n{begin('workers')}\n<!-- model: end -->\nafter\n"
    expected = page.replace("\nold\n", "\n\nnew\n\n")
    assert put(page, "skew", "new\n") == expected
    assert put(expected, "skew", "new\n") == expected
    with pytest.raises(ValueError, match="no place for the table 'sizes'"):
        put(page, "sizes", "new\n")
    file = tmp_path / "scale.md"
    file.write_text(page)
    write({"workers": [{"at": "26", **AT}], "loads": [{"load": 0.5, **AT}]}, file)
    assert "| 26 | 83,200 |" in file.read_text().partition(begin("workers"))[2]
    assert "polyline" in (tmp_path / "scale.svg").read_text()


def test_picture_has_six_curves_within_its_frame() -> None:
    found = picture([{"load": load, **AT} for load in (0.1, 0.5, 0.9)])
    curves = re.findall(r'points="(.*?)"', found)
    assert len(curves) == 6
    for curve in curves:
        points = [tuple(map(float, point.split(","))) for point in curve.split()]
        assert len(points) == 3
        assert all(0 <= x <= 680 and 0 <= y <= 220 for x, y in points)


def test_costs_of_a_transaction_are_what_its_shapes_differ_by() -> None:
    found = broker_costs(read(TRANSACTIONS))
    assert set(found) == {
        "broker_transaction",
        "broker_offsets",
        "broker_partition",
        "broker_write",
    }
    assert all(10e-6 < cost < 10e-3 for cost in found.values()), found


def test_costs_are_refused_when_the_rows_they_are_fitted_to_are_missing() -> None:
    lines = [line for line in read(RESULTS) if (line["workload"], line["variant"]) != FITTED[1]]
    with pytest.raises(BenchmarkError, match=r"results\.jsonl needs .* W2 \(queued\) on Kafka"):
        fitted(lines)


def test_command_gives_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "takeover"])
    out, err = capsys.readouterr()
    lines = [json.loads(text) for text in out.splitlines()]
    assert [line["workflows_per_partition"] for line in lines] == [10_000, 100_000, 250_000, 10**6]
    assert {line["part"] for line in lines} == {"takeover"}
    assert err == "simulating: takeover\n"
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
