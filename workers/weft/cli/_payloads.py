"""The command about the payload store."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.cli._context import Common, command
from weft.cli._parse import duration
from weft.payloads import new_key


def register(app: typer.Typer) -> None:
    """Add `weft payloads ...` to the command line."""
    payloads = typer.Typer(
        help="Payloads: the store of those that are too large for a record, and their keys.",
        no_args_is_help=True,
    )
    command(payloads, "clean")(clean)
    command(payloads, "new-key")(new_encryption_key)
    app.add_typer(payloads, name="payloads")


def new_encryption_key(
    common: Common,
    id: Annotated[str, typer.Argument(metavar="ID", help="The key's name, such as 2026-01.")],
) -> None:
    """Make a key to encrypt payloads with: a line for the file that WEFT_ENCRYPTION_KEYS_FILE names."""
    line = new_key(id)
    key_id, _, key = line.partition(" ")
    common.output.answer(line, {"id": key_id, "key": key})


async def clean(
    common: Common,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="Only what was stored longer ago: more than the topics keep their records.",
        ),
    ] = "8d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
) -> None:
    """Delete stored payloads that no workflow refers to."""
    async with common.client() as client:
        found = await client.clean_payloads(duration(older_than), dry_run=dry_run)
    size_bytes = sum(one.bytes for one in found)
    if common.output.as_json:
        keys = [one.key for one in found]
        common.output.document({"deleted": not dry_run, "bytes": size_bytes, "keys": keys})
        return
    for one in found if dry_run else ():
        common.output.text(one.key)
    what = "would be deleted" if dry_run else "deleted"
    common.output.text(f"{len(found)} payloads of {size_bytes:,} bytes {what}")
