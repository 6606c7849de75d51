"""The benchmarks run and give what the table needs; how fast they are on a busy machine is nobody's business here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import stage as stage_module
from benchmarks.latency import w2, w3, w4
from benchmarks.rows import ROWS
from benchmarks.run import WORKLOADS
from benchmarks.stage import Line, Served, open_stage
from benchmarks.throughput import w9

RUN = Path(stage_module.__file__).with_name("run.py")
SCALE = 0.01


async def lines_of(*workloads: Served) -> list[Line]:
    """Of these on the same workers: what takes time here is processes that start."""
    with open_stage("embedded", SCALE) as stage:
        async with stage.serving() as bench:
            return [line for workload in workloads async for line in workload.measure(bench)]


def test_cheap_workloads_give_every_figure_of_their_rows_when_scaled_down() -> None:
    lines = asyncio.run(lines_of(w2, w3, w4, w9))
    by_key = {(line["workload"], line["variant"]): line for line in lines}
    assert sorted(by_key) == [
        ("W2", "inline"),
        ("W2", "queued"),
        ("W3", "inline"),
        ("W3", "queued"),
        ("W4", ""),
        ("W9", "to 100 IDs"),
        ("W9", "to one ID"),
    ]
    rows = [row for row in ROWS if (row.workload, row.variant) in by_key]
    assert len(rows) == 6
    empty = [row for row in rows if not row.cell(by_key[row.workload, row.variant])]
    assert empty == []
    for line in lines:
        assert {"seconds", "cpu_s", "others_cores"} <= line.keys()
        assert {"workflow_worker", "activity_worker", "client"} == line["cpu_s"].keys()
        assert line["seconds"] > 0
        json.dumps(line)


def test_every_row_is_of_a_workload_that_there_is() -> None:
    assert {row.workload for row in ROWS} == WORKLOADS.keys()


@pytest.mark.parametrize(
    "arguments,reason",
    [
        (["--only", "W13"], "unknown workloads ['W13']; there are W1, W8"),
        (["--write-table", "--scale", "0.5"], "--write-table goes without --scale"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_started(
    arguments: list[str], reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, RUN, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stdout == ""
