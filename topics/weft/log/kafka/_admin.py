"""Topics on Kafka: making, describing, deleting."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource
from confluent_kafka.cimpl import NewTopic

from weft.errors import LogUnavailableError, UsageError
from weft.log._api import TopicInfo, TopicSpec
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._errors import kafka_error, log_error
from weft.log.kafka._settings import Settings, logger

_POLL_S = 0.02
_FIRST_TRY_S = 3.0
"""For looking at topics; each further try has twice as long."""
_BROKER_ANSWER_S = 3.0
"""For one broker to say what it knows of new topics; who does not is passed over."""
_NEVER_S = 3600.0
"""The client's own limit of a request to a group's coordinator, beyond any of ours. One that it gives up while the
coordinator is away may abort the process when that is found: librdkafka then uses what it has freed
(`rd_kafka_admin_coord_request`; issues 3663, 4605)."""


class KafkaAdmin:
    """Implements `weft.log.Admin`. May be used by several threads."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._last_error = ""
        self._settings = settings | {"error_cb": self._note_error}
        self._client = self._new_client()

    def _new_client(self) -> AdminClient:
        try:
            return AdminClient(self._settings, logger=logger)
        except KafkaException as exception:
            raise UsageError(
                f"{self._name}: the settings are not what Kafka's client takes: {kafka_error(exception).str()}."
            ) from exception

    def _note_error(self, error: KafkaError) -> None:
        self._last_error = f" The client says: {error.str()}."

    def check(self, timeout_s: float) -> None:
        """Raises `LogUnavailableError` when no broker answers."""
        try:
            self._client.list_topics(timeout=timeout_s)
        except KafkaException as exception:
            self._client.poll(0)
            raise LogUnavailableError(
                f"No Kafka broker answered at {self._name.removeprefix('kafka ')} within {timeout_s:g} s."
                f"{self._last_error} Check that a broker runs there, that this machine reaches it, and that the "
                "security settings are the broker's (`make kafka-up` starts a local broker)."
            ) from exception

    def create_topics(self, specs: Sequence[TopicSpec], timeout_s: float = 30.0) -> list[str]:
        """Returns when every broker that answers knows the new topics and their partitions can be written to."""
        if not specs:
            return []
        deadline_s = time.monotonic() + timeout_s
        futures = self._client.create_topics(
            [_new_topic(spec) for spec in specs], request_timeout=timeout_s
        )
        created: list[str] = []
        for name, future in futures.items():
            try:
                self._wait(future, timeout_s)
            except KafkaException as exception:
                error = kafka_error(exception)
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise log_error(
                        error, f"Topic {name} could not be made on {self._name}"
                    ) from exception
            else:
                created.append(name)
        names = {spec.name for spec in specs}
        self._wait_until_led(names, deadline_s)
        self._wait_until_known(names, deadline_s)
        return created

    def _wait_until_led(self, names: set[str], deadline_s: float) -> None:
        while True:
            remaining_s = max(deadline_s - time.monotonic(), _POLL_S)
            found = self._metadata(remaining_s).topics
            waiting = _not_led(names, found)
            if not waiting:
                return
            if remaining_s <= _POLL_S:
                raise LogUnavailableError(
                    f"Topics {', '.join(sorted(waiting))} were made on {self._name}, but have no leaders yet. They may "
                    "have them in a moment; if not, look at the brokers."
                )
            threading.Event().wait(_POLL_S)

    def _wait_until_known(self, names: set[str], deadline_s: float) -> None:
        """By each broker: whoever asks one that is behind would be told that there are no such topics."""
        brokers = self._metadata(max(deadline_s - time.monotonic(), _POLL_S)).brokers.values()
        for broker in brokers if len(brokers) > 1 else ():
            there = self._settings | {"bootstrap.servers": f"{broker.host}:{broker.port}"}
            while time.monotonic() < deadline_s:
                # A client that has heard of the other brokers might ask one of them.
                client = AdminClient(there, logger=logger)
                try:
                    found = client.list_topics(timeout=_BROKER_ANSWER_S).topics
                except KafkaException:
                    break
                if not _not_led(names, found):
                    break
                threading.Event().wait(_POLL_S)

    def describe_topics(
        self, names: Sequence[str], timeout_s: float = 30.0
    ) -> dict[str, TopicInfo]:
        """A client that gets no answer is replaced on the way.

        It goes on waiting for the controller that it was told of first, also when that has died and another serves.
        """
        deadline_s = time.monotonic() + timeout_s
        try_s = _FIRST_TRY_S
        while True:
            # The last try may have taken longer than it was given.
            remaining_s = max(deadline_s - time.monotonic(), _POLL_S)
            client = self._client
            try:
                return self._describe(client, names, min(try_s, remaining_s))
            except LogUnavailableError:
                if remaining_s <= try_s:
                    raise
                try_s *= 2
                self._client = self._new_client()

    def _describe(
        self, client: AdminClient, names: Sequence[str], timeout_s: float
    ) -> dict[str, TopicInfo]:
        if not names:
            return {}
        found: dict[str, Any] = {}
        descriptions = client.describe_topics(
            TopicCollection(list(names)),
            include_authorized_operations=True,
            request_timeout=timeout_s,
        )
        for name, future in descriptions.items():
            try:
                found[name] = self._wait(future, timeout_s)
            except KafkaException as exception:
                error = kafka_error(exception)
                if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise log_error(
                        error, f"Topic {name} of {self._name} could not be looked at"
                    ) from exception
        configs = self._configs(client, list(found), timeout_s)
        return {name: _info(name, found[name], configs[name]) for name in found if name in configs}

    def _configs(
        self, client: AdminClient, names: list[str], timeout_s: float
    ) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        configs: dict[str, dict[str, str]] = {}
        futures = client.describe_configs(resources, request_timeout=timeout_s)
        for resource, future in futures.items():
            try:
                entries = self._wait(future, timeout_s)
            except KafkaException as exception:
                error = kafka_error(exception)
                if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise log_error(
                    error,
                    f"The settings of topic {resource.name} of {self._name} could not be read",
                ) from exception
            configs[resource.name] = {key: entry.value for key, entry in entries.items()}
        return configs

    def list_topics(self, timeout_s: float = 30.0) -> list[str]:
        return sorted(self._metadata(timeout_s).topics)

    def delete_topics(self, names: Sequence[str], timeout_s: float = 30.0) -> None:
        """Topics that do not exist are passed over."""
        if not names:
            return
        futures = self._client.delete_topics(list(names), request_timeout=timeout_s)
        for name, future in futures.items():
            try:
                self._wait(future, timeout_s)
            except KafkaException as exception:
                error = kafka_error(exception)
                if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise log_error(
                        error, f"Topic {name} of {self._name} could not be deleted"
                    ) from exception

    def undecided(
        self, group: str, partitions: Sequence[TopicAndPartition], timeout_s: float
    ) -> set[TopicAndPartition]:
        """Those whose committed offsets an open transaction is about to change.

        Use a client of its own for it: one that asked before may go on asking a coordinator that has been replaced.
        """
        wanted = [TopicPartition(topic, partition) for topic, partition in partitions]
        futures = self._client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)],
            require_stable=True,
            request_timeout=_NEVER_S,
        )
        try:
            found = self._wait(futures[group], timeout_s).topic_partitions
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception),
                f"The offsets of group {group} could not be read from {self._name}",
            ) from exception
        return {
            (one.topic, one.partition)
            for one in found
            if one.error is not None and one.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT
        }

    def assigned(self, group: str, topic: str, timeout_s: float) -> set[int] | None:
        """The partitions of the topic that members of the group have; None while the group is not at rest."""
        futures = self._client.describe_consumer_groups([group], request_timeout=_NEVER_S)
        try:
            found = self._wait(futures[group], timeout_s)
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception), f"Group {group} of {self._name} could not be looked at"
            ) from exception
        if found.state is not ConsumerGroupState.STABLE:
            return None
        return {
            one.partition
            for member in found.members
            for one in member.assignment.topic_partitions
            if one.topic == topic
        }

    def close(self) -> None:
        """Nothing waits: the client ends when it is forgotten."""

    def _metadata(self, timeout_s: float) -> Any:
        self._client.poll(0)
        try:
            return self._client.list_topics(timeout=timeout_s)
        except KafkaException as exception:
            raise log_error(
                kafka_error(exception), f"{self._name} did not list its topics"
            ) from exception

    def _wait(self, future: Future[Any], timeout_s: float) -> Any:
        self._client.poll(0)
        try:
            return future.result(timeout_s + 1.0)
        except FutureTimeoutError as error:
            raise LogUnavailableError(
                f"{self._name} did not answer within {timeout_s:g} s. Look at the brokers and the network."
            ) from error


