"""`weft doctor`: is a namespace well? Topics, owners, how evenly the load lies, hot workflows, dead letters."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import typer

from weft.cli._context import Common, command
from weft.cli._load_shares import Sample, hot_keys, skewed
from weft.client import Client, WorkflowSummary
from weft.codec import decode_claim
from weft.errors import DeadlineError, RefusedError, UnknownWorkflowError
from weft.log import FROM_START, Admin, Log, last
from weft.topics import Namespace, catalogue, check, partition_count, partition_of, queues

Level = Literal["ok", "warning", "error"]

_SAMPLE_MAX = 2000
"""The newest records of each partition that are looked at."""
_READ_TIMEOUT_S = 10.0
_UNDECIDED_S = 3.0
"""What a worker has claimed a moment ago shall be seen."""
_REASON_MAX = 300
_ANSWER_S = 5.0
"""How long a worker has to answer for a partition: a rebalance may be under way."""
_RECENT_S = 3600.0
_MARKS: dict[Level, str] = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty where nothing need be done."""

    level: Level
    what: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    """Add `weft doctor` to the command line."""
    command(app, "doctor")(doctor)


def doctor(common: Common) -> None:
    """Look for what is wrong or will be: topics, owners, uneven load, hot workflows, dead letters.

    Exit status 1 when something is wrong; warnings leave it at 0.
    """
    namespace = Namespace(common.settings.namespace)
    log = common.settings.open_log()
    admin = log.admin()
    try:
        findings = list(_findings(log, admin, namespace))
    finally:
        admin.close()
        log.close()
    lines = [f"{_MARKS[one.level]} {one.what}" + f" {one.advice}".rstrip() for one in findings]
    common.output.answer("\n".join(lines), {"findings": findings})
    if any(one.level == "error" for one in findings):
        raise typer.Exit(1)


def _findings(log: Log, admin: Admin, namespace: Namespace) -> Iterator[Finding]:
    count = partition_count(admin, namespace)
    specs = catalogue(namespace, partitions=count, queues=queues(admin, namespace) or ["default"])
    problems = check(admin, specs)
    yield from (Finding("error", str(problem)) for problem in problems)
    if problems:
        return
    yield Finding("ok", f"{len(specs)} topics with {count} partitions each")
    yield from _owners(log, namespace, count)
    yield from _blocked(log, namespace)
    for topic, whose in ((namespace.signals, "signals"), (namespace.results, "results")):
        yield from _load(_sample(log, topic, count), whose)
    yield from _dead_letters(log, namespace, count)


def _owners(log: Log, namespace: Namespace, count: int) -> Iterator[Finding]:
    """Who claimed each partition last. Whether they live is the group's knowledge, and the metrics'."""
    reader = log.reader()
    try:
        offsets = {(namespace.owners, number): FROM_START for number in range(count)}
        owner_by_partition = {
            record.partition: decode_claim(record.value).instance_id
            for record in reader.read_to_end(offsets, _READ_TIMEOUT_S, undecided_s=_UNDECIDED_S)
            if record.value is not None
        }
    finally:
        reader.close()
    unowned = sorted(set(range(count)) - owner_by_partition.keys())
    if unowned:
        yield Finding(
            "warning",
            f"partitions {', '.join(map(str, unowned))} were never served.",
            "Start a worker with workflows (`weft worker FILE`).",
        )
    if owner_by_partition:
        owners = sorted(set(owner_by_partition.values()))
        yield Finding(
            "ok",
            f"{_counted(len(owner_by_partition), 'partition')}, last claimed by "
            f"{_counted(len(owners), 'worker')}: {', '.join(owners)}",
        )
    yield from _silent(log, namespace, sorted(owner_by_partition), count)


