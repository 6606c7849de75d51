"""The topics as they are on a log, held against what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import TopicError
from weft.log import Admin, TopicInfo, TopicSpec
from weft.topics._names import Namespace

_KAFKA = "--bootstrap-server HOST:PORT"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one topic, what it means, and the command that mends it. `missing`: it does not exist."""

    topic: str
    text: str
    remedy: str
    missing: bool = False

    def __str__(self) -> str:
        return f"Topic {self.topic} {self.text} Mend it with: {self.remedy}"


def check(admin: Admin, specs: Sequence[TopicSpec]) -> list[Problem]:
    """Everything that would keep Weft from working on these topics; nothing when all is well.

    A longer retention or more replicas than asked for are the operator's choice and no problem.
    """
    found = admin.describe_topics([spec.name for spec in specs])
    problems: list[Problem] = []
    for spec in specs:
        info = found.get(spec.name)
        problems += [_missing(spec)] if info is None else _differences(spec, info)
    return problems


def create(admin: Admin, specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that are missing; returns their names.

    Raises TopicError, before anything is created, when one that exists already is not as it must be.
    """
    wrong = [problem for problem in check(admin, specs) if not problem.missing]
    if wrong:
        raise TopicError("\n".join(str(problem) for problem in wrong))
    return admin.create_topics(specs)


def partition_count(admin: Admin, namespace: Namespace) -> int:
    """How many partitions the topics of this namespace have. Raises TopicError when it has no topics."""
    info = admin.describe_topics([namespace.signals]).get(namespace.signals)
    if info is None:
        raise TopicError(
            f"Topic {namespace.signals} does not exist, so nobody can serve namespace {namespace.name}. "
            f"Create the topics with: {_create_command(namespace.name)}"
        )
    return info.partitions


def queues(admin: Admin, namespace: Namespace) -> list[str]:
    """The task queues of this namespace that have a topic, by name."""
    return sorted(
        queue for topic in admin.list_topics() if (queue := namespace.queue_of(topic)) is not None
    )


def _missing(spec: TopicSpec) -> Problem:
    namespace, found, queue = spec.name.partition(".tasks.")
    if not found:
        namespace, queue = spec.name.rpartition(".")[0], ""
    return Problem(spec.name, "does not exist.", _create_command(namespace, queue), missing=True)


def _create_command(namespace: str, queue: str = "") -> str:
    return f"weft topics create --namespace {namespace}" + (f" --queue {queue}" if queue else "")


def _differences(spec: TopicSpec, info: TopicInfo) -> list[Problem]:
    problems: list[Problem] = []
    if info.partitions != spec.partitions:
        problems.append(_wrong_partitions(spec, info))
    if info.compacted != spec.compacted:
        policy = "compact" if spec.compacted else "delete"
        meaning = (
            "workflows would be lost." if spec.compacted else "records of one key would be lost."
        )
        text = f"has the wrong cleanup policy: {policy} is needed, or {meaning}"
        problems.append(Problem(spec.name, text, _alter(spec, f"cleanup.policy={policy}")))
    elif spec.compacted and info.retention_ms is not None:
        text = "deletes records by age besides compacting: workflows would be lost."
        problems.append(Problem(spec.name, text, _alter(spec, "cleanup.policy=compact")))
    elif spec.retention_ms is not None and _is_shorter(info.retention_ms, spec.retention_ms):
        text = (
            f"keeps records for {info.retention_ms} ms; below {spec.retention_ms} ms "
            "some may go before they are read."
        )
        problems.append(Problem(spec.name, text, _alter(spec, f"retention.ms={spec.retention_ms}")))
    record_bytes_max = int(spec.config.get("max.message.bytes", 0))
    if info.record_bytes_max < record_bytes_max:
        text = f"takes records of {info.record_bytes_max} bytes; {record_bytes_max} are needed."
        problems.append(
            Problem(spec.name, text, _alter(spec, f"max.message.bytes={record_bytes_max}"))
        )
    return problems


def _wrong_partitions(spec: TopicSpec, info: TopicInfo) -> Problem:
    text = (
        f"has {info.partitions} partitions, not {spec.partitions}. A workflow must have the same partition number on "
        "every topic, and a changed count would move it away from its state."
    )
    remedy = (
        f"`--partitions {info.partitions}` where the whole namespace has that many; otherwise, if nothing on it is "
        f"needed, kafka-topics.sh {_KAFKA} --delete --topic {spec.name}, then weft topics create"
    )
    return Problem(spec.name, text, remedy)


def _alter(spec: TopicSpec, setting: str) -> str:
    return f"kafka-configs.sh {_KAFKA} --alter --entity-type topics --entity-name {spec.name} --add-config {setting}"


def _is_shorter(retention_ms: int | None, wanted_ms: int) -> bool:
    """None is the log's default and -1 is for ever: neither is held against the topic."""
    return retention_ms is not None and 0 <= retention_ms < wanted_ms
