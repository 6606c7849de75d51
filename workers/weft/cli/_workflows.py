"""Commands that ask something of workflows, or for something: from `start` to `unblock`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Literal

import typer

from weft.cli._context import Common, command
from weft.cli._output import json_text
from weft.cli._parse import duration, json_value
from weft.client import Client, Handle
from weft.errors import DeadlineError, RefusedError, UnknownWorkflowError, UsageError, WeftError

_LOOKS_S = (2, 10, 60, 600)
"""Waits between two looks at a run whose result is waited for."""
_AT_ONCE = 100
"""Requests of one command that wait for their answers together."""
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The workflow's ID.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Kept in the history.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "start")(start)
    command(app, "result")(result)
    command(app, "signal")(signal)
    command(app, "query")(query)
    command(app, "update")(update)
    command(app, "cancel")(cancel)
    command(app, "suspend")(suspend)
    command(app, "resume")(resume)
    command(app, "reset")(reset)
    command(app, "terminate")(terminate)
    command(app, "unblock")(unblock)


async def start(
    common: Common,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.")],
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
    version: Annotated[
        str | None,
        typer.Option("--version", help="The version that it must have (default: the newest)."),
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
            version=version,
        )
        started = {"workflow_id": handle.id, "run_id": handle.run_id}
        text = f"started {handle.id}, run {handle.run_id}"
        if wait:
            if not common.output.as_json:
                common.output.note(f"{text}; waiting for its result")
            _show_result(common, {**started, "result": await _end_of(common, handle)})
        else:
            common.output.answer(text, started)


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
        value = await _end_of(common, handle, duration(timeout))
        _show_result(common, {"workflow_id": id, "run_id": handle.run_id, "result": value})


async def _end_of(common: Common, handle: Handle[Any], timeout: timedelta | None = None) -> Any:
    """The result. Whoever waits for a run that does not go on by itself is told so, once."""
    waiting = asyncio.create_task(handle.result(timeout=timeout))
    for pause_s in _LOOKS_S:
        await asyncio.wait([waiting], timeout=pause_s)
        if waiting.done() or common.output.as_json:
            break
        with suppress(
            WeftError
        ):  # nothing to tell yet; what matters will be told by the wait itself
            told = await handle.describe()
            if told.status in ("blocked", "suspended"):
                reason = f": {told.reason}" if told.reason else ""
                common.output.note(f"{handle.id} is {told.status}{reason}")
                break
    return await waiting


def _show_result(common: Common, document: dict[str, Any]) -> None:
    common.output.answer(json_text(document["result"]), document)


async def signal(
    common: Common,
    id: IdArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
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
    common.output.answer(f"{id} has signal {name}", {"workflow_id": id, "signal": name})


async def query(
    common: Common,
    id: IdArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The query's name.")],
    payload: Annotated[
        str, typer.Option("--payload", metavar="JSON", help="The value it takes.")
    ] = "null",
) -> None:
    """Ask a running workflow's code, and print what it tells."""
    value = json_value(payload, "--payload")
    async with common.client() as client:
        told = await client.handle(id).query(name, value)
    common.output.answer(json_text(told), {"workflow_id": id, "query": name, "answer": told})


async def update(
    common: Common,
    id: IdArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The update's name.")],
    payload: Annotated[
        str, typer.Option("--payload", metavar="JSON", help="The value it takes.")
    ] = "null",
    update_id: Annotated[
        str | None,
        typer.Option(
            "--update-id", help="Updates of one ID are one; sent again, it tells what came of it."
        ),
    ] = None,
    wait: Annotated[
        Literal["accepted", "completed"],
        typer.Option("--wait", help="Wait until it is taken up, or until it is done."),
    ] = "completed",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for that.")
    ] = "10s",
) -> None:
    """Have a running workflow's code check a value and take it up; print its answer."""
    value = json_value(payload, "--payload")
    async with common.client() as client:
        answer = await client.handle(id).update(
            name, value, id=update_id, wait=wait, timeout=duration(timeout)
        )
    document = {"workflow_id": id, "update": name}
    if wait == "accepted":
        common.output.answer(
            f"{id} has taken up {name}, ID {answer}", {**document, "update_id": answer}
        )
    else:
        common.output.answer(json_text(answer), {**document, "answer": answer})


