"""The settings of the clients: what is ours to choose, and what a user may add."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger("weft.log.kafka")
"""What the clients have to say (broken connections, rebalances) goes here, when they are polled."""

Settings = dict[str, Any]

RECORD_BYTES_MAX = 64 * 1024 * 1024
"""The clients' own limit, far above any topic's: what a topic takes is checked against its settings."""

_SOCKET_TIMEOUT_MS = 10_000
_POLL_INTERVAL_MS_MAX = 60_000

_TRANSACTION_LINGER_MS = 0.3

_COMMON: Settings = {
    # Failed requests are tried again at once: a transaction's requests meet each other at the broker all the time
    # (`CONCURRENT_TRANSACTIONS`), and the usual 100 ms would be twenty times what a transaction takes.
    "retry.backoff.ms": 1,
    "retry.backoff.max.ms": 250,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.propagation.max.ms": 5000,
    # A connection that is up and dead (a firewall forgot it, the broker's machine is gone) is noticed by this alone.
    "socket.timeout.ms": _SOCKET_TIMEOUT_MS,
    "socket.nagle.disable": True,
}
_PRODUCER: Settings = {
    "compression.type": "lz4",
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 512 * 1024,
}
_CONSUMER: Settings = {
    # A partition that is assigned or resumed joins the next fetch, so none may wait for long.
    "fetch.wait.max.ms": 50,
    "fetch.error.backoff.ms": 50,
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 16 * 1024,
}


class ClientSettings:
    """Makes each client's settings. The user's win over our defaults, and never over what the contract needs."""

    def __init__(self, bootstrap: str, config: Mapping[str, str]) -> None:
        self.bootstrap = bootstrap
        self._config = dict(config)

    def admin(self) -> Settings:
        return self._merged({}, {})

    def producer(self, gather_s: float = 0.0) -> Settings:
        vital: Settings = {"enable.idempotence": True, "message.max.bytes": RECORD_BYTES_MAX}
        return self._merged(_PRODUCER | {"linger.ms": gather_s * 1000}, vital)

    def transactional(self, transactional_id: str, timeout_s: float) -> Settings:
        timeout_ms = int(self._config.get("transaction.timeout.ms", timeout_s * 1000))
        answer_ms = int(self._config.get("socket.timeout.ms", _SOCKET_TIMEOUT_MS))
        defaults = _PRODUCER | {
            "transaction.timeout.ms": timeout_ms,
            # What is appended together goes out together, and yet while the offsets are on their way.
            "linger.ms": _TRANSACTION_LINGER_MS,
        }
        vital: Settings = {
            "transactional.id": transactional_id,
            "message.max.bytes": RECORD_BYTES_MAX,
            # The client refuses to wait for an answer for longer than the transaction lives.
            "socket.timeout.ms": max(min(answer_ms, timeout_ms - 100), 10),
        }
        return self._merged(defaults, vital)

    def group(self, group: str, instance_id: str | None, session_timeout_s: float) -> Settings:
        session_ms = round(session_timeout_s * 1000)
        defaults: Settings = _CONSUMER | {
            # All topics share one queue in the client, first come, first served, and while it is this full none is
            # fetched. So a backlog of one topic must fill it for moments only.
            "queued.min.messages": 2000,
            "fetch.message.max.bytes": 128 * 1024,
            # A rebalance begins for a member with its next heartbeat, and takes two rounds.
            "heartbeat.interval.ms": max(1, min(session_ms // 3, 300)),
            "session.timeout.ms": session_ms,
            # Who does not poll for so long gives his partitions up. It also bounds the wait for the group's answer to a
            # join, for which a connection that died meanwhile is not noticed any sooner.
            "max.poll.interval.ms": max(_POLL_INTERVAL_MS_MAX, session_ms),
        }
        vital = _vital_consumer(group, committed=True) | {
            "partition.assignment.strategy": "cooperative-sticky",
        }
        if instance_id is not None:
            vital["group.instance.id"] = instance_id
        return self._merged(defaults, vital)

    def reader(self, name: str, *, committed: bool) -> Settings:
        return self._merged(_CONSUMER, _vital_consumer(name, committed=committed))

    def reader_to_end(self, name: str, *, committed: bool) -> Settings:
        # The end of a partition is told by a fetch that came back empty: the broker shall not hold that one back.
        vital = _vital_consumer(name, committed=committed)
        return self._merged(
            _CONSUMER | {"fetch.wait.max.ms": 2}, vital | {"enable.partition.eof": True}
        )

    def reader_at(self, name: str) -> Settings:
        # For single records, whose offsets are known to be committed: little is fetched beside them. All partitions
        # share the client's queue: with a smaller minimum, one that has much keeps the others from being fetched.
        vital = _vital_consumer(name, committed=False) | {
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
        return self._merged(
            _CONSUMER
            | {
                "fetch.wait.max.ms": 2,
                "fetch.queue.backoff.ms": 1,
                "fetch.message.max.bytes": 64 * 1024,
                "queued.min.messages": 1000,
            },
            vital,
        )

    def _merged(self, defaults: Settings, vital: Settings) -> Settings:
        return {**_COMMON, **defaults, **self._config, **vital, "bootstrap.servers": self.bootstrap}


def _vital_consumer(group: str, *, committed: bool) -> Settings:
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed" if committed else "read_uncommitted",
    }
