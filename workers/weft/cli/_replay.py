"""The command that keeps code from being deployed that does not fit the runs under way: replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli._context import Common, command
from weft.cli._load import load
from weft.errors import NondeterminismError
from weft.workflow import Workflows

if TYPE_CHECKING:
    from weft.testing import History


@dataclass(frozen=True, slots=True)
class _Replayed:
    """One history, and whether the code fits it."""

    file: str
    workflow_id: str
    run_id: str
    workflow: str
    event_count: int
    fits: bool
    event_id: int = 0
    """Where it differs; 0 is at its end."""
    expected: str = ""
    actual: str = ""
    message: str = ""


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    command(app, "replay")(replay)


def replay(
    common: Common,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Histories, as `weft history ID --download FILE` writes them, or folders of them.",
        ),
    ],
    workflows: Annotated[
        list[str],
        typer.Option(
            "--workflows",
            metavar="TARGET",
            help="A Python file or a module with the workflows, as for `weft worker`. May be repeated.",
        ),
    ],
) -> None:
    """Replay recorded histories against the present code; exit status 1 when one does not fit."""
    from weft.testing import read_histories  # noqa: PLC0415  # workers need no test kit

    known = Workflows(one for target in workflows for one in load(target).workflows)
    replayed = list(_replayed(read_histories(files), known))
    differing_count = sum(not one.fits for one in replayed)
    if common.output.as_json:
        common.output.document(
            {"replayed": len(replayed), "differing": differing_count, "histories": replayed}
        )
    else:
        _print(common, replayed, differing_count)
    if differing_count:
        raise typer.Exit(1)


def _replayed(histories: Iterator[History], known: Workflows) -> Iterator[_Replayed]:
    from weft.testing import check  # noqa: PLC0415  # workers need no test kit

    for history in histories:
        about = (
            history.source,
            history.workflow_id,
            history.run_id,
            history.workflow,
            len(history.events),
        )
        try:
            check(history, known)
        except NondeterminismError as error:
            yield _Replayed(
                *about,
                fits=False,
                event_id=error.event_id,
                expected=error.expected,
                actual=error.actual,
                message=str(error),
            )
        else:
            yield _Replayed(*about, fits=True)


def _print(common: Common, replayed: Sequence[_Replayed], differing_count: int) -> None:
    common.output.table(
        ("FILE", "ID", "WORKFLOW", "EVENTS", "FITS"),
        [
            (one.file, one.workflow_id, one.workflow, one.event_count, "yes" if one.fits else "no")
            for one in replayed
        ],
    )
    for one in replayed:
        if not one.fits:
            common.output.text(f"\n{one.message}")
    text = f"{differing_count} differ" if differing_count else "all fit"
    common.output.text(f"\n{len(replayed)} replayed, {text}")