async def cancel(common: Common, id: IdArgument, reason: ReasonOption = "") -> None:
    """Ask a workflow to end; it may clean up first."""
    async with common.client() as client:
        await client.handle(id).cancel(reason)
    common.output.answer(f"{id} is asked to end", {"workflow_id": id, "cancelled": True})


async def suspend(common: Common, id: IdArgument, reason: ReasonOption = "") -> None:
    """Hold a workflow where it is, until it is resumed; what comes in is kept."""
    async with common.client() as client:
        await client.handle(id).suspend(reason)
    common.output.answer(f"{id} is suspended", {"workflow_id": id, "suspended": True})


async def resume(common: Common, id: IdArgument) -> None:
    """Let a suspended workflow go on with what came meanwhile."""
    async with common.client() as client:
        await client.handle(id).resume()
    common.output.answer(f"{id} goes on", {"workflow_id": id, "resumed": True})


async def reset(
    common: Common,
    id: IdArgument,
    to_event: Annotated[
        int,
        typer.Option(
            "--to-event",
            metavar="N",
            help="The last event that is kept, as `weft history` numbers them.",
        ),
    ],
    reason: ReasonOption = "",
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="The run that is meant (default: the newest).")
    ] = None,
) -> None:
    """Let a workflow, ended or not, go on as a next run from an event of its history."""
    async with common.client() as client:
        next_run_id = await client.handle(id).reset(to_event, reason, run_id=run_id or "")
    common.output.answer(
        f"{id} goes on from event {to_event} as run {next_run_id}",
        {"workflow_id": id, "run_id": next_run_id, "to_event": to_event},
    )


async def terminate(common: Common, id: IdArgument, reason: ReasonOption = "") -> None:
    """End a workflow at once; its code sees nothing."""
    async with common.client() as client:
        await client.handle(id).terminate(reason)
    common.output.answer(f"{id} is terminated", {"workflow_id": id, "terminated": True})


async def unblock(
    common: Common,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Blocked workflows.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that are blocked.")] = False,
    workflow: Annotated[
        str | None, typer.Option("--workflow", help="With --all: only those of this name.")
    ] = None,
) -> None:
    """Try blocked workflows again, by replay; exit status 1 if any of them stays blocked."""
    if bool(ids) == all:
        raise UsageError("unblock needs either IDs, or --all.")
    if workflow is not None and not all:
        raise UsageError("--workflow goes with --all.")
    async with common.client() as client:
        if ids and len(ids) == 1:
            status = await client.handle(ids[0]).unblock()
            document = {"workflow_id": ids[0], "status": status, "why_not": None}
            common.output.answer(f"{ids[0]} is {status}", [document])
            return
        if all:
            ids = [one.workflow_id for one in await client.list("blocked", workflow=workflow)]
        answers = await _unblock_each(client, ids or [])
    if common.output.as_json:
        common.output.document(answers)
    elif not answers:
        common.output.text("no workflow is blocked")
    else:
        headings = ("ID", "STATUS", "WHY NOT")
        common.output.table(headings, [tuple(answer.values()) for answer in answers])
    if any(answer["why_not"] for answer in answers):
        raise typer.Exit(1)


async def _unblock_each(client: Client, ids: Sequence[str]) -> list[dict[str, str | None]]:
    """What became of each, in the order given: its status, and why it could not be unblocked."""
    answers: list[dict[str, str | None]] = []
    for first in range(0, len(ids), _AT_ONCE):
        chunk = ids[first : first + _AT_ONCE]
        answers += await asyncio.gather(*(_unblock_one(client, one) for one in chunk))
    return answers


async def _unblock_one(client: Client, id: str) -> dict[str, str | None]:
    try:
        status: str | None = await client.handle(id).unblock()
    except (RefusedError, UnknownWorkflowError, DeadlineError) as error:
        return {"workflow_id": id, "status": None, "why_not": str(error)}
    return {"workflow_id": id, "status": status, "why_not": None}
