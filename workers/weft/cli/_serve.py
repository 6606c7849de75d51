"""Commands that run: `weft worker` and `weft dev`."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from typing import Annotated, Any

import typer

from weft.cli._context import Common, command
from weft.cli._example import example_input
from weft.cli._load import Definitions, load
from weft.cli._logging import log_of_a_worker, log_to_stderr
from weft.cli._output import Output
from weft.cli._parse import byte_count, duration
from weft.cli._processes import Processes
from weft.cli._settings import EMBEDDED_FILE, Settings
from weft.errors import UsageError, WeftError
from weft.log import Log
from weft.metrics import serve
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker

_GC_ALLOCATIONS = 50_000
_SPAWN = multiprocessing.get_context("spawn")

TargetArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A Python file, or a module's dotted name.")
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, help="How many activities run at once (default: 100)."),
]
ActivityProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--activity-processes",
        min=1,
        help="How many processes a worker process has for activities with process=True (default: one a core).",
    ),
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65535,
        help="Serve /metrics, /healthz and /readyz there; 0 is any free port.",
    ),
]
TurnMaxOption = Annotated[
    str | None,
    typer.Option(
        "--turn-max",
        metavar="DURATION",
        help="How long workflow code may run without an await (default: 5s).",
    ),
]
ProcessesOption = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        help="How many worker processes: one a core. Instance IDs end with -1, -2, ..., each has the next metrics "
        "port.",
    ),
]
HotMaxOption = Annotated[
    int | None,
    typer.Option(
        "--hot-max",
        min=1,
        help="Workflows of each partition that are kept ready in memory (default: 20000).",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="What this process keeps of its workflows in memory, such as 2GiB; the rest is read back from the log "
        "when it is needed (default: no bound).",
    ),
]
DrainOption = Annotated[
    str | None,
    typer.Option("--drain", metavar="DURATION", help="How long a stop may take (default: 30s)."),
]
_READY_POLL_S = 0.05
_DEV_PARTITIONS = 4


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app, "dev")(dev)
    command(app, "worker")(worker)


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
    concurrency: ConcurrencyOption = None,
    activity_processes: ActivityProcessesOption = None,
    instance_id: Annotated[
        str | None,
        typer.Option("--instance-id", help="A name that a restart finds again (a pod's name)."),
    ] = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: Annotated[
        str | None, typer.Option("--metrics-host", help="Where to listen (default: 127.0.0.1).")
    ] = None,
    drain: DrainOption = None,
    turn_max: TurnMaxOption = None,
    processes: ProcessesOption = 1,
    hot_max: HotMaxOption = None,
    memory: MemoryOption = None,
) -> None:
    """Serve the workflows and activities of a file, until stopped."""
    if workflows_only and (activities_only or queue):
        raise UsageError("--workflows-only excludes --activities-only and --queue.")
    settings = common.settings.override(
        concurrency=concurrency,
        activity_processes=activity_processes,
        instance_id=instance_id,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        drain=duration(drain) if drain else None,
        turn_max=duration(turn_max) if turn_max else None,
        hot_max=hot_max,
        memory=byte_count(memory) if memory else None,
    )
    queues = [] if workflows_only else queue
    served = _Served(target, activities_only, tuple(queues) if queues is not None else None)
    if processes == 1:
        await _work(replace(common, settings=settings), served)
        return
    load(target)  # what is wrong with it is told once

    def start(number: int) -> BaseProcess:
        own = _of_process(settings, number).model_dump()
        args = (own, served, common.output.as_json, common.options, common.debug)
        child = _SPAWN.Process(target=_work_alone, args=args, name=f"weft-{number}")
        child.start()
        return child

    if not await Processes(processes, start, common.output.note).run():
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Served:
    """What a worker process serves."""

    target: str
    activities_only: bool
    queues: tuple[str, ...] | None


async def _work(common: Common, served: _Served) -> None:
    found = load(served.target)
    if served.activities_only:
        found = Definitions([], found.activities)
    log = common.settings.open_log()
    try:
        # A workflow worker has the activities too: any of them may be called inline.
        queues = list(served.queues) if served.queues is not None else None
        await _serve(common, common.settings, log, found, queues=queues)
    finally:
        log.close()


def _of_process(settings: Settings, number: int) -> Settings:
    """One of several on this machine."""
    instance_id = settings.instance_id and f"{settings.instance_id}-{number}"
    port = settings.metrics_port and settings.metrics_port + number - 1
    return settings.model_copy(update={"instance_id": instance_id, "metrics_port": port})


def _work_alone(
    values: dict[str, Any], served: _Served, as_json: bool, options: frozenset[str], debug: bool
) -> None:
    """The main function of one of several processes. `values` are its settings, which were checked before."""
    log_to_stderr(debug=debug)
    settings = Settings.model_construct(**values)
    common = Common(settings, Output(as_json=as_json), options, debug)
    try:
        asyncio.run(_work(common, served))
    except WeftError as error:
        if debug:
            raise
        common.output.error(error)
        sys.exit(1)


async def dev(
    common: Common,
    target: TargetArgument,
    concurrency: ConcurrencyOption = None,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Serve a file on the embedded log: no Kafka, nothing to set up."""
    if "kafka" in common.options:
        raise UsageError("`weft dev` runs on the embedded log; `weft worker` takes --kafka.")
    settings = common.settings.override(concurrency=concurrency, metrics_port=metrics_port)
    settings = settings.model_copy(update={"kafka": None})
    found = load(target)
    log = settings.open_log(may_create=True)
    try:
        _create_topics(log, settings.namespace, found)
        await _serve(common, settings, log, found)
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


