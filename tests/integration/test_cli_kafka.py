"""The command line on a real Kafka: how it finds it, and what it says when it cannot."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.cli_kit import prepare, serving, weft
from tests.support.workers import wait_until
from weft.cli._processes import SETTLED_S

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def folder(
    kafka_address: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory, with an application and a settings file."""
    prepare(tmp_path, monkeypatch)
    (tmp_path / "weft.toml").write_text(
        f'kafka = "{kafka_address}"\nnamespace = "{namespace}"\n'
        '[kafka_config]\nsecurity.protocol = "plaintext"\nclient.id = "shop"\n',
        encoding="utf-8",
    )
    return tmp_path


@pytest.mark.requirement("R3-42", "R3-45", "R3-46")
def test_everything_goes_over_kafka_when_the_settings_name_it(
    folder: Path, kafka_address: str, namespace: str
) -> None:
    created = weft("topics", "create", "--partitions", "2", "--queue", "default", "--queue", "slow")
    assert created.stdout.startswith("created with 2 partitions each: ")
    assert weft("topics", "check").stdout == "all topics are as they should be\n"
    with serving(folder, "worker", "shop.py", "--instance-id", "w1") as worker:
        worker.says(f"serving on kafka {kafka_address}, namespace {namespace}")
        assert weft("start", "hello", "--input", '"Ada"', "--wait").stdout == '"Hello, ADA!"\n'
        weft("start", "approve", "--input", '{"id": 7}', "--id", "a")
        weft("signal", "a", "approval", "--payload", '{"by": "Ada"}')
        assert weft("result", "a").stdout == '"order 7 approved by Ada"\n'
        weft("start", "approve", "--input", "{}", "--id", "b")
        weft("terminate", "b", "--reason", "not needed")
        assert weft("result", "b", "--json").error["status"] == "terminated"
        events = weft("history", "a", "--json").document["events"]
        assert [event["type"] for event in events] == [
            "WorkflowStarted",
            "TimerStarted",
            "SignalReceived",
            "TimerCancelled",
            "WorkflowCompleted",
        ]
        assert weft("purge", "--older-than", "0s", "--json").document == {"purged": 3}
        assert weft("list").stdout == "no workflows\n"
        assert worker.end(signal.SIGTERM) == 0
    assert not (folder / ".weft").exists()


def test_broker_that_does_not_answer_is_told_once(folder: Path) -> None:
    answer = weft("list", "--kafka", "127.0.0.1:1")
    assert (answer.status, answer.stdout) == (1, "")
    assert answer.stderr.startswith("Error: No Kafka broker answered at 127.0.0.1:1 within")
    assert "Connection refused" in answer.stderr
    assert answer.stderr.count("\n") == 1
    with serving(folder, "worker", "shop.py", "--kafka", "127.0.0.1:1") as worker:
        worker.says("Error: No Kafka broker answered")
        assert worker.process.wait() == 1
        assert len(worker.lines) == 1


def test_kafka_setting_that_is_none_is_told(folder: Path) -> None:
    error = weft("list", "--kafka-config", "acks.of.nobody=1", "--json").error
    assert error["error"] == "UsageError"
    assert "acks.of.nobody" in error["message"]


def test_namespace_without_topics_is_told(folder: Path, namespace: str) -> None:
    for command in (["list"], ["worker", "shop.py"], ["start", "hello"]):
        error = weft(*command, "--json").error
        assert error["error"] == "TopicError"
        assert f"weft topics create --namespace {namespace}" in error["message"]


def children_of(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(pid: int) -> list[int]:
    """Its worker processes, without what `multiprocessing` starts for itself."""
    return [
        child
        for child in children_of(pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_several_processes_share_the_partitions_and_a_dead_one_is_started_again(
    folder: Path,
) -> None:
    assert (
        weft(
            "topics", "create", "--partitions", "4", "--queue", "default", "--queue", "slow"
        ).status
        == 0
    )
    options = ("--processes", "2", "--instance-id", "pod")
    with serving(folder, "worker", "shop.py", *options) as process:
        process.says("serving on")

        def owners() -> set[str]:
            told = weft("doctor", "--json").document["findings"]
            return {name for one in told for name in ("pod-1", "pod-2") if name in one["what"]}

        wait_until(lambda: owners() == {"pod-1", "pod-2"}, "both own partitions")
        assert weft("start", "hello", "--input", '"Ada"', "--wait").stdout == '"Hello, ADA!"\n'
        before = workers_of(process.process.pid)
        assert len(before) == 2
        time.sleep(SETTLED_S)
        os.kill(before[0], signal.SIGKILL)
        process.says(r"process \d ended \(signal 9\) and is started again")
        wait_until(lambda: len(workers_of(process.process.pid)) == 2, "two again")
        assert process.end(signal.SIGTERM) == 0


def test_processes_that_cannot_be_started_are_told_and_end(folder: Path) -> None:
    with serving(
        folder, "worker", "shop.py", "--processes", "2", "--namespace", "nowhere"
    ) as process:
        process.says("nowhere.signals does not exist")
        process.says(r"process \d could not be started: exit status 1")
        assert process.process.wait(30) == 1
