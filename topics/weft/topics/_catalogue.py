"""The topics of a namespace and their settings, each with its reason.

All of them have the same number of partitions, fixed when they are made: a workflow has one partition number, on every
topic. Retention counts by the broker's clock, so that a writer whose clock is wrong does not have its records deleted
before anybody read them.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.errors import UsageError
from weft.log import TopicSpec
from weft.topics._names import Namespace

INPUT_BYTES_MAX = 1_048_588
"""The largest record on the topics that others write to: Kafka's default, so that any producer's fits or is told."""
OUTPUT_BYTES_MAX = 4 * 1_048_576
"""The largest record on the topics that owners write to: whatever came in must fit in, with what is put around it (a
history event, a forwarded record's origin, a dead letter's headers), or an accepted record could stop its partition."""

_PARTITIONS_MAX = 10_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

_COMMON = {
    "message.timestamp.type": "LogAppendTime",
    # A broker that missed commits must never lead: it would undo transactions that were answered.
    "unclean.leader.election.enable": "false",
}
_SHORT_LIVED = {
    # Kafka deletes whole segments, and never a busy one: with the default of 1 GiB or 7 days, an hour would not be one.
    "segment.ms": str(_HOUR_MS // 6),
    "segment.bytes": str(64 * 1_048_576),
}
_COMPACTED = {
    # A rebuild reads all that is not cleaned yet, and the segment being written never is: small ones, closed soon.
    "segment.ms": str(_HOUR_MS // 6),
    "segment.bytes": str(64 * 1_048_576),
    # Clean at a quarter of old values (default: half). A rebuild then reads at most a third more than what counts, and
    # each byte written costs the broker about four copied.
    "min.cleanable.dirty.ratio": "0.25",
    # And within the hour even below that, or what was purged would stay on a quiet partition for good.
    "max.compaction.lag.ms": str(_HOUR_MS),
    # A reader that started before a tombstone must come to it before it goes; a local snapshot older than this is void.
    "delete.retention.ms": str(_DAY_MS),
}


def catalogue(
    namespace: Namespace,
    *,
    partitions: int,
    queues: Sequence[str] = ("default",),
    replication: int = 1,
) -> list[TopicSpec]:
    """Every topic that the namespace needs for these task queues.

    `replication` of 3 or more also asks for two brokers to have a record before it counts as written; -1 is the
    broker's default. Raises UsageError for a partition count, a replication or a queue that cannot be.
    """
    if not 1 <= partitions <= _PARTITIONS_MAX:
        raise UsageError(
            f"{partitions} partitions cannot be: give a number from 1 to {_PARTITIONS_MAX}."
        )
    if replication < 1 and replication != -1:
        raise UsageError(
            f"A replication of {replication} cannot be: give 1 or more, or -1 for the broker's default."
        )
    durable = {} if replication < 0 else {"min.insync.replicas": "2" if replication >= 3 else "1"}

    def topic(
        name: str,
        bytes_max: int,
        *,
        days: float | None = None,
        config: dict[str, str] | None = None,
    ) -> TopicSpec:
        return TopicSpec(
            name=name,
            partitions=partitions,
            compacted=days is None,
            retention_ms=None if days is None else int(days * _DAY_MS),
            replication=replication,
            config={**_COMMON, **durable, **(config or {}), "max.message.bytes": str(bytes_max)},
        )

    return [
        topic(namespace.signals, INPUT_BYTES_MAX, days=7),
        topic(namespace.results, INPUT_BYTES_MAX, days=7),
        topic(namespace.messages, OUTPUT_BYTES_MAX, days=7),
        topic(namespace.state, OUTPUT_BYTES_MAX, config=_COMPACTED),
        topic(namespace.owners, INPUT_BYTES_MAX, config=_COMPACTED),
        *(
            topic(namespace.tasks(queue), OUTPUT_BYTES_MAX, days=7)
            for queue in dict.fromkeys(queues)
        ),
        topic(namespace.events, OUTPUT_BYTES_MAX, days=30),
        topic(namespace.deadletters, OUTPUT_BYTES_MAX, days=30),
        topic(namespace.queries, INPUT_BYTES_MAX, days=1 / 24, config=_SHORT_LIVED),
        topic(namespace.replies, OUTPUT_BYTES_MAX, days=1 / 24, config=_SHORT_LIVED),
    ]
