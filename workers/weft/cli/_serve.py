"""Commands that run: `weft worker` and `weft dev`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from weft.cli._context import Common, command
from weft.cli._load import Definitions, load
from weft.cli._parse import duration
from weft.errors import UsageError
from weft.log import Log
from weft.metrics import serve
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker

TargetArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A Python file, or a module's dotted name.")
]
ConcurrencyOption = Annotated[
    int, typer.Option("--concurrency", min=1, help="How many activities run at once.")
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        min=0,
        help="Serve /metrics, /healthz and /readyz there; 0 is any free port.",
    ),
]
_READY_POLL_S = 0.05
_DEV_PARTITIONS = 4


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "worker")(worker)
    command(app, "dev")(dev)


async def worker(
    common: Common,
    target: TargetArgument,
    workflows_only: Annotated[
        bool, typer.Option("--workflows-only", help="Leave task queues to others.")
    ] = False,
    activities_only: Annotated[
        bool, typer.Option("--activities-only", help="Leave workflows to others.")
    ] = False,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", help="Serve this task queue only. May be repeated."),
    ] = None,
    concurrency: ConcurrencyOption = 100,
    instance_id: Annotated[
        str | None,
        typer.Option("--instance-id", help="A name that a restart finds again (a pod's name)."),
    ] = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="Where to listen.")
    ] = "127.0.0.1",
    drain: Annotated[
        str, typer.Option("--drain", metavar="DURATION", help="How long a stop may take.")
    ] = "30s",
) -> None:
    """Serve the workflows and activities of a file, until stopped."""
    if workflows_only and activities_only:
        raise UsageError("--workflows-only and --activities-only exclude each other.")
    found = load(target)
    inline = [activity for activity in found.activities if activity.inline]
    log = common.settings.open_log()
    try:
        serving = Worker(
            log,
            namespace=common.settings.namespace,
            workflows=() if activities_only else found.workflows,
            activities=inline if workflows_only else found.activities,
            queues=() if workflows_only else queue,
            instance_id=instance_id,
            concurrency=concurrency,
            drain_s=duration(drain).total_seconds(),
        )
        with _metrics_server(common, serving, metrics_port, metrics_host):
            await _serve(common, serving, found, log)
    finally:
        log.close()


async def dev(
    common: Common,
    target: TargetArgument,
    concurrency: ConcurrencyOption = 100,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Serve a file on the embedded log: no Kafka, nothing to set up."""
    settings = common.settings.model_copy(update={"kafka": None})
    found = load(target)
    log = settings.open_log(may_create=True)
    try:
        _create_topics(log, settings.namespace, found)
        serving = Worker(
            log,
            namespace=settings.namespace,
            workflows=found.workflows,
            activities=found.activities,
            concurrency=concurrency,
        )
        with _metrics_server(common, serving, metrics_port, "127.0.0.1"):
            await _serve(common, serving, found, log)
    finally:
        log.close()


def _create_topics(log: Log, namespace_name: str, found: Definitions) -> None:
    namespace = Namespace(namespace_name)
    admin = log.admin()
    try:
        existing = admin.describe_topics([namespace.signals]).get(namespace.signals)
        partitions = existing.partitions if existing else _DEV_PARTITIONS
        queues = sorted({"default", *(activity.queue for activity in found.activities)})
        create(admin, catalogue(namespace, partitions=partitions, queues=queues))
    finally:
        admin.close()


@contextmanager
def _metrics_server(common: Common, serving: Worker, port: int | None, host: str) -> Iterator[None]:
    """Serve metrics meanwhile, where a port was given."""
    if port is None:
        yield
        return
    server = serve(
        serving.metrics,
        port,
        healthy=lambda: serving.healthy,
        ready=lambda: serving.ready,
        host=host,
    )
    common.output.note(f"metrics on http://{host}:{server.port}/metrics")
    try:
        yield
    finally:
        server.close()


async def _serve(common: Common, serving: Worker, found: Definitions, log: Log) -> None:
    logging.getLogger("weft").setLevel(logging.INFO)
    _stop_on_signals(serving)
    greeting = asyncio.create_task(_greet(common, serving, found, log))
    try:
        await serving.run()
    finally:
        greeting.cancel()


def _stop_on_signals(serving: Worker) -> None:
    loop = asyncio.get_running_loop()
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if signalled:
            os._exit(130)  # asked twice: nothing is lost, the next worker goes on
        signalled = True
        serving.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


async def _greet(common: Common, serving: Worker, found: Definitions, log: Log) -> None:
    """Say what is served once it is."""
    while not serving.ready:  # noqa: ASYNC110  # the loops that it asks are threads
        await asyncio.sleep(_READY_POLL_S)
    names = ", ".join(workflow.name for workflow in found.workflows) or "none"
    activities = ", ".join(activity.name for activity in found.activities) or "none"
    common.output.note(f"serving on {log.name}, namespace {common.settings.namespace}")
    common.output.note(f"workflows: {names}; activities: {activities}")
    if found.workflows:
        common.output.note(f"start one: weft start {found.workflows[0].name} --input JSON --wait")
