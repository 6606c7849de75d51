"""The command line on the embedded log: `weft dev` in a process, and every command that one types beside it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_kit import PATIENCE_S, Serving, prepare, serving, weft


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an application, and none of this machine's settings."""
    return prepare(tmp_path, monkeypatch)


@pytest.fixture
def dev(folder: Path) -> Iterator[Serving]:
    with serving(folder, "dev", "shop.py") as process:
        process.says("start one:")
        yield process


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline_s, f"no {path.name}"
        time.sleep(0.02)


@pytest.mark.requirement("R3-7")
def test_workflow_is_started_and_its_result_printed(dev: Serving) -> None:
    assert [line for line in dev.lines if " weft." not in line] == [
        "serving on embedded dev.weft, namespace default",
        "  workflows   hello, approve, refuse, changed, slow",
        "  activities  greet, shout, hold",
        "start one:  weft start hello --input '\"Ada\"' --wait",
    ]
    answer = weft("start", "hello", "--input", '"Ada"', "--wait")
    assert (answer.status, answer.stdout) == (0, '"Hello, ADA!"\n')
    started = weft("start", "hello", "--input", '"Zoë"', "--id", "h-1", "--json").document
    assert (started["workflow_id"], bool(started["run_id"])) == ("h-1", True)
    assert weft("result", "h-1").stdout == '"Hello, ZOË!"\n'
    result = weft("result", "h-1", "--json").document
    assert result == {**started, "result": "Hello, ZOË!"}


def test_starting_twice_meets_the_conflict_policy(dev: Serving) -> None:
    first = weft("start", "approve", "--input", '{"id": 1}', "--id", "a", "--json").document
    error = weft("start", "approve", "--input", '{"id": 1}', "--id", "a", "--json").error
    assert (error["error"], error["run_id"]) == ("AlreadyStartedError", first["run_id"])
    same = weft(
        "start", "approve", "--input", '{"id": 1}', "--id", "a", "--on-conflict", "use_existing", "--json"
    )  # fmt: skip
    assert same.document == first
    once = [
        weft("start", "hello", "--input", '"A"', "--request-id", "r-1", "--json").document
        for _ in range(2)
    ]
    assert once[0] == once[1]


def test_large_payload_lies_beside_the_embedded_log_and_is_shown_when_asked_for(
    dev: Serving, folder: Path
) -> None:
    name = "a" * 2_000_000
    (folder / "name.json").write_text(json.dumps(name), encoding="utf-8")
    answer = weft("start", "hello", "--input", "@name.json", "--id", "h-1", "--wait", "--json")
    assert answer.document["result"] == f"Hello, {name.upper()}!"
    store = folder / ".weft" / "dev.weft.payloads"
    stored = sorted(path for path in store.rglob("*") if path.is_file())
    assert len(stored) == 5, (
        "the input, each activity's input, their results; the last is the run's too"
    )

    shown = weft("show", "h-1", "--json").document
    key = shown["input"]["$weft.stored"]["key"]
    assert store / key in stored
    assert weft("show", "h-1", "--full", "--json").document["input"] == name
    history = weft("history", "h-1").stdout
    assert "hello(<2,000,002 bytes, stored as default/h-1-" in " ".join(history.split())
    assert len(history) < 5000
    assert len(weft("history", "h-1", "--full", "--json").stdout) > 10_000_000

    orphan = store / key.replace("default/h-1-", "default/h-2-")
    orphan.parent.mkdir(parents=True)
    orphan.write_text("orphan", encoding="utf-8")
    assert weft("payloads", "clean").stdout == "0 payloads of 0 bytes deleted\n"
    os.utime(orphan, (0, 1_000_000_000))
    dry = weft("payloads", "clean", "--dry-run")
    assert dry.stdout.endswith("1 payloads of 6 bytes would be deleted\n")
    assert orphan.exists()
    cleaned = weft("payloads", "clean", "--json").document
    assert (cleaned["deleted"], cleaned["bytes"], len(cleaned["keys"])) == (True, 6, 1)
    assert not orphan.exists()
    assert weft("purge", "h-1").status == 0
    deadline_s = time.monotonic() + PATIENCE_S
    while any(path.is_file() for path in store.rglob("*")):
        assert time.monotonic() < deadline_s, "the payloads of a purged run stay"
        time.sleep(0.02)


