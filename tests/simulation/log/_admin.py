"""Topics: making, describing, deleting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._network import Connection, call
from weft.errors import LogUnavailableError, TopicError
from weft.log import TopicInfo, TopicSpec

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class SimulatedAdmin:
    """Implements `weft.log.Admin`."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self.connection = connection
        self._cluster = cluster

    @call
    def create_topics(self, specs: Sequence[TopicSpec], timeout_s: float = 30.0) -> list[str]:
        for spec in specs:
            if not _NAME.fullmatch(spec.name) or spec.partitions < 1:
                raise TopicError(f"Topic {spec.name!r} could not be made on {self._cluster.name}.")
        self._ask(timeout_s)
        created = [spec.name for spec in specs if self._cluster.create_topic(spec)]
        self.connection.travel()
        return created

    @call
    def describe_topics(
        self, names: Sequence[str], timeout_s: float = 30.0
    ) -> dict[str, TopicInfo]:
        self._ask(timeout_s)
        found = self._cluster.topics.by_name
        return {name: found[name].info() for name in names if name in found}

    @call
    def list_topics(self, timeout_s: float = 30.0) -> list[str]:
        self._ask(timeout_s)
        return sorted(self._cluster.topics.by_name)

    @call
    def delete_topics(self, names: Sequence[str], timeout_s: float = 30.0) -> None:
        self._ask(timeout_s)
        for name in names:
            self._cluster.delete_topic(name)

    def _ask(self, timeout_s: float) -> None:
        network = self.connection.network
        if network.faults.fires(_menu.ADMIN_FAILS):
            self.connection.scheduler.sleep(min(timeout_s, network.random.uniform(0.1, 10.0)))
            raise LogUnavailableError(f"{self._cluster.name} did not answer.")
        self.connection.travel()

    def close(self) -> None:
        """Nothing waits."""
