"""What every test may ask for: a real Kafka (`kafka_address`), names on it (`namespace`), either log (`log`).

One broker serves a whole test run, also when pytest-xdist spreads it over several processes: the first test that needs
it starts it, under a lock, on behalf of the process that runs the session; when that process ends, however it ends, the
broker goes with it. `WEFT_KAFKA=host:port` uses a broker that is there. Without any, these tests fail and say what to
install: they are never skipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from weft.log import Log, open_log

CHECKOUT = Path(__file__).resolve().parents[1]
if str(CHECKOUT) not in sys.path:
    sys.path.insert(0, str(CHECKOUT))

from deploy.kafka.broker import BrokerError, given_address, remove_cluster, start_broker  # noqa: E402 - needs the path

_SESSION_FOLDER = "WEFT_TEST_SESSION_FOLDER"
_SESSION_PID = "WEFT_TEST_SESSION_PID"
_TOPIC_LIST_TIMEOUT_S = 10.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kafka: needs a real Kafka broker (starts one; fails where that is not possible)"
    )
    if not hasattr(config, "workerinput"):
        os.environ[_SESSION_FOLDER] = tempfile.mkdtemp(prefix="weft-tests-")
        os.environ[_SESSION_PID] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    folder = Path(os.environ[_SESSION_FOLDER])
    broker = folder / "broker.json"
    if broker.exists():
        remove_cluster(json.loads(broker.read_text(encoding="utf-8"))["name"])
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka_address" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka_address() -> str:
    """`host:port` of the broker of this test run."""
    try:
        return given_address() or _shared_address()
    except BrokerError as error:
        pytest.fail(str(error), pytrace=False)


def _shared_address() -> str:
    """Start the run's broker, or wait for the process that does; a failure is found out once for all of them."""
    folder = Path(os.environ[_SESSION_FOLDER])
    state_file = folder / "broker.json"
    with (folder / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not state_file.exists():
            state = _started_broker(int(os.environ[_SESSION_PID]))
            state_file.write_text(json.dumps(state), encoding="utf-8")
    state = json.loads(state_file.read_text(encoding="utf-8"))
    if state["error"]:
        raise BrokerError(state["error"])
    return str(state["address"])


def _started_broker(session_pid: int) -> dict[str, str]:
    try:
        cluster = start_broker(owner_pid=session_pid)
    except BrokerError as error:
        return {"name": "", "address": "", "error": str(error)}
    return {"name": cluster.name, "address": cluster.address, "error": ""}


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix for topics, groups and transactional IDs that no other test uses. Its topics are deleted afterwards."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    on_kafka = request.node.get_closest_marker("kafka") is not None
    address = request.getfixturevalue("kafka_address") if on_kafka else ""
    yield prefix
    if on_kafka:
        _delete_topics(address, prefix)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """One log after the other: what both must do alike."""
    if request.param == "embedded":
        opened = open_log(embedded=tmp_path / "log.weft")
    else:
        opened = open_log(kafka=request.getfixturevalue("kafka_address"))
    with closing(opened):
        yield opened


def _delete_topics(address: str, prefix: str) -> None:
    """Ask for it and do not wait: nothing depends on it but the broker's open files."""
    admin = AdminClient({"bootstrap.servers": address})
    topics = [
        name
        for name in admin.list_topics(timeout=_TOPIC_LIST_TIMEOUT_S).topics
        if name.startswith(prefix)
    ]
    if topics:
        for future in admin.delete_topics(topics).values():
            future.result()
