"""What goes wrong, and how an operator sees and mends it: blocked runs, endless loops, dead letters; on both logs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_kit import PATIENCE_S, Serving, prepare, serving, weft
from weft.log import Log, open_log
from weft.topics import Namespace, partition_of

PARTITIONS = 2
APP = '''
import os
from pathlib import Path
from weft import activity, workflow

@activity.define
async def charge(cents: int) -> int:
    return cents

@activity.define
async def ship(cents: int) -> int:
    return cents

@workflow.define
async def moody(ctx: workflow.Context) -> str:
    """Not deterministic, as one must not be: it looks at a file."""
    await ctx.receive_signal("go")
    with workflow.unguarded():
        step = ship if Path("mood").exists() else charge
    await ctx.execute_activity(step, 1)
    return await ctx.receive_signal("end", str)

@workflow.define
async def spinning(ctx: workflow.Context) -> None:
    while True:
        pass

@workflow.define
async def patient(ctx: workflow.Context) -> str:
    return await ctx.receive_signal("end", str)
'''
WORKER = ("worker", "shop.py", "--instance-id", "w1", "--turn-max", "500ms")


class Desk:
    """A namespace on one of the logs, and the folder whose settings point at it."""

    def __init__(self, folder: Path, log: Log, name: str) -> None:
        self.folder = folder
        self.log = log
        self.names = Namespace(name)

    def produce(self, key: str, value: bytes, partition: int | None = None) -> None:
        """As any producer may: nobody checks what it writes."""
        producer = self.log.producer()
        number = partition_of(key.encode(), PARTITIONS) if partition is None else partition
        producer.produce(self.names.signals, number, key.encode(), value)
        assert producer.flush(10) == 0
        producer.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    prepare(tmp_path, monkeypatch)
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    name = request.getfixturevalue("namespace")
    on_kafka = request.param == "kafka"
    address = request.getfixturevalue("kafka_address") if on_kafka else ""
    where = f'kafka = "{address}"' if on_kafka else 'file = "shop.weft"'
    settings = f'{where}\nnamespace = "{name}"\n'
    (tmp_path / "weft.toml").write_text(settings, encoding="utf-8")
    assert weft("topics", "create", "--partitions", str(PARTITIONS)).status == 0
    log = open_log(kafka=address) if on_kafka else open_log(embedded=tmp_path / "shop.weft")
    yield Desk(tmp_path, log, name)
    log.close()


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once that is something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not in time: {what}"
        time.sleep(0.1)
    return found


def status_of(workflow_id: str) -> str:
    return str(weft("show", workflow_id, "--json").document["status"])


def line_of(text: str) -> int:
    """The number of the application's line that holds this."""
    return next(number for number, line in enumerate(APP.splitlines(), 1) if text in line)


def begin(process: Serving, *ids: str, workflow: str = "moody") -> None:
    process.says("serving on")
    for workflow_id in ids:
        assert weft("start", workflow, "--id", workflow_id).status == 0


def block(desk: Desk, *ids: str) -> None:
    """Let a worker die and another one find that the code asks for something else."""
    with serving(desk.folder, *WORKER) as process:
        begin(process, *ids)
        for workflow_id in ids:
            assert weft("signal", workflow_id, "go").status == 0
        process.end(signal.SIGKILL)
    (desk.folder / "mood").touch()


def test_blocked_runs_are_listed_with_reasons_and_go_on_when_they_are_unblocked(
    desk: Desk,
) -> None:
    block(desk, "a", "b", "c")
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        for workflow_id in ("a", "b", "c"):
            weft("signal", workflow_id, "end", "--payload", f'"{workflow_id} ended"')
        begin(process, "other", workflow="patient")
        listed = weft("list", "--status", "blocked", "--json").document
        assert sorted(one["workflow_id"] for one in listed) == ["a", "b", "c"]
        for one in listed:
            assert 'the history has ScheduleActivity "charge" (number 1)' in one["reason"]
            assert 'the code asked for ScheduleActivity "ship" (number 1)' in one["reason"]
            assert f"shop.py, line {line_of('activity(step')})" in one["reason"]
        assert "ScheduleActivity" in weft("list", "--status", "blocked").stdout

        refused = weft("unblock", "a", "--json").error
        assert refused["error"] == "RefusedError"
        assert "'a' is still blocked: Replay of a differs" in refused["message"]
        vain = weft("unblock", "--all", "--json")
        assert (vain.status, len(json.loads(vain.stdout))) == (1, 3)
        assert "still blocked" in weft("unblock", "a", "b").stdout
        running = weft("unblock", "other")
        assert (running.status, "'other' is running, not blocked" in running.stderr) == (1, True)

        (desk.folder / "mood").unlink()
        # Its activity's result may have come already: then what was kept for it takes it to its end.
        assert weft("unblock", "a").stdout in {"a is running\n", "a is completed\n"}
        assert (
            weft("unblock", "--all", "--workflow", "patient").stdout == "no workflow is blocked\n"
        )
        answers = weft("unblock", "--all", "--workflow", "moody", "--json").document
        assert sorted(answer["workflow_id"] for answer in answers) == ["b", "c"]
        assert {answer["why_not"] for answer in answers} == {None}
        for workflow_id in ("a", "b", "c"):
            assert weft("result", workflow_id).stdout == f'"{workflow_id} ended"\n'
        assert weft("unblock", "--all", "--json").document == []
        assert weft("unblock", "--workflow", "moody").status == 1
        assert "no workflow 'nobody'" in weft("unblock", "nobody").stderr


