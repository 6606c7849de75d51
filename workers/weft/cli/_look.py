"""Commands that look at workflows, and the one that deletes them: list, show, history, purge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from weft.cli._context import Common, command
from weft.cli._history import history_rows
from weft.cli._output import failure_text, json_text
from weft.cli._parse import duration
from weft.cli._workflows import IdArgument
from weft.client import (
    ChildDescription,
    Client,
    WorkflowDescription,
    WorkflowSummary,
    history_document,
)
from weft.codec import encode
from weft.errors import UsageError, WeftError
from weft.payloads import text_of
from weft.records import Payload, WorkflowStarted

_DESCRIPTION_FIELDS = (
    "workflow_id",
    "run_id",
    "workflow",
    "version",
    "status",
    "created",
    "updated",
    "deadline",
    "event_count",
    "reason",
)

_OPEN = frozenset({"starting", "running", "waiting"})
_CHILDREN_MAX = 50

FullOption = Annotated[
    bool, typer.Option("--full", help="Fetch payloads that lie in the payload store.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "list")(list_workflows)
    command(app, "show")(show)
    command(app, "history")(history)
    command(app, "purge")(purge)


async def list_workflows(
    common: Common,
    filter_status: Annotated[
        str | None,
        typer.Option(
            "--status", "--filter-status", metavar="STATUS", help="Only those with this status."
        ),
    ] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", help="Only those of this name.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="At most so many, newest first.")
    ] = 100,
) -> None:
    """List workflows, newest first."""
    async with common.client() as client:
        found = await client.list(filter_status, limit, workflow)
    if common.output.as_json:
        common.output.document(found)
        return
    if not found:
        common.output.text("no workflows")
        return
    headings = ["ID", "WORKFLOW", "STATUS", "STARTED (UTC)", "UPDATED (UTC)", "EVENTS", "REASON"]
    rows = [_summary_row(one) for one in found]
    if any(one.custom_status is not None for one in found):
        headings.append("CUSTOM STATUS")
        rows = [
            (*row, "" if one.custom_status is None else _value_text(one.custom_status))
            for row, one in zip(rows, found, strict=True)
        ]
    common.output.table(headings, rows)


def _summary_row(one: WorkflowSummary) -> tuple[object, ...]:
    return (
        one.workflow_id,
        f"{one.workflow} {one.version}".rstrip(),
        one.status,
        one.created,
        one.updated,
        one.event_count,
        one.reason,
    )


async def show(common: Common, id: IdArgument, full: FullOption = False) -> None:
    """Show a workflow: how it stands, and what it waits for."""
    async with common.client() as client:
        description = await client.handle(id).describe(full=full)
    if common.output.as_json:
        common.output.document(description)
        return
    common.output.fields(_description_rows(description))
    if description.activities:
        common.output.text("\nwaits for activities")
        common.output.table(
            ("NUMBER", "ACTIVITY", "QUEUE", "ATTEMPT", "DUE (UTC)"),
            [
                (
                    one.activity_id,
                    one.activity,
                    one.queue,
                    f"{one.attempt} of {one.attempts_max}",
                    one.due,
                )
                for one in description.activities
            ],
        )
    if description.children:
        _show_children(common, description.children)
    if description.timers:
        common.output.text("\nwaits for timers")
        common.output.table(
            ("NUMBER", "DUE (UTC)"), [(timer.timer_id, timer.due) for timer in description.timers]
        )
    if description.updates:
        common.output.text("\nupdates in flight")
        common.output.table(
            ("ID", "UPDATE", "STATUS", "SINCE (UTC)"),
            [(one.update_id, one.update, one.status, one.since) for one in description.updates],
        )
    if description.status == "running" and not _asked_for(description):
        common.output.text(
            "\nhas asked for nothing that is open: it waits for a signal, an update or a condition of its code, or for "
            "a worker"
        )


def _asked_for(description: WorkflowDescription) -> bool:
    """Whether something is open that the history tells of: what code awaits beside that, only the code knows."""
    is_child_open = any(child.status in _OPEN for child in description.children)
    return is_child_open or bool(
        description.activities or description.timers or description.updates
    )


def _show_children(common: Common, children: Sequence[ChildDescription]) -> None:
    """Those that are open first: they are what it waits for."""
    common.output.text("\nchildren")
    shown = sorted(children, key=lambda child: child.status not in _OPEN)[:_CHILDREN_MAX]
    common.output.table(
        ("NUMBER", "ID", "WORKFLOW", "NAMESPACE", "STATUS", "RUN", "ATTEMPT", "REASON"),
        [
            (
                child.child_id,
                child.workflow_id,
                child.workflow,
                child.namespace,
                child.status,
                child.run_id,
                f"{child.attempt} of {child.attempts_max}",
                child.reason,
            )
            for child in shown
        ],
    )
    if len(children) > len(shown):
        common.output.text(f"and {len(children) - len(shown)} more; --json tells all")


def _description_rows(description: WorkflowDescription) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        (name.replace("_", " "), value)
        for name in _DESCRIPTION_FIELDS
        if (value := getattr(description, name)) not in (None, "")
    ]
    if description.custom_status is not None:
        rows.append(("custom status", _value_text(description.custom_status)))
    if description.parent is not None:
        parent = description.parent
        rows.append(("parent", f"{parent.workflow_id} in {parent.namespace}, run {parent.run_id}"))
    if description.continued_from:
        rows.append(
            ("continues", f"run {description.continued_from}, as number {description.run_number}")
        )
    if description.patches:
        rows.append(("patches", ", ".join(description.patches)))
    rows.append(("input", _value_text(description.input)))
    if description.status == "completed":
        rows.append(("result", _value_text(description.result)))
    if description.failure is not None:
        rows.append(("failure", failure_text(description.failure)))
    return rows


def _value_text(value: object) -> str:
    """A value for people; one that this process could not decode is told by its key."""
    if isinstance(value, dict) and value.keys() == {"$weft.encoded"}:
        return f"<{text_of(Payload(encode(value)))}>"
    return json_text(value)


async def history(
    common: Common,
    id: IdArgument,
    full: FullOption = False,
    download: Annotated[
        Path | None,
        typer.Option(
            "--download",
            metavar="FILE",
            help="Write it to a file that `weft replay` reads, with all payloads.",
        ),
    ] = None,
) -> None:
    """Show everything that happened to a workflow, in its order."""
    async with common.client() as client:
        handle = client.handle(id)
        events = await handle.history(full=full or download is not None)
    started = events[0]
    assert isinstance(started, WorkflowStarted), "every history begins with it"
    document = history_document(id, started.run_id, events)
    if download is not None:
        try:
            download.write_text(json_text(document) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{download} cannot be written: {error.strerror}") from None
        about = {"workflow_id": id, "run_id": started.run_id, "file": str(download)}
        text = f"{len(events)} events of {id} written to {download}"
        common.output.answer(text, {**about, "events": len(events)})
        return
    if common.output.as_json:
        common.output.document(document)
        return
    common.output.table(("EVENT", "TIME (UTC)", "TYPE", "WHAT"), history_rows(events))


async def purge(
    common: Common,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ended workflows.")] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DURATION", help="All that ended longer ago than this."
        ),
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that have ended.")] = False,
) -> None:
    """Delete ended workflows and their histories for good."""
    if bool(ids) + bool(older_than) + all != 1:
        raise UsageError("purge needs either IDs, or --older-than DURATION, or --all.")
    async with common.client() as client:
        if ids:
            count = await _purge_each(client, ids)
        else:
            count = await client.purge_ended(duration(older_than) if older_than else 0)
    common.output.answer(f"{count} purged", {"purged": count})


async def _purge_each(client: Client, ids: Sequence[str]) -> int:
    """All that can be purged are; what kept the others from it is told at the end."""
    errors: list[WeftError] = []
    for one in ids:
        try:
            await client.purge(one)
        except WeftError as error:
            errors.append(error)
    if len(ids) == len(errors) == 1:
        raise errors[0]
    if errors:
        texts = "\n".join(str(error) for error in errors)
        raise UsageError(f"{len(ids) - len(errors)} of {len(ids)} purged.\n{texts}")
    return len(ids)
