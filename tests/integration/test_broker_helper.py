"""The local Kafka of `deploy/kafka`: what the tests, the demo and the benchmarks stand on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from deploy.kafka._layout import CACHE
from deploy.kafka._probe import broker_ids, free_ports
from deploy.kafka._processes import is_alive
from deploy.kafka.broker import BrokerError, start_broker, start_cluster

pytestmark = pytest.mark.kafka

COMMAND = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "broker.py"
TIMEOUT_S = 120.0


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "WEFT_KAFKA"}
    return subprocess.run(
        [sys.executable, str(COMMAND), *arguments],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=inherited | environment,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_up_status_and_down_manage_one_broker() -> None:
    port = str(free_ports(1)[0])
    try:
        first = run_command("up", WEFT_KAFKA_PORT=port)
        again = run_command("up", "--port", port)
        status = run_command("status", "--port", port)
    finally:
        down = run_command("down", "--port", port)
    assert (first.returncode, first.stdout) == (0, f"127.0.0.1:{port}\n"), first.stderr
    assert (again.returncode, again.stdout) == (0, f"127.0.0.1:{port}\n")
    assert status.returncode == 0
    assert "pid" in status.stdout
    assert down.returncode == 0
    pids = re.findall(r"pid (\d+)", status.stdout)
    assert pids
    assert not [pid for pid in pids if is_alive(int(pid))], "the port may be somebody else's by now"
    assert not (CACHE / f"port-{port}").exists()
    assert run_command("status", "--port", port).returncode == 1
    assert run_command("down", "--port", port).returncode == 0


def test_up_says_so_when_the_port_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        done = run_command("up", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken by something that is not a Kafka broker" in done.stderr


def test_up_says_what_to_install_when_nothing_can_run_a_broker(tmp_path: Path) -> None:
    done = run_command("up", "--port", str(free_ports(1)[0]), PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == 1
    assert "there is no `docker` command" in done.stderr
    assert "there is no Java runtime" in done.stderr
    assert "install a Java runtime of version 17 or later and Maven" in done.stderr


def test_given_broker_is_used_and_only_looked_at(kafka_address: str) -> None:
    up = run_command("up", WEFT_KAFKA=kafka_address)
    assert (up.returncode, up.stdout) == (0, f"{kafka_address}\n")
    assert (
        run_command("down", "--port", str(free_ports(1)[0]), WEFT_KAFKA=kafka_address).returncode
        == 0
    )
    host, _, port = kafka_address.rpartition(":")
    assert broker_ids(host, int(port))


def test_given_broker_that_does_not_answer_is_an_error() -> None:
    done = run_command("up", WEFT_KAFKA=f"127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 1
    assert "no Kafka broker answers there" in done.stderr


def test_broker_keeps_its_data_when_killed_or_stopped() -> None:
    with start_broker() as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.address})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(TIMEOUT_S)
        cluster.kill()
        assert cluster.pids == []
        cluster.restart()
        assert "kept" in admin.list_topics(timeout=TIMEOUT_S).topics
        cluster.stop()
        assert "SHUTTING_DOWN to SHUTDOWN" in cluster.brokers[0].log_tail(200)
        cluster.restart()
        assert "kept" in admin.list_topics(timeout=TIMEOUT_S).topics
    assert not cluster.is_running()


def test_broker_that_cannot_start_shows_the_end_of_its_log() -> None:
    with pytest.raises(BrokerError, match="Invalid value not-a-number"):
        start_broker(settings={"num.io.threads": "not-a-number"})


def test_broker_ends_when_its_owner_is_killed() -> None:
    program = (
        f"import sys, time; sys.path.insert(0, {str(COMMAND.parents[2])!r})\n"
        "from deploy.kafka.broker import start_broker\n"
        "print(start_broker().brokers[0].port, flush=True)\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        assert is_listening(port)
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.communicate()
    wait_until(lambda: not is_listening(port))


def test_three_brokers_serve_while_one_is_down() -> None:
    with start_cluster(3) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.address})
        admin.create_topics([NewTopic("shared", 1, 3)])["shared"].result(TIMEOUT_S)
        wait_until(lambda: "shared" in admin.list_topics(timeout=TIMEOUT_S).topics)
        replicas = admin.list_topics(timeout=TIMEOUT_S).topics["shared"].partitions[0].replicas
        assert sorted(replicas) == [1, 2, 3]
        first, *others = cluster.brokers
        first.kill()
        wait_until(lambda: all(broker.knows() == {2, 3} for broker in others))
        cluster.restart()
        assert all(broker.knows() == {1, 2, 3} for broker in cluster.brokers)
