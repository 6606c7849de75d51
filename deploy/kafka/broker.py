"""A local Kafka for trying things out: one broker, or three, on the loopback interface.

    python deploy/kafka/broker.py up|down|status [--port 19092] [--brokers 1|3]

Runs with Docker where a Docker engine answers, otherwise from a Java runtime and the jars that Maven resolves; it needs
nothing but Python's standard library. `WEFT_KAFKA_PORT` changes the port; `WEFT_KAFKA=host:port` names a broker that is
there already: then nothing is started or stopped, only looked at.

Tests, benchmarks and the demo use `found_or_started`, `start_broker` and `start_cluster`: what those start ends with
the process that owns it, however that ends.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import fcntl
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

if __package__ in (
    None,
    "",
):  # run as a command: the checkout stands in for this folder on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from deploy.kafka._cluster import Broker, Cluster, Progress, create_cluster, find_cluster, silent
from deploy.kafka._layout import CACHE, BrokerError
from deploy.kafka._probe import broker_ids
from deploy.kafka._processes import detach, is_alive

__all__ = [
    "Broker",
    "BrokerError",
    "Cluster",
    "found_or_started",
    "given_address",
    "remove_cluster",
    "start_broker",
    "start_cluster",
    "up_address",
]

PORT_DEFAULT = 19092
_GUARD_INTERVAL_S = 0.5


def start_broker(
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    owner_pid: int | None = None,
    progress: Progress = silent,
    proxy_ports: Sequence[int] = (),
) -> Cluster:
    """Start one broker on `port` (None: a free one); otherwise as `start_cluster`."""
    return start_cluster(
        1,
        port=port,
        settings=settings,
        owner_pid=owner_pid,
        progress=progress,
        proxy_ports=proxy_ports,
    )


def start_cluster(
    count: int,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    owner_pid: int | None = None,
    progress: Progress = silent,
    proxy_ports: Sequence[int] = (),
) -> Cluster:
    """Start `count` brokers and wait until they serve.

    `port` is the first one's, the others follow it; None takes free ones. `settings` are further ones of the broker, by
    Kafka's names. `proxy_ports` are where somebody's proxies listen, one for each broker: who comes through a proxy (to
    `Broker.proxied_port`) is sent to the proxies for everything else too. The cluster is removed when the process
    `owner_pid` (None: this one) ends, however it ends. Raises `BrokerError`.
    """
    owner = os.getpid() if owner_pid is None else owner_pid
    name = f"owned-{owner}-{uuid.uuid4().hex[:8]}"
    guard = _start_guard(name, owner)
    try:
        cluster = create_cluster(name, count, port, settings or {}, progress, proxy_ports)
    except BaseException:
        guard.kill()
        guard.wait()
        raise
    if owner == os.getpid():
        atexit.register(cluster.remove)
    return cluster


@contextlib.contextmanager
def found_or_started(progress: Progress = silent) -> Iterator[str]:
    """The address of a broker: that of `WEFT_KAFKA`, or of `up`, or of one that ends with the `with` block."""
    address = given_address() or up_address()
    if address is not None:
        yield address
        return
    with start_broker(progress=progress) as cluster:
        yield cluster.address


def given_address() -> str | None:
    """What `WEFT_KAFKA` says, if it is set. Raises `BrokerError` when no broker answers there."""
    address = os.environ.get("WEFT_KAFKA")
    if not address:
        return None
    try:
        host, _, port = address.partition(",")[0].rpartition(":")
        broker_ids(host.strip("[]"), int(port), timeout_s=5.0)
    except (OSError, ValueError) as error:
        raise BrokerError(
            f"WEFT_KAFKA={address}, but no Kafka broker answers there in plain text ({error}). "
            "Start it, correct the address (host:port), or unset WEFT_KAFKA to start a local one."
        ) from error
    return address


def up_address() -> str | None:
    """The address of the broker that `up` started on the present port, if it runs."""
    cluster = find_cluster(_up_name(_port_from_environment()))
    return cluster.address if cluster is not None and cluster.is_running() else None


def remove_cluster(name: str) -> bool:
    """End the brokers of the cluster of this name and delete its data; returns whether there was one."""
    cluster = find_cluster(name)
    if cluster is not None:
        cluster.remove()
    return cluster is not None


def up(port: int, count: int, progress: Progress) -> str:
    """Start a local Kafka that stays until `down`; returns its address. Raises `BrokerError`."""
    address = given_address()
    if address is not None:
        return address
    name = _up_name(port)
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find_cluster(name)
        if found is not None and found.is_running():
            found.restart()
            return found.address
        if found is not None:
            progress("the former broker has ended without `down`: its data is removed")
            found.remove()
        return create_cluster(name, count, port, {}, progress).address


def down(port: int) -> bool:
    """Stop what `up` started on this port and delete its data; returns whether there was anything."""
    return remove_cluster(_up_name(port))


def _up_name(port: int) -> str:
    return f"port-{port}"


def _port_from_environment() -> int:
    text = os.environ.get("WEFT_KAFKA_PORT", "") or str(PORT_DEFAULT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise BrokerError(f"WEFT_KAFKA_PORT is {text!r}, which is no port number (1 to 65535).")
    return int(text)


def _start_guard(name: str, owner_pid: int) -> subprocess.Popen[bytes]:
    """A small process that removes the cluster once its owner is gone: a killed one cannot clean up after itself."""
    guard = subprocess.Popen(
        [sys.executable, "-S", __file__, "guard", name, str(owner_pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    detach(guard)
    return guard


def guard(name: str, owner_pid: int) -> None:
    """Wait for the owner's end or the cluster's regular removal, whichever is first."""
    seen = False
    while is_alive(owner_pid):
        exists = (CACHE / name).exists()
        if seen and not exists:
            return
        seen = seen or exists
        time.sleep(_GUARD_INTERVAL_S)
    remove_cluster(name)


def _status(port: int) -> tuple[int, str]:
    given = given_address()
    if given is not None:
        return 0, f"{given} answers (from WEFT_KAFKA)"
    cluster = find_cluster(_up_name(port))
    if cluster is None or not cluster.is_running():
        return 1, f"no broker was started on port {port}; `up` starts one"
    brokers = ", ".join(
        f"{broker.address} pid {broker.pid or 'none: it has ended'}" for broker in cluster.brokers
    )
    return (
        0,
        f"running with {cluster.runtime}: {brokers}; files in {(CACHE / cluster.name).name}/ of .weft-kafka/",
    )


def _say(message: str) -> None:
    print(f"kafka: {message}", file=sys.stderr, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="broker.py", description="A local Kafka on the loopback interface."
    )
    parser.add_argument("what", choices=["up", "down", "status"])
    parser.add_argument("--port", type=int, help=f"default: WEFT_KAFKA_PORT or {PORT_DEFAULT}")
    parser.add_argument(
        "--brokers", type=int, choices=[1, 3], default=1, help="three take the two next ports too"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit status 0: done, or running; 1: not running, or not possible (stderr says why)."""
    options = _arguments(arguments)
    commands: dict[str, Callable[[int], int]] = {
        "up": lambda port: _print_up(up(port, options.brokers, _say)),
        "down": lambda port: _print_down(port, stopped=down(port)),
        "status": _print_status,
    }
    try:
        return commands[options.what](options.port or _port_from_environment())
    except BrokerError as error:
        _say(str(error))
        return 1


def _print_up(address: str) -> int:
    print(address)
    return 0


def _print_down(port: int, *, stopped: bool) -> int:
    _say(
        f"the broker on port {port} is stopped and its data removed"
        if stopped
        else "there was nothing to stop"
    )
    return 0


def _print_status(port: int) -> int:
    status, text = _status(port)
    print(text)
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["guard"]:
        guard(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