@pytest.mark.requirement("R3-10")
def test_signal_reaches_a_waiting_workflow(dev: Serving) -> None:
    weft("start", "approve", "--input", '{"id": 7}', "--id", "a")
    shown = weft("show", "a")
    assert "approve" in shown.stdout
    assert "waits for timers" in shown.stdout
    for _ in range(2):
        sent = weft("signal", "a", "approval", "--payload", '{"by": "Ada"}', "--signal-id", "s")
        if sent.status:  # the first one has ended it already
            assert "has ended (completed)" in sent.stderr
    assert weft("result", "a").stdout == '"order 7 approved by Ada"\n'
    events = weft("history", "a", "--json").document["events"]
    received = [event for event in events if event["type"] == "SignalReceived"]
    assert [event["payload"] for event in received] == [{"by": "Ada"}]


@pytest.mark.requirement("R3-41")
def test_list_shows_the_newest_first_and_filters_by_status(dev: Serving) -> None:
    assert weft("list").stdout == "no workflows\n"
    for number in range(3):
        weft("start", "approve", "--input", "{}", "--id", f"a-{number}")
    weft("start", "refuse", "--id", "r")
    assert weft("result", "r").status == 1
    listed = weft("list", "--json").document
    assert [one["workflow_id"] for one in listed] == ["r", "a-2", "a-1", "a-0"]
    running = weft("list", "--filter-status", "running", "--limit", "2", "--json").document
    assert [one["workflow_id"] for one in running] == ["a-2", "a-1"]
    lines = weft("list", "--filter-status", "failed").stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["ID", "WORKFLOW", "STATUS"],
        ["r", "refuse", "failed"],
    ]
    assert (
        "There is no status 'done'; there are running"
        in weft("list", "--filter-status", "done").stderr
    )


def test_history_that_was_downloaded_fits_the_code_that_wrote_it(
    dev: Serving, folder: Path
) -> None:
    name = "x" * 1_000_000  # no record takes it: it lies in the payload store
    weft("start", "hello", "--input", json.dumps(name), "--id", "h", "--wait")
    answer = weft("history", "h", "--download", "h.json")
    assert answer.stdout == "6 events of h written to h.json\n"
    document = json.loads((folder / "h.json").read_text(encoding="utf-8"))
    assert (document["workflow_id"], len(document["events"])) == ("h", 6)
    assert document["events"][0]["input"] == name
    gate = weft("replay", "h.json", "--workflows", "shop.py")
    assert (gate.status, gate.stdout.splitlines()[-1]) == (0, "1 replayed, all fit")
    shop = (folder / "shop.py").read_text(encoding="utf-8")
    changed = shop.replace("execute_activity(greet, await", "execute_activity(hold, await")
    (folder / "changed.py").write_text(changed, encoding="utf-8")
    gate = weft("replay", "h.json", "--workflows", "changed.py")
    assert (gate.status, gate.stdout.splitlines()[-1]) == (1, "1 replayed, 1 differ")
    told = weft("history", "h", "--download", "nowhere/h.json", "--json").error
    assert told["message"] == "nowhere/h.json cannot be written: No such file or directory"


def test_custom_status_is_shown_and_listed_where_there_is_one(dev: Serving) -> None:
    weft("start", "refuse", "--id", "r")
    assert weft("result", "r").status == 1
    assert "CUSTOM STATUS" not in weft("list").stdout
    weft("start", "approve", "--input", "{}", "--id", "a")
    heading, approve, refuse = (line.rstrip() for line in weft("list").stdout.splitlines())
    assert heading.endswith("CUSTOM STATUS")
    assert approve.endswith('{"waits for": "approval"}')
    assert refuse.endswith("SoldOut: sold out")
    assert 'custom status  {"waits for": "approval"}' in weft("show", "a").stdout
    assert weft("show", "a", "--json").document["custom_status"] == {"waits for": "approval"}


def test_patches_of_a_run_are_shown(dev: Serving) -> None:
    assert weft("start", "changed", "--id", "c", "--wait").stdout == "[true, true, true]\n"
    assert "patches      tax-2026, no-fee" in weft("show", "c").stdout
    assert weft("show", "c", "--json").document["patches"] == ["tax-2026", "no-fee"]
    lines = [line.split()[3:] for line in weft("history", "c").stdout.splitlines()]
    assert ["WorkflowPatched", "tax-2026"] in lines
    weft("start", "refuse", "--id", "r")
    assert "patches" not in weft("show", "r").stdout


@pytest.mark.requirement("R3-42")
def test_history_shows_every_event(dev: Serving) -> None:
    weft("start", "hello", "--input", '"Ada"', "--id", "h", "--wait")
    document = weft("history", "h", "--json").document
    assert [event["event_id"] for event in document["events"]] == [1, 2, 3, 4, 5, 6]
    lines = weft("history", "h").stdout.splitlines()
    assert [line.split()[3:] for line in lines[1:]] == [
        ["WorkflowStarted", 'hello("Ada")'],
        ["ActivityScheduled", 'shout("Ada"),', "number", "1"],
        ["ActivityCompleted", "shout", "->", '"ADA"'],
        ["ActivityScheduled", 'greet("ADA"),', "number", "2"],
        ["ActivityCompleted", "greet", "->", '"Hello,', 'ADA!"'],
        ["WorkflowCompleted", "->", '"Hello,', 'ADA!"'],
    ]