def _new_topic(spec: TopicSpec) -> NewTopic:
    config = {"cleanup.policy": "compact" if spec.compacted else "delete"}
    if spec.retention_ms is not None and not spec.compacted:
        config["retention.ms"] = str(spec.retention_ms)
    return NewTopic(
        spec.name,
        num_partitions=spec.partitions,
        replication_factor=spec.replication,
        config=config | dict(spec.config),
    )


def _not_led(names: set[str], found: Mapping[str, Any]) -> set[str]:
    return {name for name in names if name not in found or not _is_led(found[name])}


def _is_led(topic: Any) -> bool:
    return topic.error is None and all(one.leader >= 0 for one in topic.partitions.values())


def _info(name: str, found: Any, config: dict[str, str]) -> TopicInfo:
    compacted = "compact" in config.get("cleanup.policy", "").split(",")
    retention_ms = int(config.get("retention.ms", "-1"))
    return TopicInfo(
        name=name,
        partitions=len(found.partitions),
        compacted=compacted,
        retention_ms=None if compacted or retention_ms < 0 else retention_ms,
        replication=min(len(one.replicas) for one in found.partitions),
        record_bytes_max=int(config["max.message.bytes"]),
        is_writable=_may_write(found.authorized_operations),
    )


def _may_write(operations: list[AclOperation] | None) -> bool:
    """Without access rules a broker names every operation; one that names none says nothing."""
    return not operations or AclOperation.WRITE in operations or AclOperation.ALL in operations