def _silent(
    log: Log, namespace: Namespace, partitions: Sequence[int], count: int
) -> Iterator[Finding]:
    """Who claimed a partition may be gone: each is asked for a workflow that is not there, which its owner says."""

    async def silent() -> list[int]:
        async with Client(log, namespace=namespace.name) as client:
            answers = await asyncio.gather(
                *(_answers(client, _probe_id(number, count)) for number in partitions)
            )
        return [number for number, answer in zip(partitions, answers, strict=True) if not answer]

    found = asyncio.run(silent())
    if found:
        yield Finding(
            "warning",
            f"no worker answers for partitions {', '.join(map(str, found))} (within {_ANSWER_S:g} s): their workflows "
            "stand still.",
            "Start a worker with workflows (`weft worker FILE`), or see why it does not serve them.",
        )


async def _answers(client: Client, workflow_id: str) -> bool:
    try:
        await client.handle(workflow_id).query("doctor", timeout_s=_ANSWER_S)
    except DeadlineError:
        return False
    except (UnknownWorkflowError, RefusedError):
        pass
    return True


def _probe_id(number: int, count: int) -> str:
    """An ID that belongs to this partition, and to no workflow."""
    ids = (f"weft-doctor-{place}" for place in itertools.count())
    return next(one for one in ids if partition_of(one.encode(), count) == number)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _cut(reason: str) -> str:
    return reason if len(reason) <= _REASON_MAX else f"{reason[:_REASON_MAX]}..."


def _blocked(log: Log, namespace: Namespace) -> Iterator[Finding]:
    """Workflows whose code cannot go on, together where they are of one name and version."""

    async def blocked() -> list[WorkflowSummary]:
        async with Client(log, namespace=namespace.name) as client:
            return await client.list("blocked")

    found: dict[tuple[str, str], list[WorkflowSummary]] = {}
    for one in asyncio.run(blocked()):
        found.setdefault((one.workflow, one.version), []).append(one)
    if not found:
        yield Finding("ok", "no workflow is blocked")
    for (workflow, version), summaries in sorted(found.items()):
        what = f"{workflow} in version {version}" if version else workflow
        first = summaries[0]
        runs = f"{_counted(len(summaries), 'run')} of {what}"
        yield Finding(
            "warning",
            f"{runs} blocked, such as {first.workflow_id!r}: {_cut(first.reason)}",
            "`weft list --status blocked` lists them.",
        )


def _sample(log: Log, topic: str, count: int) -> Sample:
    """The newest records of every partition: their keys, and how fast they came."""
    reader = log.reader()
    sample = Sample(count, time.time())
    try:
        offsets = {(topic, number): last(_SAMPLE_MAX) for number in range(count)}
        for record in reader.read_to_end(offsets, _READ_TIMEOUT_S):
            sample.add(record.partition, record.key or b"", record.timestamp_ms / 1000)
    finally:
        reader.close()
    return sample


def _load(sample: Sample, whose: str) -> Iterator[Finding]:
    found = False
    for number, per_s, others_per_s in skewed(sample):
        found = True
        yield Finding(
            "warning",
            f"partition {number} gets {per_s:.1f} {whose} a second, the others {others_per_s:.1f} on average.",
            "One owner serves it alone: spread the workflow IDs, or look for a hot one below.",
        )
    for key, number, share, per_s in hot_keys(sample):
        found = True
        workflow_id = key.decode(errors="backslashreplace")
        yield Finding(
            "warning",
            f"workflow {workflow_id!r} gets {share:.0%} of the {whose} of partition {number}, {per_s:.1f} a second.",
            "A workflow's records are taken one after the other: split its work over several workflow IDs.",
        )
    if not found:
        yield Finding("ok", f"{whose}: {sample.count} newest records, evenly spread")


def _dead_letters(log: Log, namespace: Namespace, count: int) -> Iterator[Finding]:
    sample = _sample(log, namespace.deadletters, count)
    recent = sample.count_since(_RECENT_S)
    if recent:
        yield Finding(
            "warning",
            f"{_counted(recent, 'dead letter')} in the last hour.",
            "`weft deadletters list --since 1h` says why.",
        )
    else:
        yield Finding("ok", "no dead letters in the last hour")