def test_failed_workflow_is_an_error_that_tells_why(dev: Serving) -> None:
    error = weft("start", "refuse", "--id", "r", "--wait", "--json").error
    expected = {
        "error": "WorkflowFailedError",
        "workflow_id": "r",
        "status": "failed",
        "type": "SoldOut",
        "details": {"left": 0},
    }
    assert {name: error[name] for name in expected} == expected
    assert "sold out" in error["message"]
    answer = weft("result", "r")
    assert (answer.status, answer.stdout) == (1, "")
    assert answer.stderr.startswith("Error: Workflow 'r' (run ")
    shown = weft("show", "r", "--json").document
    assert (shown["status"], shown["failure"]["type"]) == ("failed", "SoldOut")


@pytest.mark.requirement("R3-45")
def test_workflow_is_cancelled_or_terminated(dev: Serving) -> None:
    for name, status in (("cancel", "cancelled"), ("terminate", "terminated")):
        weft("start", "approve", "--input", "{}", "--id", name)
        assert weft(name, name, "--reason", "not needed", "--json").document["workflow_id"] == name
        assert weft("result", name, "--json").error["status"] == status
        assert weft("show", name, "--json").document["reason"] == "not needed"
        assert "has ended" in weft(name, name).stderr


def test_query_is_answered_by_the_running_code(dev: Serving) -> None:
    weft("start", "approve", "--input", '{"id": 7}', "--id", "asked")
    assert weft("query", "asked", "order", "--payload", '"id"').stdout == "7\n"
    answer = weft("query", "asked", "order", "--payload", '"id"', "--json").document
    assert answer == {"workflow_id": "asked", "query": "order", "answer": 7}
    unknown = weft("query", "asked", "size")
    assert (unknown.status, "(it answers: order)" in unknown.stderr) == (1, True)


def test_update_is_checked_and_answered_by_the_running_code(dev: Serving) -> None:
    weft("start", "approve", "--input", '{"id": 7}', "--id", "updated")
    renumber = ("update", "updated", "renumber", "--payload")
    assert weft(*renumber, "8", "--update-id", "u-1").stdout == "7\n"
    again = weft(*renumber, "8", "--update-id", "u-1", "--json").document
    assert again == {"workflow_id": "updated", "update": "renumber", "answer": 7}
    accepted = weft(*renumber, "9", "--update-id", "u-2", "--wait", "accepted", "--json").document
    assert accepted == {"workflow_id": "updated", "update": "renumber", "update_id": "u-2"}
    rejected = weft(*renumber, "-1", "--json").error
    assert (rejected["error"], rejected["type"]) == ("UpdateRejectedError", "ValueError")
    assert rejected["reason"] == "-1 is no order"
    failed = weft(*renumber, "0", "--timeout", "1m")
    assert (failed.status, "failed with Taken: 0 is taken" in failed.stderr) == (1, True)
    rows = weft("history", "updated").stdout
    assert "renumber(8), ID u-1" in rows
    assert "renumber -> 7, ID u-1" in rows
    assert "renumber: Taken: 0 is taken, ID " in rows


@pytest.mark.requirement("R3-43", "R3-44")
def test_workflow_is_suspended_and_resumed(dev: Serving) -> None:
    weft("start", "approve", "--input", "{}", "--id", "held")
    answer = weft("suspend", "held", "--reason", "to look at it", "--json").document
    assert answer == {"workflow_id": "held", "suspended": True}
    (listed,) = weft("list", "--status", "suspended", "--json").document
    assert (listed["workflow_id"], listed["status"]) == ("held", "suspended")
    shown = weft("show", "held", "--json").document
    assert (shown["reason"], shown["updates"]) == ("to look at it", [])
    assert "to look at it" in weft("history", "held").stdout
    kept = ("update", "held", "renumber", "--payload", "8", "--update-id", "u-1")
    assert weft(*kept, "--timeout", "1s").status == 1
    (update,) = weft("show", "held", "--json").document["updates"]
    assert update.pop("since").startswith("20")
    assert update == {"update_id": "u-1", "update": "renumber", "status": "kept"}
    assert "updates in flight" in weft("show", "held").stdout
    assert weft("resume", "held").stdout == "held goes on\n"
    assert weft("show", "held", "--json").document["status"] == "running"
    weft("terminate", "held")
    refused = weft("suspend", "held")
    assert (refused.status, "there is nothing to suspend" in refused.stderr) == (1, True)


