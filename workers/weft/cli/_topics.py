"""Commands about topics."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.cli._context import Common, command
from weft.log import TopicInfo, TopicSpec
from weft.topics import Namespace, Problem, catalogue, check, create, partition_count, queues

QueueOption = Annotated[
    list[str] | None,
    typer.Option("--queue", help="A task queue (default: default). May be repeated."),
]
ReplicationOption = Annotated[
    int, typer.Option("--replication", help="Copies of each partition; -1 is the broker's default.")
]


def register(app: typer.Typer) -> None:
    """Add `weft topics ...` to the command line."""
    topics = typer.Typer(
        help="Create, check and describe the topics of a namespace.", no_args_is_help=True
    )
    command(topics, "create")(create_topics)
    command(topics, "check")(check_topics)
    command(topics, "describe")(describe_topics)
    app.add_typer(topics, name="topics")


def create_topics(
    common: Common,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            min=1,
            help="The same for every topic, for good (default: as they have, or 8).",
        ),
    ] = None,
    queue: QueueOption = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="A topic of yours, to publish to. May be repeated."),
    ] = None,
    replication: ReplicationOption = -1,
) -> None:
    """Create the topics that are missing: Weft's own, and those that are named."""
    namespace = Namespace(common.settings.namespace)
    log = common.settings.open_log(may_create=True)
    admin = log.admin()
    try:
        if partitions is None:
            found = admin.describe_topics([namespace.signals]).get(namespace.signals)
            partitions = found.partitions if found else 8
        specs = catalogue(
            namespace, partitions=partitions, queues=queue or ["default"], replication=replication
        )
        created = create(admin, specs)
        own = [TopicSpec(name, partitions, replication=replication) for name in topic or ()]
        created += admin.create_topics(own)
    finally:
        admin.close()
        log.close()
    text = f"created with {partitions} partitions each: {', '.join(created)}"
    common.output.answer(
        text if created else "all topics are there",
        {"created": created, "partitions": partitions},
    )


def check_topics(common: Common, queue: QueueOption = None) -> None:
    """Say what is wrong with the topics, and how to mend it; exit status 1 if anything is."""
    problems, _ = _problems_and_infos(common, queue)
    text = "\n".join(str(problem) for problem in problems)
    common.output.answer(text or "all topics are as they should be", {"problems": problems})
    if problems:
        raise typer.Exit(1)


def describe_topics(common: Common, queue: QueueOption = None) -> None:
    """Show the topics as they are."""
    _, infos = _problems_and_infos(common, queue)
    if common.output.as_json:
        common.output.document(infos)
        return
    common.output.table(
        ("TOPIC", "PARTITIONS", "POLICY", "RETENTION", "REPLICATION", "RECORD BYTES MAX"),
        [
            (
                info.name,
                info.partitions,
                "compact" if info.compacted else "delete",
                _retention(info),
                info.replication,
                info.record_bytes_max,
            )
            for info in infos
        ],
    )


def _problems_and_infos(
    common: Common, queue: list[str] | None
) -> tuple[list[Problem], list[TopicInfo]]:
    """What is wrong with the namespace's topics, and how they are. Raises TopicError when there are none."""
    namespace = Namespace(common.settings.namespace)
    log = common.settings.open_log()
    admin = log.admin()
    try:
        count = partition_count(admin, namespace)
        found_queues = queues(admin, namespace)
        specs = catalogue(namespace, partitions=count, queues=queue or found_queues or ["default"])
        infos = admin.describe_topics([spec.name for spec in specs])
        return check(admin, specs), [infos[spec.name] for spec in specs if spec.name in infos]
    finally:
        admin.close()
        log.close()


def _retention(info: TopicInfo) -> str:
    if info.compacted or info.retention_ms is None:
        return "-"
    if info.retention_ms < 0:
        return "for ever"
    hours = info.retention_ms / 3_600_000
    return f"{hours / 24:g} d" if hours >= 24 else f"{hours:g} h"
