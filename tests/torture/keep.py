"""What is kept of a torture that failed: every record of every topic, and the brokers' logs."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.kafka.broker import Cluster

from weft.errors import LogError
from weft.log import FROM_START, Log, LogRecord
from weft.topics import Namespace

_READ_TIMEOUT_S = 30.0
_LOG_LINES = 20_000


def keep(cluster: Cluster, log: Log, namespace: Namespace, partitions: int, folder: Path) -> None:
    """Write them into the folder, as far as they can be read: undecided and aborted records too."""
    for broker in cluster.brokers:
        file = folder / f"broker-{broker.node_id}.log"
        file.write_text(broker.log_tail(_LOG_LINES), encoding="utf-8")
    admin = log.admin()
    topics = [name for name in admin.list_topics() if name.startswith(namespace.name)]
    admin.close()
    for topic in topics:
        for kind in ("committed", "all"):
            with (folder / f"{topic.removeprefix(namespace.name)[1:]}.{kind}.jsonl").open(
                "w"
            ) as file_:
                reader = log.reader(committed=kind == "committed")
                try:
                    offsets = {(topic, number): FROM_START for number in range(partitions)}
                    for record in reader.read_to_end(offsets, _READ_TIMEOUT_S):
                        file_.write(f"{json.dumps(_plain(record))}\n")
                except LogError as error:
                    file_.write(f"{json.dumps({'error': str(error)})}\n")
                finally:
                    reader.close()


def _plain(record: LogRecord) -> dict[str, object]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "time_ms": record.timestamp_ms,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "value": None if record.value is None else record.value.decode(errors="replace"),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers},
    }