@pytest.mark.requirement("R3-9")
def test_ended_workflow_is_reset_and_its_history_says_so(dev: Serving) -> None:
    first = weft("start", "approve", "--input", "{}", "--id", "again", "--json").document["run_id"]
    weft("terminate", "again")
    refused = weft("reset", "again", "--to-event", "99")
    assert (refused.status, "there is no event 99 to go back to" in refused.stderr) == (1, True)
    answer = weft("reset", "again", "--to-event", "1", "--reason", "a slip", "--json").document
    assert answer == {"workflow_id": "again", "run_id": f"{first}.2", "to_event": 1}
    assert weft("show", "again", "--json").document["status"] == "running"
    history = " ".join(weft("history", "again").stdout.split())
    assert f"as run {first}.2, from event 1 of run {first}: a slip" in history


@pytest.mark.requirement("R3-46")
def test_purge_deletes_ended_workflows_by_id_by_age_or_all(dev: Serving) -> None:
    for name in ("a", "b", "c"):
        weft("start", "hello", "--input", '"Ada"', "--id", name, "--wait")
    weft("start", "approve", "--input", "{}", "--id", "open")
    assert weft("purge", "--older-than", "720h", "--json").document == {"purged": 0}
    partly = weft("purge", "a", "nothing", "open")
    assert partly.status == 1
    assert partly.stderr.startswith("Error: 1 of 3 purged.\nThere is no workflow 'nothing'")
    assert weft("purge", "--older-than", "0s").stdout == "2 purged\n"
    assert [one["workflow_id"] for one in weft("list", "--json").document] == ["open"]
    weft("terminate", "open")
    assert weft("purge", "--all", "--json").document == {"purged": 1}
    assert weft("history", "a", "--json").error["error"] == "UnknownWorkflowError"
    for wrong in ([], ["a", "--all"], ["--all", "--older-than", "1h"]):
        assert "purge needs either IDs" in weft("purge", *wrong).stderr


def test_errors_are_told_in_plain_words(dev: Serving) -> None:
    unknown = weft("show", "nothing")
    assert unknown.status == 1
    assert unknown.stderr.startswith("Error: There is no workflow 'nothing' in namespace default")
    assert weft("signal", "nothing", "x", "--json").error["error"] == "UnknownWorkflowError"
    assert "at line 1, column 1 of Ada" in weft("start", "hello", "--input", "Ada").stderr
    assert "write a number with its unit" in weft("start", "hello", "--timeout", "5").stderr
    missing = weft("list", "--namespace", "other", "--json").error
    assert missing["error"] == "TopicError"
    assert "weft topics create --namespace other" in missing["message"]
    assert weft("list", "--file", "x.weft", "--kafka", "b:1").stderr.startswith(
        "Error: the command"
    )
    assert "takes --kafka" in weft("dev", "shop.py", "--kafka", "b:1").stderr
    with pytest.raises(Exception, match=r"no embedded log at nowhere.weft"):
        weft("list", "--file", "nowhere.weft", "--debug")


