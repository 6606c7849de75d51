"""The log as one simulated process has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.log._admin import SimulatedAdmin
from tests.simulation.log._consumer import SimulatedGroupConsumer
from tests.simulation.log._network import Connection, call
from tests.simulation.log._producer import SimulatedProducer
from tests.simulation.log._reader import SimulatedReader
from tests.simulation.log._transactional import SimulatedTransactionalProducer
from weft.errors import TopicError, UsageError
from weft.log import AssignmentListener

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster


class SimulatedLog:
    """Implements `weft.log.Log`. From outside of any task, each call runs the simulation until it is answered."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self.name = cluster.name
        self.payload_store: str | None = None
        self.cluster = cluster
        self.connection = connection

    @call
    def admin(self) -> SimulatedAdmin:
        return SimulatedAdmin(self.cluster, self.connection)

    @call
    def producer(self, *, gather_s: float = 0.0) -> SimulatedProducer:
        return SimulatedProducer(self.cluster, self.connection)

    @call
    def foreign_producer(self) -> SimulatedProducer:
        """A plain producer of somebody else, that is not idempotent: what it writes may be there twice."""
        return SimulatedProducer(self.cluster, self.connection, is_idempotent=False)

    @call
    def transactional_producer(
        self, transactional_id: str, *, timeout_s: float | None = None
    ) -> SimulatedTransactionalProducer:
        """`timeout_s` is how long a transaction may stay open before the brokers abort it."""
        if timeout_s is None:
            timeout_s = self.cluster.transaction_timeout_s
        return SimulatedTransactionalProducer(
            self.cluster, self.connection, transactional_id, timeout_s
        )

    @call
    def group_consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: AssignmentListener,
        *,
        instance_id: str | None = None,
        session_timeout_s: float = 6.0,
    ) -> SimulatedGroupConsumer:
        """Raises `TopicError` when a topic is missing, or the topics have different numbers of partitions."""
        self.connection.travel()
        if not topics:
            raise UsageError(f"Group {group} was joined without a topic.")
        counts = {name: len(self.cluster.topics.topic(name).partitions) for name in topics}
        if len(set(counts.values())) > 1:
            raise TopicError(
                f"The topics of group {group} must have the same number of partitions, and have {counts}."
            )
        return SimulatedGroupConsumer(
            self.cluster,
            self.connection,
            group,
            topics,
            listener,
            instance_id=instance_id,
            session_timeout_s=session_timeout_s,
        )

    @call
    def reader(self, *, committed: bool = True) -> SimulatedReader:
        return SimulatedReader(self.cluster, self.connection, committed=committed)

    def compact(self) -> int:
        """Brokers do that by themselves: `Cluster.compact`."""
        return 0

    def close(self) -> None:
        """Nothing is held open."""