def test_blocked_run_goes_on_by_itself_when_fitting_code_is_deployed(desk: Desk) -> None:
    block(desk, "a")
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        weft("signal", "a", "end", "--payload", '"done"')
        until(lambda: status_of("a") == "blocked", "a is blocked")
        process.end(signal.SIGKILL)
    (desk.folder / "mood").unlink()
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        assert weft("result", "a").stdout == '"done"\n'


def test_looping_workflows_are_blocked_and_the_others_served_meanwhile(desk: Desk) -> None:
    """Twelve of them in one batch would hold the partition up for longer than a session lasts."""
    with serving(desk.folder, *WORKER) as process:
        begin(process, "good", workflow="patient")
        assert "it waits for a signal, an update or a condition" in weft("show", "good").stdout
        for number in range(12):
            value = {"kind": "start", "workflow": "spinning", "request_id": f"r-{number}"}
            desk.produce(f"spin-{number}", json.dumps(value).encode())
        desk.produce("good", b'{"signal": "end", "payload": "well"}')
        assert weft("result", "good").stdout == '"well"\n'
        blocked = until(
            lambda: (
                len(listed := weft("list", "--status", "blocked", "--json").document) == 12
                and listed
            ),
            "all twelve are blocked",
        )
        for one in blocked:
            assert one["reason"].startswith(
                "TurnTimeoutError: The workflow's code did not come to an `await` for 0.5 s ("
            )
            line = line_of("while True")
            assert f"shop.py, line {line})" in one["reason"] or (
                f"shop.py, line {line + 1})" in one["reason"]
            )
        assert not [line for line in process.lines if "lost to another" in line]
        code = APP.replace("    while True:\n        pass", '    await ctx.receive_signal("never")')
        (desk.folder / "shop.py").write_text(code, encoding="utf-8")
        process.end(signal.SIGKILL)
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        until(
            lambda: len(weft("list", "--status", "running", "--json").document) == 12,
            "mended code goes on",
        )


