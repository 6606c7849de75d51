"""Commands about workflows: start them, ask them, tell them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from weft.cli._context import Common, command
from weft.cli._history import history_rows
from weft.cli._output import failure_text, plain
from weft.cli._parse import duration, json_value
from weft.client import WorkflowDescription
from weft.errors import UsageError

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The workflow's ID.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Kept in the history.")]
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


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "start")(start)
    command(app, "result")(result)
    command(app, "signal")(signal)
    command(app, "cancel")(cancel)
    command(app, "terminate")(terminate)
    command(app, "list")(list_workflows)
    command(app, "show")(show)
    command(app, "history")(history)
    command(app, "purge")(purge)


async def start(
    common: Common,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    input: Annotated[str, typer.Option("--input", metavar="JSON", help="Its input.")] = "null",
    id: Annotated[str | None, typer.Option("--id", help="Its ID (default: a new one).")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="How long the whole run may take."),
    ] = None,
    on_conflict: Annotated[
        Literal["fail", "use_existing", "terminate_existing"],
        typer.Option("--on-conflict", help="What to do when one of this ID is running."),
    ] = "fail",
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", help="Starting twice with one request ID is one run."),
    ] = None,
) -> None:
    """Start a workflow."""
    value = json_value(input, "--input")
    limit = duration(timeout) if timeout else None
    async with common.client() as client:
        handle = await client.start(
            workflow,
            value,
            id=id,
            timeout=limit,
            on_conflict=on_conflict,
            request_id=request_id,
        )
        started = {"id": handle.id, "run_id": handle.run_id}
        if wait:
            if not common.output.as_json:
                common.output.note(
                    f"started {handle.id}, run {handle.run_id}; waiting for its result"
                )
            _show_result(common, {**started, "result": await handle.result()})
        elif common.output.as_json:
            common.output.document(started)
        else:
            common.output.text(f"started {handle.id}, run {handle.run_id}")


async def result(
    common: Common,
    id: IdArgument,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for it.")
    ] = "60s",
) -> None:
    """Wait for a workflow's result and print it."""
    async with common.client() as client:
        handle = client.handle(id)
        value = await handle.result(timeout=duration(timeout))
        _show_result(common, {"id": id, "run_id": handle.run_id, "result": value})


def _show_result(common: Common, document: dict[str, Any]) -> None:
    if common.output.as_json:
        common.output.document(document)
    else:
        common.output.value(document["result"])


async def signal(
    common: Common,
    id: IdArgument,
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    payload: Annotated[
        str, typer.Option("--payload", metavar="JSON", help="What it carries.")
    ] = "null",
    signal_id: Annotated[
        str | None, typer.Option("--signal-id", help="Signals of one ID are received once.")
    ] = None,
) -> None:
    """Send a signal to a running workflow."""
    value = json_value(payload, "--payload")
    async with common.client() as client:
        await client.handle(id).signal(name, value, id=signal_id)
    _done(common, f"signal {name} is received by {id}", id=id, signal=name)


async def cancel(common: Common, id: IdArgument, reason: ReasonOption = "") -> None:
    """Ask a workflow to end; it may clean up first."""
    async with common.client() as client:
        await client.handle(id).cancel(reason)
    _done(common, f"{id} is asked to end", id=id, cancelled=True)


async def terminate(common: Common, id: IdArgument, reason: ReasonOption = "") -> None:
    """End a workflow at once; its code sees nothing."""
    async with common.client() as client:
        await client.handle(id).terminate(reason)
    _done(common, f"{id} is terminated", id=id, terminated=True)


async def list_workflows(
    common: Common,
    filter_status: Annotated[
        str | None,
        typer.Option("--filter-status", metavar="STATUS", help="Only those with this status."),
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
    headings = ("ID", "WORKFLOW", "STATUS", "STARTED (UTC)", "UPDATED (UTC)", "EVENTS", "REASON")
    common.output.table(
        headings,
        [
            (
                one.workflow_id,
                one.workflow,
                one.status,
                one.created,
                one.updated,
                one.event_count,
                one.reason,
            )
            for one in found
        ],
    )


async def show(common: Common, id: IdArgument) -> None:
    """Show a workflow: how it stands, and what it waits for."""
    async with common.client() as client:
        description = await client.handle(id).describe()
    if common.output.as_json:
        common.output.document(description)
        return
    common.output.table(("", ""), _description_rows(description))
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
    if description.timers:
        common.output.text("\nwaits for timers")
        common.output.table(
            ("NUMBER", "DUE (UTC)"), [(timer.timer_id, timer.due) for timer in description.timers]
        )


def _description_rows(description: WorkflowDescription) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        (name.replace("_", " "), value)
        for name in _DESCRIPTION_FIELDS
        if (value := getattr(description, name)) not in (None, "")
    ]
    rows.append(("input", plain(description.input)))
    if description.status == "completed":
        rows.append(("result", plain(description.result)))
    if description.failure is not None:
        rows.append(("failure", failure_text(description.failure)))
    return rows


async def history(common: Common, id: IdArgument) -> None:
    """Show everything that happened to a workflow, in its order."""
    async with common.client() as client:
        handle = client.handle(id)
        events = await handle.history()
    if common.output.as_json:
        common.output.document({"id": id, "events": events})
        return
    common.output.table(("EVENT", "TIME (UTC)", "TYPE", "WHAT"), history_rows(events))


async def purge(
    common: Common,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ended workflows.")
    ] = None,
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
    began = datetime.now(UTC)
    async with common.client() as client:
        if ids:
            for one in ids:
                await client.purge(one)
            count = len(ids)
        else:
            count = await client.purge_ended(duration(older_than) if older_than else 0)
    seconds = (datetime.now(UTC) - began).total_seconds()
    _done(common, f"{count} purged in {seconds:.1f} s", purged=count)


def _done(common: Common, text: str, **document: object) -> None:
    if common.output.as_json:
        common.output.document(document)
    else:
        common.output.text(text)
