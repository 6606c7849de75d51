"""The command line `weft`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from weft.cli import (
    _deadletters,
    _doctor,
    _lint,
    _look,
    _payloads,
    _replay,
    _serve,
    _topics,
    _workflows,
)

app = typer.Typer(
    help="Durable workflows on the Kafka log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_serve.register(app)
_workflows.register(app)
_look.register(app)
_topics.register(app)
_deadletters.register(app)
_payloads.register(app)
_replay.register(app)
_doctor.register(app)
_lint.register(app)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"weft {version('weft')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Durable workflows on the Kafka log."""


def main() -> None:
    """Entry point of the `weft` command."""
    app()


__all__ = ["app", "main"]