def test_waiting_for_a_blocked_run_is_told_why_it_does_not_end(
    dev: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.cli._workflows._LOOKS_S", (0.2, 0.2))
    assert weft("start", "helo", "--id", "slip").status == 0
    dev.says("workflow 'slip' is blocked: This worker has no workflow 'helo'")
    answer = weft("result", "slip", "--timeout", "1s")
    assert answer.status == 1
    first, _, rest = answer.stderr.partition("\n")
    assert first.startswith("slip is blocked: This worker has no workflow 'helo'")
    assert "Was 'hello' meant?" in first
    assert "has not ended within 1 s: it is blocked" in rest


def test_version_is_shown() -> None:
    assert weft("--version").stdout.startswith("weft 0.")


def test_namespace_and_file_come_from_the_settings_file(folder: Path) -> None:
    (folder / "weft.toml").write_text(
        'namespace = "shop"\nfile = "logs/shop.weft"\n', encoding="utf-8"
    )
    with serving(folder, "dev", "shop.py") as process:
        start = process.says("start one: (.*)").group(1)
        assert "--file logs/shop.weft --namespace shop" in start
        assert weft("start", "hello", "--input", '"Ada"', "--wait").stdout == '"Hello, ADA!"\n'
    (folder / "weft.toml").unlink()
    assert weft("list").status == 1
    options = ["--file", "logs/shop.weft", "--namespace", "shop"]
    assert len(weft("list", "--json", *options).document) == 1


def test_topics_are_created_checked_and_described(folder: Path) -> None:
    created = weft("topics", "create", "--partitions", "3", "--queue", "mail", "--json").document
    assert (created["partitions"], len(created["created"])) == (3, 10)
    assert weft("topics", "create", "--queue", "mail").stdout == "all topics are there\n"
    added = weft("topics", "create", "--json").document
    assert added == {"created": ["default.tasks.default"], "partitions": 3}
    assert weft("topics", "check", "--json").document == {"problems": []}
    missing = weft("topics", "check", "--queue", "fax", "--json")
    (problem,) = json.loads(missing.stdout)["problems"]
    assert (missing.status, problem["topic"], problem["missing"]) == (1, "default.tasks.fax", True)
    assert "partitions, not 4" in weft("topics", "create", "--partitions", "4").stderr
    described = {one["name"]: one for one in weft("topics", "describe", "--json").document}
    assert described["default.state"]["compacted"]
    assert {one["partitions"] for one in described.values()} == {3}
    assert "default.tasks.mail" in weft("topics", "describe").stdout
    assert weft("topics", "describe", "--namespace", "other").status == 1


def test_sigterm_drains_and_a_second_signal_ends_at_once(folder: Path) -> None:
    (folder / "hold").touch()
    with serving(folder, "dev", "shop.py") as process:
        process.says("start one:")
        weft("start", "slow", "--input", '"a"', "--id", "s")
        wait_for(folder / "begun")
        process.process.send_signal(signal.SIGTERM)
        process.says("stopping: what is under way is finished first")
        (folder / "hold").unlink()
        assert process.process.wait(PATIENCE_S) == 0

    (folder / "hold").touch()
    with serving(folder, "dev", "shop.py") as process:
        process.says("start one:")
        assert weft("result", "s").stdout == '"a"\n'
        weft("start", "slow", "--input", '"b"', "--id", "t")
        process.process.send_signal(signal.SIGINT)
        process.says("stopping:")
        assert process.end(signal.SIGINT) == 128 + signal.SIGINT


def test_worker_says_what_it_serves_and_how_it_is(folder: Path) -> None:
    weft("topics", "create", "--queue", "default", "--queue", "slow")
    with serving(folder, "worker", "shop.py", "--json", "--metrics-port", "0") as process:
        assert process.process.stdout is not None
        assert json.loads(process.process.stdout.readline()) == {
            "log": "embedded dev.weft",
            "namespace": "default",
            "workflows": ["hello", "approve", "refuse", "changed", "slow"],
            "activities": ["greet", "shout", "hold"],
        }
        weft("start", "hello", "--input", '"Ada"', "--wait")
        address = process.says(r"metrics on (http://127.0.0.1:\d+)/metrics").group(1)
        for page, text in (
            ("healthz", '{"healthy": true}'),
            ("readyz", '{"ready": true}'),
            ("metrics", 'weft_activities_total{activity="greet",outcome="completed"} 1.0'),
        ):
            with urllib.request.urlopen(f"{address}/{page}", timeout=5) as answer:
                assert text in answer.read().decode()
        assert process.end(signal.SIGTERM) == 0


def test_worker_that_cannot_serve_says_why(folder: Path) -> None:
    assert "no embedded log" in weft("worker", "shop.py").stderr
    weft("topics", "create")
    assert "weft topics create --namespace default --queue slow" in weft("worker", "shop.py").stderr
    assert "There is no file nothing.py" in weft("worker", "nothing.py").stderr
    assert "excludes" in weft("worker", "shop.py", "--workflows-only", "--activities-only").stderr
    assert "'5' is no duration" in weft("worker", "shop.py", "--drain", "5").stderr


def test_workflows_and_activities_may_be_served_by_different_processes(folder: Path) -> None:
    weft("topics", "create", "--queue", "default", "--queue", "slow")
    with (
        serving(folder, "worker", "shop.py", "--workflows-only") as workflows,
        serving(
            folder, "worker", "shop.py", "--activities-only", "--queue", "default"
        ) as activities,
    ):
        workflows.says("serving on")
        activities.says("  workflows   none")
        assert weft("start", "hello", "--input", '"Ada"', "--wait").stdout == '"Hello, ADA!"\n'
        weft("start", "slow", "--input", '"a"', "--id", "s")
        assert "has not ended within 0.5 s" in weft("result", "s", "--timeout", "500ms").stderr
        with serving(folder, "worker", "shop.py", "--activities-only", "--queue", "slow"):
            assert weft("result", "s").stdout == '"a"\n'
