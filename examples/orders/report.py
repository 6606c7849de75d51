"""The report of a run, as a table for people or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.orders.reading import Rejected

_DIFFERENCES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a run. They hold when `differences` is empty."""

    backend: str
    orders_read: int
    rejected: tuple[Rejected, ...]
    started: int
    ended: dict[str, int]
    """Orders by category, as the client was told."""
    lost: int
    completed_twice: int
    activities_run: int
    retries: int
    activities_run_more_than_once: int
    """Executions of an attempt that had been executed before: its result had not reached the log in time."""
    workers_killed: int
    seconds: float
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.differences


def print_report(report: Report, *, as_json: bool) -> None:
    """Print to standard output."""
    if as_json:
        print(json.dumps({"holds": report.holds, **asdict(report)}, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(_table(report))
    if report.holds:
        console.print(
            "[green]The sums hold:[/] every accepted order ended exactly once, as it had to."
        )
        return
    console.print(f"[red]The sums do not hold:[/] {len(report.differences)} differences.")
    for difference in report.differences[:_DIFFERENCES_SHOWN_MAX]:
        console.print(f"  {escape(difference)}")
    hidden_count = len(report.differences) - _DIFFERENCES_SHOWN_MAX
    if hidden_count > 0:
        console.print(f"  ... and {hidden_count} more")


def _table(report: Report) -> Table:
    table = Table(title=f"The order desk on the {report.backend} log", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("orders read", str(report.orders_read))
    table.add_row("rejected", str(len(report.rejected)))
    for rejected in report.rejected:
        table.add_row(f"  [dim]line {rejected.line_number}: {escape(rejected.reason)}[/]", "")
    table.add_row("started", str(report.started))
    for category, count in report.ended.items():
        table.add_row(category.replace("_", " "), str(count))
    table.add_row("lost", str(report.lost))
    table.add_row("completed twice", str(report.completed_twice), end_section=True)
    table.add_row("activities run", str(report.activities_run))
    table.add_row("  retries after a failure", str(report.retries))
    table.add_row("activities run more than once", str(report.activities_run_more_than_once))
    table.add_row("workers killed", str(report.workers_killed))
    table.add_row("seconds", f"{report.seconds:.1f}")
    return table
