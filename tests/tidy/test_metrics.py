from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.tidy.source import files, name_of
from weft.metrics import WorkerMetrics

_NAME = re.compile(r"\bweft_[a-z0-9_]+\b")
_USES = {".yml", ".yaml", ".json", ".rules"}


def exposed() -> set[str]:
    """Every name of a time series that a worker exposes."""
    names: set[str] = set()
    for family in WorkerMetrics().registry.collect():
        names.add(family.name)
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def unknown(text: str, known: Iterable[str]) -> set[str]:
    return set(_NAME.findall(text)) - set(known)


@pytest.mark.parametrize("folder,suffixes", [("deploy", _USES), ("docs", {".md"})])
def test_every_metric_that_is_named_exists(folder: str, suffixes: set[str]) -> None:
    known = exposed()
    found = {
        name_of(file): names
        for file in files(folder)
        if file.suffix in suffixes and (names := unknown(file.read_text(encoding="utf-8"), known))
    }
    assert found == {}


@pytest.mark.parametrize(
    "name", ["weft_turns_total", "weft_transaction_seconds_bucket", "weft_runs"]
)
def test_checker_knows_the_series_of_each_type(name: str) -> None:
    assert unknown(f"rate({name}[5m]) > 1", exposed()) == set()


def test_checker_finds_a_name_that_nothing_exposes() -> None:
    assert unknown("sum(weft_tuns_total)", exposed()) == {"weft_tuns_total"}
