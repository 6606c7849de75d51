"""What a local cluster consists of, and the settings of its brokers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".weft-kafka"
"""Everything that the helper writes: the jars, and one folder for each cluster with its state, data and logs."""

HOST = "127.0.0.1"
_STATE_FILE = "state.json"


class BrokerError(Exception):
    """A broker cannot be started or reached; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """One broker, which is a controller too. `port` is the clients'; all are on the loopback interface.

    With a proxy in front of it there is a second way in: who comes through `proxied_port` is told that the broker is
    at `proxy_port`. 0 is none.
    """

    node_id: int
    port: int
    controller_port: int
    proxied_port: int = 0
    proxy_port: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A local cluster, as `state.json` in its folder keeps it."""

    name: str
    runtime: str
    cluster_id: str
    nodes: tuple[Node, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return CACHE / self.name

    @property
    def address(self) -> str:
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def node_folder(self, node: Node) -> Path:
        return self.folder / f"broker-{node.node_id}"

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _STATE_FILE).write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


def load_layout(name: str) -> Layout | None:
    """The cluster that was started under this name and not removed since."""
    try:
        state = json.loads((CACHE / name / _STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    nodes = tuple(Node(**node) for node in state.pop("nodes"))
    return Layout(nodes=nodes, **state)


def broker_settings(layout: Layout) -> dict[str, str]:
    """What every broker of the cluster is told, apart from its own ID, listeners and folder."""
    replication = str(min(3, len(layout.nodes)))
    in_sync_min = "2" if len(layout.nodes) >= 3 else "1"
    settings = {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "min.insync.replicas": in_sync_min,
        "offsets.topic.replication.factor": replication,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": in_sync_min,
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": in_sync_min,
        "share.coordinator.state.topic.num.partitions": "4",
        # Tests join groups by the dozen and kill members on purpose: neither shall wait for what suits a big group.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed broker that comes back waits until the controller gives its former self up.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "4000",
        # Compaction at once, so that a test can wait for it.
        "log.cleaner.backoff.ms": "200",
        "log.cleaner.dedupe.buffer.size": "16777216",
        # Fit for two cores.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "num.replica.fetchers": "1",
        "log.cleaner.threads": "1",
    }
    if len(layout.nodes) == 1:
        # There is nobody to hand over to, and while it hands over it forgets the ends of transactions: "Couldn't find
        # leader endpoint ... can be skipped". Each of those stays undecided for good, and holds up all its readers.
        settings["controlled.shutdown.enable"] = "false"
    return settings | dict(layout.settings)