def test_dead_letters_are_listed_shown_mended_and_replayed(desk: Desk) -> None:
    desk.produce("a", b'{"signal": ""}')
    desk.produce("early", b'{"signal": "end", "payload": "by replay", "id": "e-1"}', partition=0)
    desk.produce("early", b'{"signal": "end", "payload": "by replay", "id": "e-1"}', partition=1)
    desk.produce("bytes", b"\xff\x00")
    assert weft("deadletters", "list").stdout == "no dead letters\n"
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        letters = until(
            lambda: len(found := weft("deadletters", "list", "--json").document) == 4 and found,
            "four dead letters",
        )
        by_key: dict[str, list[dict[str, Any]]] = {}
        for letter in letters:
            by_key.setdefault(letter["key"], []).append(letter)
        (nameless,), (unreadable,) = by_key["a"], by_key["bytes"]
        assert nameless["topic"] == desk.names.signals
        assert (nameless["value"], nameless["value_hex"]) == ({"signal": ""}, None)
        assert "Expected a signal name" in nameless["reason"]
        assert (unreadable["value"], unreadable["value_hex"]) == (None, "ff00")
        assert {letter["topic_partition"] for letter in by_key["early"]} == {0, 1}
        assert {letter["reason"] for letter in by_key["early"]} == {"there is no workflow 'early'"}
        listed = weft("deadletters", "list", "--reason", "NO WORKFLOW").stdout.splitlines()
        assert len(listed) == 3
        assert "open" in listed[1]
        assert weft("deadletters", "list", "--topic", "results").stdout == "no dead letters\n"
        assert weft("deadletters", "list", "--since", "1ms").stdout == "no dead letters\n"
        assert len(weft("deadletters", "list", "--limit", "1", "--json").document) == 1
        shown = weft("deadletters", "show", f"{nameless['partition']}@{nameless['offset']}")
        assert '{\n  "signal": ""\n}' in shown.stdout
        assert f"{desk.names.signals}-{nameless['topic_partition']}@" in shown.stdout

        begin(process, "a", "early", workflow="patient")
        place = f"{nameless['partition']}@{nameless['offset']}"
        bad = weft("deadletters", "replay", place, "--value", "{")
        assert (bad.status, "no record of" in bad.stderr) == (1, True)
        value = '{"signal": "end", "payload": "mended"}'
        mended = weft("deadletters", "replay", place, "--value", value, "--json").document
        assert mended[0]["replayed_to"].startswith(f"{desk.names.signals}-")
        assert weft("result", "a").stdout == '"mended"\n'

        plan = weft("deadletters", "replay", "--all", "--reason", "no workflow", "--dry-run")
        assert plan.stdout.endswith("2 would be replayed\n")
        unsure = weft("deadletters", "replay", "--all", "--reason", "no workflow")
        assert (unsure.status, "say --yes" in unsure.stderr) == (1, True)
        replay = ("deadletters", "replay", "--all", "--yes", "--reason", "no workflow")
        assert weft(*replay).stdout.endswith("2 replayed\n")
        assert weft("result", "early").stdout == '"by replay"\n'
        events = weft("history", "early", "--json").document["events"]
        assert [event["type"] for event in events].count("SignalReceived") == 1
        assert weft(*replay, "--json").document == [], "what was replayed is not replayed again"
        open_letters = weft("deadletters", "list", "--open", "--json").document
        assert "bytes" in {letter["key"] for letter in open_letters}
        shown = weft("deadletters", "show", place, "--json").document
        assert (shown["replay_count"], shown["replayed_to"]) == (1, mended[0]["replayed_to"])


def test_places_and_options_of_dead_letters_that_cannot_be_are_told(desk: Desk) -> None:
    assert "write PARTITION@OFFSET" in weft("deadletters", "show", "7").stderr
    assert "no partition 9" in weft("deadletters", "show", "9@1").stderr
    assert "no dead letter 0@1" in weft("deadletters", "show", "0@1", "--json").stderr
    assert "either PARTITION@OFFSET, or --all" in weft("deadletters", "replay").stderr
    assert "go with --all" in weft("deadletters", "replay", "0@1", "--topic", "signals").stderr
    assert "mend one record" in weft("deadletters", "replay", "--all", "--key", "a").stderr
    assert "cannot run for 0 s at most" in weft(*WORKER[:-1], "0s").stderr


def test_doctor_names_what_is_wrong_and_where(desk: Desk) -> None:
    findings = weft("doctor", "--json").document["findings"]
    assert [one["level"] for one in findings].count("warning") == 1
    assert "partitions 0, 1 were never served." in weft("doctor").stdout
    producer = desk.log.producer()
    number = partition_of(b"busy", PARTITIONS)
    for index in range(200):
        value = json.dumps({"signal": "go", "id": f"s-{index}"}).encode()
        producer.produce(desk.names.signals, number, b"busy", value)
    producer.produce(desk.names.signals, 1 - number, b"calm", b"{")
    assert producer.flush(10) == 0
    producer.close()
    with serving(desk.folder, *WORKER) as process:
        process.says("serving on")
        until(lambda: "dead letters in the last hour." in weft("doctor").stdout, "dead letters")
        assert "no worker answers" not in weft("doctor").stdout
    told = weft("doctor").stdout
    assert "2 partitions, last claimed by 1 worker: w1" in told
    assert "no worker answers for partitions 0, 1 (within 5 s)" in told, "w1 has been stopped"
    assert f"workflow 'busy' gets 100% of the signals of partition {number}" in told
    assert f"partition {number} gets" in told
    admin = desk.log.admin()
    admin.delete_topics([desk.names.owners])
    admin.close()
    answer = weft("doctor")
    assert answer.status == 1
    assert "ERROR" in answer.stdout
    assert desk.names.owners in answer.stdout
