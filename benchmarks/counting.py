"""What a load writes to the log: records and bytes by topic, before compression."""

from __future__ import annotations

from collections import defaultdict

from weft.log import FROM_END, Log
from weft.topics import Namespace

_RECORDS_MAX = 5000
_QUIET_S = 1.0
"""Nothing came for so long: that was all."""


class RecordCounter:
    """Counts what is written to a namespace from now on. Blocks: for a thread of its own."""

    def __init__(self, log: Log, namespace: str) -> None:
        self._prefix = f"{Namespace(namespace).name}."
        admin = log.admin()
        try:
            names = [name for name in admin.list_topics() if name.startswith(self._prefix)]
            found = admin.describe_topics(names)
        finally:
            admin.close()
        # A committed end lies before records whose transaction's marker is still under way: they would count as new.
        self._reader = log.reader(committed=False)
        self._reader.assign(
            {
                (info.name, number): FROM_END
                for info in found.values()
                for number in range(info.partitions)
            }
        )

    def count(self) -> dict[str, tuple[int, int]]:
        """(records, bytes of keys, values and headers) by topic, without the namespace; ends when no more come."""
        records: defaultdict[str, int] = defaultdict(int)
        sizes: defaultdict[str, int] = defaultdict(int)
        while batch := self._reader.poll(_RECORDS_MAX, _QUIET_S):
            for record in batch:
                topic = record.topic.removeprefix(self._prefix)
                records[topic] += 1
                sizes[topic] += len(record.key or b"") + len(record.value or b"")
                sizes[topic] += sum(len(name) + len(value) for name, value in record.headers)
        return {topic: (records[topic], sizes[topic]) for topic in records}

    def close(self) -> None:
        self._reader.close()
