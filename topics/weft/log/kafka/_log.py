"""Opening the log on Kafka, and what is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from weft.errors import TopicError, UsageError
from weft.log._api import AssignmentListener, TopicInfo
from weft.log.kafka._admin import KafkaAdmin
from weft.log.kafka._group import KafkaGroupConsumer
from weft.log.kafka._limits import TopicLimits
from weft.log.kafka._producer import KafkaProducer
from weft.log.kafka._reader import KafkaReader
from weft.log.kafka._settings import ClientSettings
from weft.log.kafka._transaction import KafkaTransactionalProducer

_OPEN_TIMEOUT_S = 5.0
_JOIN_TIMEOUT_S = 30.0
TRANSACTION_TIMEOUT_S = 10.0
"""How long a dead owner's transaction stays open when nobody takes its ID: readers of its partitions wait for it."""


class KafkaLog:
    """Implements `weft.log.Log`."""

    def __init__(self, settings: ClientSettings) -> None:
        self.name = f"kafka {settings.bootstrap}"
        self.payload_store: str | None = None
        self._settings = settings
        self._admin = self.admin()
        self._limits = TopicLimits(self._describe)

    def check(self, timeout_s: float) -> None:
        """Raises `LogUnavailableError` when no broker answers."""
        self._admin.check(timeout_s)

    def _describe(self, topic: str, timeout_s: float) -> TopicInfo | None:
        return self._admin.describe_topics([topic], timeout_s).get(topic)

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._settings.admin(), self.name)

    def producer(self, *, gather_s: float = 0.0) -> KafkaProducer:
        return KafkaProducer(self._settings.producer(gather_s), self.name, self._limits)

    def transactional_producer(
        self, transactional_id: str, *, timeout_s: float = TRANSACTION_TIMEOUT_S
    ) -> KafkaTransactionalProducer:
        """`timeout_s` is how long a transaction may stay open before the broker aborts it."""
        settings = self._settings.transactional(transactional_id, timeout_s)
        return KafkaTransactionalProducer(settings, self.name, self._limits, transactional_id)

    def group_consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: AssignmentListener,
        *,
        instance_id: str | None = None,
        session_timeout_s: float = 6.0,
    ) -> KafkaGroupConsumer:
        """Raises `TopicError` when a topic is missing, or the topics have different numbers of partitions."""
        partition_count = self._checked_partition_count(group, topics)
        settings = self._settings.group(group, instance_id, session_timeout_s)
        return KafkaGroupConsumer(
            settings, self.admin, self.name, topics, partition_count, listener
        )

    def _checked_partition_count(self, group: str, topics: Sequence[str]) -> int:
        if not topics:
            raise UsageError(
                f"Group {group} was joined without a topic; name at least the one it is balanced on."
            )
        found = self._admin.describe_topics(topics, _JOIN_TIMEOUT_S)
        missing = [topic for topic in topics if topic not in found]
        if missing:
            raise TopicError(
                f"Group {group} cannot be joined: there is no topic {', '.join(missing)} on {self.name}. Make the "
                "topics with `weft topics create`."
            )
        counts = {topic: info.partitions for topic, info in found.items()}
        if len(set(counts.values())) > 1:
            raise TopicError(
                f"The topics of group {group} must have the same number of partitions, and have {counts}. Make them "
                "again with one count (`weft topics create`)."
            )
        return counts[topics[0]]

    def reader(self, *, committed: bool = True) -> KafkaReader:
        return KafkaReader(self._settings, self.name, committed=committed)

    def compact(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is held open but a client for looking things up, which ends when it is forgotten."""
        self._admin.close()


def open_kafka(bootstrap: str, config: Mapping[str, str] = MappingProxyType({})) -> KafkaLog:
    """Connect to the brokers at `bootstrap` (`host:port`, several separated by commas).

    `config` is for further settings by librdkafka's names (`security.protocol`, `sasl.*`, `ssl.*`); every client gets
    them. Raises `LogUnavailableError` when no broker answers within 5 s, `UsageError` for a setting that is unknown.
    """
    log = KafkaLog(ClientSettings(bootstrap, config))
    log.check(_OPEN_TIMEOUT_S)
    return log
