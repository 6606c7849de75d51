"""An owner that is looked into, on a log that is none."""

from __future__ import annotations

from typing import Any, cast

from weft.host import HOST, Host
from weft.metrics import WorkerMetrics
from weft.topics import Namespace
from weft.worker._owner import PartitionOwner


class NoLog:
    def producer(self) -> None:
        """Nothing is written here."""


def owner_on(log: NoLog, host: Host = HOST) -> PartitionOwner:
    return PartitionOwner(
        cast("Any", log),
        Namespace("shop"),
        workflows={},
        queues=frozenset(),
        partition_count=1,
        inline=cast("Any", None),
        metrics=WorkerMetrics(),
        instance_id="a",
        host=host,
    )
