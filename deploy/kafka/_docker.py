"""Brokers as containers of the `apache/kafka` image, where a Docker engine answers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from deploy.kafka._layout import HOST, BrokerError, Layout, Node, broker_settings

IMAGE = "apache/kafka:4.3.0"
_INTERNAL_PORT = 29092
_CONTROLLER_PORT = 29093
_DATA_FOLDER = "/tmp/kraft-combined-logs"  # noqa: S108 - in the container, where the image's user may write
_ENGINE_TIMEOUT_S = 15
_PULL_TIMEOUT_S = 600


class DockerRuntime:
    """Runs the brokers with `docker`, one container each, on a network of their own."""

    name = "docker"

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Raises `BrokerError` when no Docker engine answers, or it cannot get the image."""
        if shutil.which("docker") is None:
            raise BrokerError("there is no `docker` command")
        if _docker("info", timeout_s=_ENGINE_TIMEOUT_S, check=False).returncode != 0:
            raise BrokerError(
                "`docker` is there, but no Docker engine answers it (`docker info` fails)"
            )
        if _docker("image", "inspect", IMAGE, check=False).returncode != 0:
            progress(f"pulling {IMAGE}, this first time only ...")
            _docker("pull", "--quiet", IMAGE, timeout_s=_PULL_TIMEOUT_S)

    def create(self, layout: Layout) -> None:
        _docker("network", "create", _network(layout))
        for node in layout.nodes:
            settings = broker_settings(layout) | _own_settings(layout, node)
            environment = [f"--env={_variable(key)}={value}" for key, value in settings.items()]
            _docker(
                "create", f"--name={_container(layout, node)}", f"--network={_network(layout)}",
                *(f"--publish={HOST}:{port}:{port}" for port in (node.port, node.proxied_port) if port),
                f"--env=CLUSTER_ID={layout.cluster_id}", "--env=KAFKA_HEAP_OPTS=-Xmx1g", *environment, IMAGE,
            )  # fmt: skip

    def start(self, layout: Layout, node: Node) -> None:
        _docker("start", _container(layout, node))

    def pid(self, layout: Layout, node: Node) -> int | None:
        """The broker's process ID as the engine's machine numbers it, while it runs."""
        done = _docker("inspect", "--format={{.State.Pid}}", _container(layout, node), check=False)
        pid = int(done.stdout.strip() or 0) if done.returncode == 0 else 0
        return pid or None

    def is_running(self, layout: Layout, node: Node) -> bool:
        return self.pid(layout, node) is not None

    def stop(self, layout: Layout, node: Node) -> None:
        _docker("stop", "--time=30", _container(layout, node))

    def kill(self, layout: Layout, node: Node) -> None:
        if self.is_running(layout, node):
            _docker("kill", _container(layout, node))

    def log_tail(self, layout: Layout, node: Node, lines: int) -> str:
        done = _docker("logs", f"--tail={lines}", _container(layout, node), check=False)
        return done.stdout + done.stderr

    def remove(self, layout: Layout) -> None:
        for node in layout.nodes:
            _docker("rm", "--force", "--volumes", _container(layout, node), check=False)
        _docker("network", "rm", _network(layout), check=False)
        shutil.rmtree(layout.folder, ignore_errors=True)


def _own_settings(layout: Layout, node: Node) -> dict[str, str]:
    """Clients come through the published port; brokers talk to each other on the containers' network."""
    voters = ",".join(
        f"{other.node_id}@{_container(layout, other)}:{_CONTROLLER_PORT}" for other in layout.nodes
    )
    listeners = (
        f"PLAINTEXT://:{node.port},INTERNAL://:{_INTERNAL_PORT},CONTROLLER://:{_CONTROLLER_PORT}"
    )
    internal = f"INTERNAL://{_container(layout, node)}:{_INTERNAL_PORT}"
    advertised = f"PLAINTEXT://{HOST}:{node.port},{internal}"
    protocols = "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
    if node.proxy_port:
        listeners += f",PROXIED://:{node.proxied_port}"
        advertised += f",PROXIED://{HOST}:{node.proxy_port}"
    return {
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": listeners,
        "advertised.listeners": advertised,
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "INTERNAL",
        "log.dirs": _DATA_FOLDER,
    }


def _variable(setting: str) -> str:
    """The image's own rule for settings given as environment variables."""
    return "KAFKA_" + setting.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _container(layout: Layout, node: Node) -> str:
    return f"weft-kafka-{layout.name}-{node.node_id}"


def _network(layout: Layout) -> str:
    return f"weft-kafka-{layout.name}"


def _docker(
    *arguments: str, timeout_s: float = 60.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"`docker {arguments[0]}` did not end within {timeout_s:.0f} s"
        ) from error
    if check and done.returncode != 0:
        raise BrokerError(f"`docker {arguments[0]}` failed: {done.stderr.strip()[-2000:]}")
    return done
