"""What stands on a log, byte for byte."""

from __future__ import annotations

from contextlib import closing

from weft.log import FROM_START, Log

PATIENCE_S = 30.0


def everything_on(log: Log, namespace: str) -> list[tuple[str, bytes]]:
    """Keys, values and headers of all records of all topics, also of transactions that were aborted."""
    with closing(log.admin()) as admin:
        names = [name for name in admin.list_topics() if name.startswith(f"{namespace}.")]
        described = admin.describe_topics(names, PATIENCE_S)
    offsets = {
        (name, partition): FROM_START
        for name, info in described.items()
        for partition in range(info.partitions)
    }
    with closing(log.reader(committed=False)) as reader:
        return [
            (
                record.topic,
                b"".join(
                    [
                        record.key or b"",
                        record.value or b"",
                        *(content for _, content in record.headers or ()),
                    ]
                ),
            )
            for record in reader.read_to_end(offsets, PATIENCE_S)
        ]
