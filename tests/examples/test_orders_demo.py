"""The demonstration as a user runs it: real processes, on the embedded log and on a real Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from examples.orders import world
from examples.orders.generate import ORDERS_FILE
from examples.orders.reading import read_orders

CHECKOUT = Path(__file__).parents[2]
FORGETFUL = Path(__file__).with_name("forgetful.py")
LINES = 100
ENDED = {"shipped": 88, "declined": 4, "refunded": 5, "timed_out": 1}


def command(module: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"examples.orders.{module}", *options],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def demo(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Gives up before the test does, so that no worker outlives it."""
    return command("demo", "--time-limit", "60", *options, **environment)


def report_of(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def tamper(file: Path, found: str, instead: str) -> str:
    """Change the first line that has `found`; returns the order that it is about."""
    lines = file.read_text(encoding="utf-8").splitlines()
    index = next(index for index, line in enumerate(lines) if found in line)
    order_id: str = json.loads(lines[index])["order_id"]
    lines[index] = lines[index].replace(found, instead)
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return order_id


@pytest.mark.requirement("R2-2", "R2-37", "R2-42")
def test_sums_hold_on_the_embedded_log_when_the_worker_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    ended = demo("--orders", str(LINES), "--json", "--keep", str(folder))
    report = report_of(ended)
    assert report["holds"]
    assert report["differences"] == []
    assert report["ended"] == ENDED
    assert (report["orders_read"], len(report["rejected"]), report["started"]) == (100, 2, 98)
    assert (report["lost"], report["completed_twice"], report["workers_killed"]) == (0, 0, 1)
    assert report["activities_run"] == 521 + report["activities_run_more_than_once"]
    assert "killed with -9" in ended.stderr

    table = command("check", str(folder))
    assert table.returncode == 0
    assert "line 26: 4 fields instead of 5" in table.stdout
    assert "The sums hold" in table.stdout

    order_id = tamper(folder / "told.jsonl", '"category": "shipped"', '"category": "refunded"')
    tampered = command("check", str(folder))
    assert tampered.returncode == 1
    assert f"{order_id}: expected shipped, but it was refunded" in tampered.stdout


def test_sums_do_not_hold_when_the_workflow_forgets_to_refund(tmp_path: Path) -> None:
    """Ten orders are shipped; two more are charged, and then the carrier refuses them."""
    lines = ORDERS_FILE.read_bytes().splitlines(keepends=True)
    small = [order.id for order in read_orders(ORDERS_FILE).orders if not order.needs_approval]
    refused = [order_id for order_id in small if world.address_is_refused(order_id)][:2]
    wanted = {*refused, *[order_id for order_id in small if order_id not in refused][:10]}
    orders = tmp_path / "orders.csv"
    chosen = [line for line in lines if line.partition(b",")[0].decode("latin-1") in wanted]
    orders.write_bytes(b"".join([lines[0], *chosen]))
    options = ["--file", str(orders), "--workflow", str(FORGETFUL)]
    ended = demo(*options, "--keep", str(tmp_path / "evidence"))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "The sums do not hold: 4 differences." in ended.stdout
    for order_id in refused:
        assert f"{order_id}: refund took effect 0 times instead of 1" in ended.stdout
        assert f"{order_id}: was charged, but neither shipped nor refunded" in ended.stdout


def test_demonstration_says_what_is_wrong_when_its_worker_cannot_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_at_all\n")
    evidence = str(tmp_path / "evidence")
    ended = demo("--orders", "5", "--workflow", str(broken), "--keep", evidence)
    assert ended.returncode == 2
    assert "worker 1 ended by itself" in ended.stderr
    assert "no_such_module_at_all" in ended.stderr


def test_demonstration_is_refused_when_there_is_no_file_of_orders(tmp_path: Path) -> None:
    ended = demo("--file", str(tmp_path / "none.csv"), "--keep", str(tmp_path / "evidence"))
    assert ended.returncode == 2
    assert "cannot be read" in ended.stderr


def test_demonstration_is_refused_when_its_folder_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "told.jsonl").touch()
    ended = demo("--keep", str(tmp_path))
    assert ended.returncode == 2
    assert "is not empty" in ended.stderr


@pytest.mark.requirement("R1-1", "R1-25", "R2-2", "R2-37", "R2-42", "R3-10")
def test_sums_hold_on_a_real_kafka_when_both_workers_are_killed(
    kafka_address: str, tmp_path: Path
) -> None:
    options = ["--backend", "kafka", "--orders", "200", "--json", "--keep", str(tmp_path)]
    ended = demo(*options, WEFT_KAFKA=kafka_address)
    report = report_of(ended)
    assert report["ended"] == {"shipped": 177, "declined": 6, "refunded": 9, "timed_out": 1}
    assert (report["lost"], report["completed_twice"], report["workers_killed"]) == (0, 0, 2)
    assert report["differences"] == []
