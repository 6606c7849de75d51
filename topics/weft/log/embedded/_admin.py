"""Topics: making, describing, deleting."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weft.errors import UsageError
from weft.log._api import TopicInfo, TopicSpec
from weft.log.embedded._catalogue import Catalogue, Topic, read_topics
from weft.log.embedded._checksum import row_checksum
from weft.log.embedded._database import Database, Shared
from weft.log.embedded._schema import OFFSET_BITS

RECORD_BYTES_MAX = 1_048_588
"""Kafka's default for `max.message.bytes`; a topic's own setting of that name is kept."""
RETENTION_MS = 7 * 24 * 3600 * 1000
"""Kafka's default for topics that are not compacted."""
_DELETE_RECORDS = 1_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")

_ADD_TOPIC = (
    "INSERT INTO topics (name, partitions, compacted, retention_ms, replication, "
    "record_bytes_max, first_partition_id, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class EmbeddedAdmin:
    """Implements `weft.log.Admin`."""

    def __init__(self, shared: Shared, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._database = Database(shared)

    def create_topics(self, specs: Sequence[TopicSpec], timeout_s: float = 30.0) -> list[str]:
        for spec in specs:
            _check(spec)
        created: list[str] = []
        with self._database.write(timeout_s):
            present = {topic.name for topic in read_topics(self._database)}
            for spec in specs:
                if spec.name not in present:
                    self._create(spec)
                    present.add(spec.name)
                    created.append(spec.name)
        return created

    def _create(self, spec: TopicSpec) -> None:
        # One writer at a time, so the IDs of one topic's partitions follow each other.
        partition_ids = [
            self._database.execute("INSERT INTO ends (end_offset) VALUES (0)").lastrowid
            for _ in range(spec.partitions)
        ]
        retention_ms = (
            RETENTION_MS if spec.retention_ms is None and not spec.compacted else spec.retention_ms
        )
        record_bytes_max = int(spec.config.get("max.message.bytes", RECORD_BYTES_MAX))
        row = (
            spec.name,
            spec.partitions,
            int(spec.compacted),
            retention_ms,
            spec.replication,
            record_bytes_max,
            partition_ids[0],
        )
        self._database.execute(_ADD_TOPIC, (*row, row_checksum(*row)))

    def describe_topics(
        self, names: Sequence[str], timeout_s: float = 30.0
    ) -> dict[str, TopicInfo]:
        wanted = set(names)
        return {
            topic.name: topic.info()
            for topic in read_topics(self._database)
            if topic.name in wanted
        }

    def list_topics(self, timeout_s: float = 30.0) -> list[str]:
        return [topic.name for topic in read_topics(self._database)]

    def delete_topics(self, names: Sequence[str], timeout_s: float = 30.0) -> None:
        """Topics that do not exist are passed over. If interrupted, a topic is still there, with fewer records."""
        for topic in read_topics(self._database):
            if topic.name in names:
                self._delete(topic, timeout_s)
                self._catalogue.forget(topic.name)

    def _delete(self, topic: Topic, timeout_s: float) -> None:
        first_id = topic.first_partition_id << OFFSET_BITS
        past_id = (topic.first_partition_id + topic.partitions) << OFFSET_BITS
        # In slices, so that writers of other topics are not kept waiting; the last few go with the topic itself.
        while rows := self._database.query(
            "SELECT record_id FROM records WHERE record_id >= ? AND record_id < ? ORDER BY "
            "record_id LIMIT 1 OFFSET ?",
            (first_id, past_id, _DELETE_RECORDS),
        ):
            with self._database.write(timeout_s):
                self._database.execute(
                    "DELETE FROM records WHERE record_id >= ? AND record_id < ?",
                    (first_id, rows[0][0]),
                )
        partition_ids = (topic.first_partition_id, topic.first_partition_id + topic.partitions - 1)
        with self._database.write(timeout_s):
            self._database.execute(
                "DELETE FROM records WHERE record_id >= ? AND record_id < ?", (first_id, past_id)
            )
            for table in ("ends", "cleanings", "offsets"):
                self._database.execute(
                    f"DELETE FROM {table} WHERE partition_id BETWEEN ? AND ?", partition_ids
                )
            self._database.execute("DELETE FROM owners WHERE topic_id = ?", (topic.topic_id,))
            self._database.execute("DELETE FROM topics WHERE topic_id = ?", (topic.topic_id,))

    def close(self) -> None:
        self._database.close()


def _check(spec: TopicSpec) -> None:
    if not _NAME.fullmatch(spec.name):
        raise UsageError(
            f"{spec.name!r} cannot be the name of a topic: up to 249 letters, digits, dots, underscores "
            f"and hyphens can, as in Kafka."
        )
    if spec.partitions < 1:
        raise UsageError(
            f"Topic {spec.name} must have at least one partition, not {spec.partitions}."
        )
