"""What befalls the brokers: one at a time, killed or shut down, started again; the next when all replicas are whole."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from deploy.kafka.broker import Broker, BrokerError, Cluster

_REST_S = (3.0, 12.0)
_DOWN_S = (0.0, 6.0)
_WHOLE_TIMEOUT_S = 180.0
_POLL_S = 0.5


class BrokerFaults:
    """A thread that bounces brokers until `stop`, which returns when all of them serve and all replicas are whole."""

    def __init__(self, cluster: Cluster, seed: str) -> None:
        self._cluster = cluster
        self._draw = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.counts: Counter[str] = Counter()
        self.happened: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._began_s = time.monotonic()

    def start(self) -> None:
        self._began_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._draw.uniform(*_REST_S)):
                self._bounce(self._draw.choice(self._cluster.brokers))
        except (BrokerError, TimeoutError) as error:
            self.problems.append(str(error))

    def _bounce(self, broker: Broker) -> None:
        kind = self._draw.choice(("kill", "stop"))
        self.counts[f"{kind} broker"] += 1
        at_s = round(time.monotonic() - self._began_s, 2)
        self.happened.append({"at_s": at_s, "kind": f"{kind} broker", "who": broker.node_id})
        if kind == "kill":
            broker.kill()
        else:
            broker.stop()
        self._stopping.wait(self._draw.uniform(*_DOWN_S))
        broker.start()
        self._cluster.wait_until_ready()
        wait_until_whole(self._cluster)


def wait_until_whole(cluster: Cluster) -> None:
    """Until every replica of every partition is in sync. Raises TimeoutError."""
    deadline_s = time.monotonic() + _WHOLE_TIMEOUT_S
    while lacking := _lacking(cluster):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"replicas are not in sync after {_WHOLE_TIMEOUT_S} s: {lacking}")
        time.sleep(_POLL_S)


def _lacking(cluster: Cluster) -> list[str]:
    """Partitions that have replicas out of sync, as every broker of the cluster sees it."""
    found: list[str] = []
    for broker in cluster.brokers:
        try:
            admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
            topics = admin.list_topics(timeout=5.0).topics
        except KafkaException as error:
            return [f"broker {broker.node_id}: {error}"]
        found += [
            f"{name}-{number}"
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
            if len(partition.isrs) < len(partition.replicas) or partition.leader < 0
        ]
    return found
