"""Starting, stopping, killing and removing the brokers of a local cluster, whatever runs them."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from deploy.kafka._docker import DockerRuntime
from deploy.kafka._java import JavaRuntime
from deploy.kafka._layout import HOST, BrokerError, Layout, Node, load_layout
from deploy.kafka._probe import broker_ids, free_ports, is_free

START_TIMEOUT_S = 90.0
_START_TRIES_MAX = 3
_PROGRESS_INTERVAL_S = 3.0
_POLL_S = 0.1
_LOG_TAIL_LINES = 25

Runtime = JavaRuntime | DockerRuntime
Progress = Callable[[str], None]


def silent(message: str) -> None:
    """The default of `progress`: say nothing."""


class Broker:
    """One broker of a local cluster. It may be stopped, killed and started again; its data stays."""

    def __init__(self, layout: Layout, node: Node, runtime: Runtime) -> None:
        self._layout = layout
        self._node = node
        self._runtime = runtime
        self.node_id = node.node_id
        self.port = node.port
        self.proxied_port = node.proxied_port
        """Where a proxy in front of it finds it; 0 without one."""
        self.address = f"{HOST}:{node.port}"

    @property
    def pid(self) -> int | None:
        """Its process ID while it runs."""
        return self._runtime.pid(self._layout, self._node)

    def is_running(self) -> bool:
        return self._runtime.is_running(self._layout, self._node)

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        return self._runtime.log_tail(self._layout, self._node, lines)

    def start(self) -> None:
        """Start it after `stop` or `kill`; `Cluster.wait_until_ready` waits until it serves."""
        self._runtime.start(self._layout, self._node)

    def stop(self) -> None:
        """Shut down as an operator would: leaders move away, files are closed."""
        self._runtime.stop(self._layout, self._node)

    def kill(self) -> None:
        """End at once, as a power cut would.

        A lone broker must not be in the middle of a commit: Kafka 4.3 gives the markers up that were still to be
        written when it starts again, and the transaction stays undecided for good. With three brokers and three
        replicas they are written by whoever takes over.
        """
        self._runtime.kill(self._layout, self._node)

    def knows(self) -> frozenset[int]:
        """The IDs of the brokers that this one knows to be serving; empty when it does not serve itself."""
        try:
            return broker_ids(HOST, self.port)
        except (OSError, ValueError):
            return frozenset()


class Cluster:
    """A local Kafka of one or more brokers. `address` is what clients are given. Leaving a `with` block removes it."""

    def __init__(self, layout: Layout, runtime: Runtime) -> None:
        self._layout = layout
        self._runtime = runtime
        self.name = layout.name
        self.runtime = runtime.name
        self.address = layout.address
        self.brokers = [Broker(layout, node, runtime) for node in layout.nodes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.remove()

    @property
    def pids(self) -> list[int]:
        return [pid for broker in self.brokers if (pid := broker.pid) is not None]

    def is_running(self) -> bool:
        """Whether any of its brokers runs."""
        return any(broker.is_running() for broker in self.brokers)

    def stop(self) -> None:
        """Shut all brokers down and keep their data."""
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """End all brokers at once and keep their data."""
        for broker in self.brokers:
            broker.kill()

    def restart(self) -> None:
        """Start the brokers that do not run, and wait until all serve."""
        for broker in self.brokers:
            if not broker.is_running():
                broker.start()
        self.wait_until_ready()

    def remove(self) -> None:
        """End all brokers and delete their data."""
        self._runtime.remove(self._layout)

    def wait_until_ready(
        self, timeout_s: float = START_TIMEOUT_S, progress: Progress = silent
    ) -> None:
        """Wait until every running broker serves and knows the others. Raises `BrokerError` with the end of the log."""
        began = reported = time.monotonic()
        running = [broker for broker in self.brokers if broker.is_running()]
        wanted = {broker.node_id for broker in running}
        while not (running and all(broker.knows() >= wanted for broker in running)):
            ended = next((broker for broker in self.brokers if not broker.is_running()), None)
            if ended is not None and (ended in running or not running):
                raise BrokerError(
                    f"Broker {ended.node_id} ended while it started. Its log:\n{ended.log_tail()}"
                )
            now = time.monotonic()
            if now - began > timeout_s:
                raise BrokerError(
                    f"No answer within {timeout_s:.0f} s. The broker's log:\n{running[0].log_tail()}"
                )
            if now - reported > _PROGRESS_INTERVAL_S:
                reported = now
                progress(f"waiting for the broker, {now - began:.0f} s ...")
            time.sleep(_POLL_S)


def create_cluster(
    name: str,
    count: int,
    port: int | None,
    settings: Mapping[str, str],
    progress: Progress,
    proxy_ports: Sequence[int] = (),
) -> Cluster:
    """Start `count` brokers and wait until they serve. Raises `BrokerError`, with nothing left behind."""
    if proxy_ports and len(proxy_ports) != count:
        raise BrokerError(f"{count} brokers need {count} proxies or none, not {len(proxy_ports)}.")
    if port is not None:
        _check_ports_free(range(port, port + count))
    runtime = _choose_runtime(progress)
    tries = 0
    while True:
        tries += 1
        nodes = _new_nodes(count, port, proxy_ports)
        # Kafka's own form of a UUID; a leading dash would be taken for an option of its tools.
        cluster_id = "w" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        layout = Layout(name, runtime.name, cluster_id, nodes, settings)
        cluster = Cluster(layout, runtime)
        try:
            layout.save()
            runtime.create(layout)
            progress(f"starting {count} broker(s) with {runtime.name} at {layout.address} ...")
            for broker in cluster.brokers:
                broker.start()
            cluster.wait_until_ready(progress=progress)
        except BrokerError as error:
            cluster.remove()
            # Between our looking for a free port and the broker's taking it, somebody else may have taken it.
            if tries == _START_TRIES_MAX or "BindException" not in str(error):
                raise
        except BaseException:
            cluster.remove()
            raise
        else:
            return cluster


def find_cluster(name: str) -> Cluster | None:
    """The cluster that was started under this name and not removed since; its brokers need not be running."""
    layout = load_layout(name)
    if layout is None:
        return None
    return Cluster(
        layout, DockerRuntime() if layout.runtime == DockerRuntime.name else JavaRuntime()
    )


def _choose_runtime(progress: Progress) -> Runtime:
    reasons: list[str] = []
    for runtime in (DockerRuntime(), JavaRuntime()):
        try:
            runtime.prepare(progress)
        except BrokerError as error:
            reasons.append(f"  {runtime.name}: {error}")
        else:
            return runtime
    raise BrokerError(
        "No way to run a local Kafka here:\n" + "\n".join(reasons) + "\n"
        "Either start a Docker engine, or install a Java runtime of version 17 or later and Maven "
        "(Debian: `apt install openjdk-17-jre-headless maven`), or set WEFT_KAFKA=host:port to use your own broker."
    )


def _new_nodes(count: int, port: int | None, proxy_ports: Sequence[int]) -> tuple[Node, ...]:
    free = free_ports(count * 3)
    ports = free[:count] if port is None else list(range(port, port + count))
    nodes = []
    for index in range(count):
        ways_in = (free[2 * count + index], proxy_ports[index]) if proxy_ports else (0, 0)
        nodes.append(Node(index + 1, ports[index], free[count + index], *ways_in))
    return tuple(nodes)


def _check_ports_free(ports: range) -> None:
    for port in ports:
        if is_free(port):
            continue
        try:
            broker_ids(HOST, port)
        except (OSError, ValueError):
            what = "something that is not a Kafka broker"
        else:
            what = f"a Kafka broker that this checkout did not start (WEFT_KAFKA={HOST}:{port} uses it)"
        raise BrokerError(
            f"Port {port} is taken by {what}. WEFT_KAFKA_PORT or --port choose another one."
        )
