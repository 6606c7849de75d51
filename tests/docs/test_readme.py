"""Everything in the README is run, as it stands there: only the broker's address and the namespace are replaced."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, Shell, blocks, commands
from tests.support.workers import wait_until

README = (ROOT / "README.md").read_text()
BLOCKS = blocks(README)
GUIDE = {
    **blocks((ROOT / "docs" / "guide" / "changing_code.md").read_text()),
    **blocks((ROOT / "docs" / "guide" / "operating.md").read_text()),
}
"""Its commands about trouble are run on Kafka here."""
ADDRESS = "127.0.0.1:19092"


def test_blocks_are_all_tested_when_the_readme_has_code() -> None:
    in_order = re.findall(r"<!-- test: (\w+) -->", README)
    assert in_order == [
        "hello",
        "dev",
        "kafka",
        "approval",
        "producer",
        "client",
    ]
    untested = re.findall(r"(?<!-->\n)```(?:sh|python)\n(.*?)```", README, re.DOTALL)
    assert [block.splitlines()[0].split()[:2] for block in untested] == [["make", "demo"]]


@pytest.mark.requirement("R2-33", "R3-3", "R3-13")
def test_hello_runs_on_the_embedded_log_when_it_is_typed_as_in_the_readme(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(BLOCKS["hello"])
    example = (ROOT / "examples/hello/hello.py").read_text()
    assert _without_blank_lines(BLOCKS["hello"]) in _without_blank_lines(example)
    shell = Shell(tmp_path)
    dev, start = commands(BLOCKS["dev"])
    with shell.running(dev):
        wait_until((tmp_path / ".weft" / "dev.weft").exists, "weft dev has made its file")
        assert "Hello, Ada!" in shell.run(start)


@pytest.mark.kafka
def test_hello_and_signals_run_on_kafka_when_they_are_typed_as_in_the_readme(
    tmp_path: Path, kafka_address: str, namespace: str
) -> None:
    shell = Shell(tmp_path, WEFT_KAFKA=kafka_address, WEFT_NAMESPACE=namespace)
    (tmp_path / "hello.py").write_text(BLOCKS["hello"])
    (tmp_path / "fulfil.py").write_text(BLOCKS["approval"])
    for name in ("producer", "client"):
        code = (
            BLOCKS[name]
            .replace(ADDRESS, kafka_address)
            .replace("default.signals", f"{namespace}.signals")
        )
        if name == "client":
            code = code.replace(
                f'kafka="{kafka_address}"', f'kafka="{kafka_address}", namespace="{namespace}"'
            )
        (tmp_path / f"{name}.py").write_text(code)
    nobody = (tmp_path / "producer.py").read_text().replace("order-1", "order-3")
    (tmp_path / "nobody.py").write_text(nobody)
    up, export, create, worker, start = commands(BLOCKS["kafka"])
    assert up == ["make", "kafka-up"]
    assert export == ["export", f"WEFT_KAFKA={ADDRESS}"]
    shell.run(create)
    with shell.running([word.replace("9100", "0") for word in worker]):
        assert "Hello, Ada!" in shell.run(start)
    with shell.running(["weft", "worker", "fulfil.py"]):
        order = '{"id": "order-1", "lines": ["a lamp", "a chair"]}'
        shell.run(["weft", "start", "fulfil", "--input", order, "--id", "order-1"])
        shell.run([sys.executable, "producer.py"])
        result = shell.run(["weft", "result", "order-1"])
        assert "approved by Grace" in result
        assert "shipped a chair" in result
        seen = shell.run([sys.executable, "client.py"])
        assert "approved by Ada" in seen
        assert "SignalReceived" in seen
        assert "WorkflowCompleted" in seen
        check_troubles(shell)
        for command in ("list --status running", "show order-2", "history order-2"):
            shell.run(["weft", *command.split()])
        assert "order-2" in shell.run(["weft", "list"])
        shell.run(["weft", "purge", "--older-than", "0s"])
        assert "order-2" not in shell.run(["weft", "list"])


def check_troubles(shell: Shell) -> None:
    """A signal for nobody is put aside, and reaches its workflow when that is there."""
    shell.run([sys.executable, "nobody.py"])
    blocked, unblock = commands(GUIDE["blocked"])
    listing, show, replay, replay_all = commands(GUIDE["letters"])
    wait_until(lambda: "no workflow 'order-3'" in shell.run(listing), "it is put aside")
    assert "1 dead letter in the last hour." in shell.run(["weft", "doctor"])
    (letter,) = json.loads(shell.run([*listing, "--json"]))
    place = f"{letter['partition']}@{letter['offset']}"
    assert "no workflows" in shell.run(blocked)
    assert "no workflow is blocked" in shell.run(unblock)
    assert '"by": "Grace"' in shell.run([*show[:-1], place])
    order = '{"id": "order-3", "lines": []}'
    shell.run(["weft", "start", "fulfil", "--input", order, "--id", "order-3"])
    assert "1 replayed" in shell.run([*replay[:-1], place])
    assert "approved by Grace" in shell.run(["weft", "result", "order-3"])
    assert "0 replayed" in shell.run(replay_all)


def _without_blank_lines(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if line)