async def _serve(
    common: Common,
    settings: Settings,
    log: Log,
    found: Definitions,
    *,
    queues: list[str] | None = None,
) -> None:
    if not __debug__:
        raise UsageError("Weft checks itself with assertions: run it without `python -O`.")
    log_of_a_worker(debug=common.debug)
    # Thousands of runs and attempts come and go a second, in few cycles: looking for those as often as Python does by
    # default takes a quarter of a worker's time. What survives is looked at again every fifth time: more seldom is no
    # less work in all, and stops the worker for longer.
    gc.set_threshold(_GC_ALLOCATIONS, 5, 200)
    serving = Worker(
        log,
        namespace=settings.namespace,
        workflows=found.workflows,
        activities=found.activities,
        queues=queues,
        instance_id=settings.instance_id,
        concurrency=settings.concurrency,
        activity_processes=settings.activity_processes,
        drain_s=settings.drain.total_seconds(),
        turn_s_max=settings.turn_max.total_seconds(),
        lease_s=settings.lease.total_seconds(),
        hot_max=settings.hot_max,
        memory_bytes_max=settings.memory,
        payload_store=settings.payload_store,
        payload_bytes_max=settings.payload_bytes_max,
        payload_codecs=settings.codecs(),
    )
    with _metrics_server(common, settings, serving), _stopped_by_signals(common, serving):
        greeting = asyncio.create_task(_greet(common, settings, serving, found, log.name))
        try:
            await serving.run()
        finally:
            greeting.cancel()


@contextmanager
def _metrics_server(common: Common, settings: Settings, serving: Worker) -> Iterator[None]:
    """Serve metrics meanwhile, where a port was given."""
    if settings.metrics_port is None:
        yield
        return
    server = serve(
        serving.metrics,
        settings.metrics_port,
        healthy=lambda: serving.healthy,
        ready=lambda: serving.ready,
        host=settings.metrics_host,
    )
    common.output.note(f"metrics on http://{settings.metrics_host}:{server.port}/metrics")
    try:
        yield
    finally:
        server.close()


@contextmanager
def _stopped_by_signals(common: Common, serving: Worker) -> Iterator[None]:
    """SIGTERM and SIGINT drain the worker; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    signalled = False

    def stop(number: int) -> None:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)  # nothing is lost: another worker goes on where this one stopped
        signalled = True
        common.output.note("stopping: what is under way is finished first; again ends it at once")
        serving.stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _greet(
    common: Common, settings: Settings, serving: Worker, found: Definitions, log_name: str
) -> None:
    """Say what is served once it is."""
    while not serving.ready:  # noqa: ASYNC110  # the loops that it asks are threads
        await asyncio.sleep(_READY_POLL_S)
    workflows = [workflow.name for workflow in found.workflows]
    activities = [activity.name for activity in found.activities]
    if common.output.as_json:
        serves: dict[str, object] = {"log": log_name, "namespace": settings.namespace}
        common.output.document({**serves, "workflows": workflows, "activities": activities})
        return
    common.output.note(f"serving on {log_name}, namespace {settings.namespace}")
    common.output.note(f"  workflows   {', '.join(workflows) or 'none'}")
    common.output.note(f"  activities  {', '.join(activities) or 'none'}")
    for workflow in found.workflows[:1]:
        start = f"weft start {workflow.name}{example_input(workflow)} --wait{_options(settings)}"
        common.output.note(f"start one:  {start}")


def _options(settings: Settings) -> str:
    """What another command needs in order to find this log."""
    options = ""
    if settings.kafka:
        options += f" --kafka {shlex.quote(settings.kafka)}"
    elif settings.file != EMBEDDED_FILE or os.environ.get("WEFT_KAFKA"):
        options += f" --file {shlex.quote(str(settings.file))}"
    if settings.payload_store:
        options += f" --payload-store {shlex.quote(settings.payload_store)}"
    if settings.namespace != "default":
        options += f" --namespace {shlex.quote(settings.namespace)}"
    return options
