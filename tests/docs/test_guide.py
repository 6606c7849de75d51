"""Every block of the guide is run: its code in virtual time, its commands on the embedded log, two of them on Kafka."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.documents import ROOT, Shell, blocks, commands
from tests.support.workers import wait_until
from weft.cli import app
from weft.cli._settings import load_settings
from weft.errors import UpdateRejectedError, WorkflowFailedError
from weft.testing import Environment, replay

PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs" / "guide").glob("*.md")}
BLOCKS = {name: code for page in PAGES.values() for name, code in blocks(page).items()}
ADDRESS = "127.0.0.1:19092"
COMMANDS = {
    "blocked",
    "client",
    "dev",
    "doctor",
    "gate",
    "holding",
    "kafka",
    "letters",
    "looking",
    "query",
    "resetting",
    "settings",
    "signal",
    "start",
    "topics",
    "update",
    "worker",
}
"""Blocks that are run in a shell by the tests below; all others are modules with a play."""

Play = Callable[[Any, Environment], None]
PLAYS: dict[str, Play] = {}


def plays(name: str) -> Callable[[Play], Play]:
    """What shows that the module of this block does what the guide says."""

    def register(play: Play) -> Play:
        PLAYS[name] = play
        return play

    return register


def load(name: str) -> ModuleType:
    module = ModuleType(f"guide_{name}")
    spec = importlib.util.spec_from_loader(module.__name__, loader=None)
    module.__spec__ = spec
    sys.modules[module.__name__] = module  # hints are looked up there
    exec(compile(BLOCKS[name], f"<the guide's {name}>", "exec"), module.__dict__)
    return module


def test_every_block_is_run() -> None:
    assert PLAYS.keys() | COMMANDS == BLOCKS.keys()
    assert sum(len(blocks(page)) for page in PAGES.values()) == len(BLOCKS), "a name twice"
    fences = sum(len(re.findall(r"^```\w", page, re.MULTILINE)) for page in PAGES.values())
    assert fences == len(BLOCKS) + 1, "all but the installation"
    assert re.findall(r"(?<!-->\n)```sh\n(\w+ \w+)", PAGES["first_steps"]) == ["pip install"]


@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in COMMANDS])
def test_code_of_the_guide_does_what_it_says(name: str, env: Environment) -> None:
    PLAYS[name](load(name), env)


@plays("hello")
def _hello(module: Any, env: Environment) -> None:
    assert env.start(module.hello, "Ada").result() == "Hello, Ada!"


@plays("idempotent")
def _idempotent(module: Any, env: Environment) -> None:
    paid = env.start(module.pay, "order-1", id="order-1").result()
    assert paid["cents"] == 4200
    assert paid["key"].startswith("order-1/")


@plays("retries")
def _retries(module: Any, env: Environment) -> None:
    env.fake(module.charge, *[ConnectionError("down")] * 20, "a receipt")
    assert env.start(module.pay, "order-1").result() == "a receipt"
    assert len(env.calls(module.charge)) == 21


@plays("long")
def _long(module: Any, env: Environment) -> None:
    assert env.start(module.nightly, 1000).result() == 1000
    env.fake(module.import_rows, lambda count: count, takes=timedelta(hours=3))
    with pytest.raises(WorkflowFailedError, match="timeout"):
        env.start(module.nightly, 1).result()


@plays("threads")
def _threads(module: Any, env: Environment) -> None:
    assert env.start(module.album, ["a cat", "a dog"]).result() == [
        "a cat, smaller",
        "a dog, smaller",
    ]


@plays("processes")
def _processes(module: Any, env: Environment) -> None:
    assert env.start(module.count_primes, 30).result() == 10


@plays("short")
def _short(module: Any, env: Environment) -> None:
    assert env.start(module.bill, 2).result() == 11662


@plays("parallel")
def _parallel(module: Any, env: Environment) -> None:
    assert env.start(module.fulfil, ["a lamp", "a chair"]).result() == [
        "a lamp picked",
        "a chair picked",
    ]


@plays("timers")
def _timers(module: Any, env: Environment) -> None:
    assert env.start(module.trial, "Ada").result() == "reminder 3 to Ada"
    assert env.elapsed == timedelta(days=28)
    env.fake(module.remind, "one", "two", "late", takes=timedelta(minutes=5))
    assert env.start(module.trial, "Ada").result() == "nobody was reminded in time"


@plays("approval")
def _approval(module: Any, env: Environment) -> None:
    run = env.start(module.approval, "a lamp")
    run.signal("approval", "Grace", after=timedelta(days=1))
    assert run.result() == "a lamp: approved by Grace"
    assert env.start(module.approval, "a lamp").result() == "a lamp: nobody approved"


@plays("handlers")
def _handlers(module: Any, env: Environment) -> None:
    run = env.start(module.basket)
    for line in ("a lamp", "a chair"):
        run.signal("add", line)
    run.signal("pay")
    assert run.result() == ["a lamp", "a chair"]


@plays("updates")
def _updates(module: Any, env: Environment) -> None:
    run = env.start(module.cart)
    assert run.update("add", "a lamp") == 1
    assert run.update("add", "a chair") == 2
    with pytest.raises(UpdateRejectedError, match="already"):
        run.update("add", "a lamp")
    run.signal("close")
    assert run.result() == ["a lamp", "a chair"]


@plays("progress")
def _progress(module: Any, env: Environment) -> None:
    run = env.start(module.import_all, ["a.csv", "bb.csv"])
    env.advance(timedelta(seconds=1))
    assert run.query("progress") == {"done": ["a.csv", "bb.csv"], "rows": 11}
    run.signal("checked")
    assert run.result() == 11


@plays("chain")
def _chain(module: Any, env: Environment) -> None:
    assert env.start(module.chain, 2).result() == 24


@plays("errors")
def _errors(module: Any, env: Environment) -> None:
    assert env.start(module.pay, "order-1").result() == "declined after 1 attempt: order-1"


@plays("saga")
def _saga(module: Any, env: Environment) -> None:
    def book(part: str) -> str:
        if part == "a hotel":
            raise ConnectionError("down")
        return part

    env.fake(module.book, book)
    with pytest.raises(WorkflowFailedError, match="down"):
        env.start(module.travel, ["a flight", "a hotel", "a car"]).result()
    assert [call.arguments for call in env.calls(module.give_back)] == [("a hotel",), ("a flight",)]


@plays("cancelled")
def _cancelled(module: Any, env: Environment) -> None:
    run = env.start(module.meeting, "room 1")
    run.cancel(after=timedelta(hours=1))
    with pytest.raises(WorkflowFailedError):
        run.result()
    assert run.status == "cancelled"
    assert [call.arguments for call in env.calls(module.release)] == [("room 1",)]


@plays("scope")
def _scope(module: Any, env: Environment) -> None:
    run = env.start(module.watch)
    run.signal("stop", after=timedelta(minutes=1))
    assert run.result() == "stopped"
    assert env.start(module.watch).result() == "an hour went by"


@plays("children")
def _children(module: Any, env: Environment) -> None:
    run = env.start(module.deliver_all, ["order-1", "order-2"])
    assert run.result() == ["order-1 shipped", "order-2 shipped"]


@plays("neighbours")
def _neighbours(module: Any, env: Environment) -> None:
    shelf = env.start(module.shelf, 3, id="shelf-1")
    assert env.start(module.buy, "shelf-1").result() == 2
    assert shelf.result() == "2 left"


@plays("publish")
def _publish(module: Any, env: Environment) -> None:
    assert env.start(module.dispatch, "order-1").result() == 2
    (record,) = env.published("parcels")
    assert (record.key, record.value) == ("order-1", {"order": "order-1", "boxes": 2})


@plays("forever")
def _forever(module: Any, env: Environment) -> None:
    run = env.start(module.subscription, {"customer": "Ada", "month": 1})
    run.signal("cancel", after=timedelta(days=30 * 11 + 1))
    assert run.result() == "Ada left in month 12"
    assert len(env.calls(module.charge)) == 12


@plays("before")
def _before(module: Any, env: Environment) -> None:
    run = env.start(module.fulfil, "a lamp")
    run.signal("packed")
    assert run.result() == ["a lamp charged", "a lamp shipped"]


@plays("versions")
def _versions(module: Any, env: Environment) -> None:
    env.deploy(module.fulfil_1, module.fulfil_2)
    assert env.start(module.fulfil_1, "a lamp").result() == "a lamp by hand"
    assert env.start(module.fulfil_2, "a lamp").result() == "a lamp by robot"


@plays("after")
def _after(module: Any, env: Environment) -> None:
    old = env.start(load("before").fulfil, "a lamp")
    env.advance(timedelta(seconds=1))
    assert replay(old.history, module.fulfil) == 1
    env.deploy(module.fulfil)
    new = env.start(module.fulfil, "a chair")
    for run in (old, new):
        run.signal("packed")
    assert old.result() == ["a lamp charged", "a lamp shipped"]
    assert new.result() == ["a chair charged", "a chair insured", "a chair shipped"]


# Commands.


class Quick(Shell):
    """Runs `weft` in this process, a second sooner; what loads a user's code, and what serves it, has its own."""

    def run(self, words: list[str], status: int = 0) -> str:
        if words[0] != "weft" or words[1] == "replay":
            return super().run(words, status)
        env = {name: self.env.get(name) for name in ("WEFT_KAFKA", "WEFT_FILE", "WEFT_NAMESPACE")}
        with contextlib.chdir(self.folder):
            done = CliRunner(env=env).invoke(app, words[1:])
        assert done.exit_code == status, f"{words}: {done.output}"
        return done.stdout


def serve(shell: Shell, *names: str) -> None:
    for name in names:
        (shell.folder / f"{name}.py").write_text(BLOCKS[name], encoding="utf-8")


def made(shell: Shell) -> None:
    wait_until((shell.folder / ".weft" / "dev.weft").exists, "weft dev has made its file")


def test_first_steps_run_as_they_are_typed(tmp_path: Path) -> None:
    shell = Quick(tmp_path)
    serve(shell, "hello")
    (dev,) = commands(BLOCKS["dev"])
    start, show, history = commands(BLOCKS["start"])
    with shell.running(dev):
        made(shell)
        assert "Hello, Ada!" in shell.run(start)
    with shell.running(dev):
        assert "completed" in shell.run(show)
        assert "ActivityCompleted" in shell.run(history)


@pytest.mark.kafka
def test_first_steps_run_on_kafka_as_they_are_typed(
    tmp_path: Path, kafka_address: str, namespace: str
) -> None:
    shell = Quick(tmp_path, WEFT_KAFKA=kafka_address, WEFT_NAMESPACE=namespace)
    serve(shell, "hello")
    there = BLOCKS["client"].replace(
        f'kafka="{ADDRESS}"', f'kafka="{kafka_address}", namespace="{namespace}"'
    )
    (tmp_path / "client.py").write_text(there, encoding="utf-8")
    export, create, worker = commands(BLOCKS["kafka"])
    assert export == ["export", f"WEFT_KAFKA={ADDRESS}"]
    shell.run(create)
    with shell.running(worker):
        start, show, _ = commands(BLOCKS["start"])
        assert "Hello, Ada!" in shell.run(start)
        assert "completed" in shell.run(show)
        assert shell.run([sys.executable, "client.py"]) == "hello-2 Hello, Grace!\n"


def test_signals_and_queries_run_as_they_are_typed(tmp_path: Path) -> None:
    shell = Quick(tmp_path)
    code = BLOCKS["approval"] + BLOCKS["progress"] + BLOCKS["updates"]
    (tmp_path / "flows.py").write_text(code, encoding="utf-8")
    with shell.running(["weft", "dev", "flows.py"]):
        made(shell)
        said = [shell.run(words) for words in commands(BLOCKS["signal"])]
        assert "a lamp: approved by Grace" in said[-1]
        start, query, show, signal = commands(BLOCKS["query"])
        shell.run(start)
        wait_until(lambda: '"rows": 11' in shell.run(query), "both files are imported")
        assert '{"step": "bb.csv"}' in shell.run(show)
        shell.run(signal)
        assert "11" in shell.run(["weft", "result", "import-1"])
        start, update, close = commands(BLOCKS["update"])
        shell.run(start)
        assert shell.run(update) == "1\n"
        shell.run(close)
        assert shell.run(["weft", "result", "cart-1"]) == '["a lamp"]\n'


def test_production_runs_as_it_is_typed(tmp_path: Path) -> None:
    shell = Quick(tmp_path, WEFT_FILE="shop.weft")
    serve(shell, "hello")
    create, check = commands(BLOCKS["topics"])
    (worker,) = commands(BLOCKS["worker"])
    (doctor,) = commands(BLOCKS["doctor"])
    shell.run(create)
    shell.run(check)
    with shell.running([word.replace("9100", "0") for word in worker]):
        start, *_ = commands(BLOCKS["start"])
        assert "Hello, Ada!" in shell.run([*start, "--namespace", "shop"])
        said = shell.run(doctor)
    assert "with 8 partitions each" in said
    assert "ERROR" not in said


def test_settings_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "weft.toml"
    file.write_text(BLOCKS["settings"], encoding="utf-8")
    settings = load_settings({}, file)
    assert settings.kafka == "broker-1:9093,broker-2:9093"
    assert settings.payload_store == "s3://shop/weft"
    assert settings.kafka_config["sasl.username"] == "shop"


def test_changing_code_runs_as_it_is_typed(tmp_path: Path) -> None:
    shell = Quick(tmp_path)
    file = tmp_path / "fulfil.py"
    download, gate = commands(BLOCKS["gate"])
    blocked, unblock = commands(BLOCKS["blocked"])
    unguarded = BLOCKS["after"].replace('if ctx.patched("insurance"):', "if True:")
    file.write_text(BLOCKS["before"], encoding="utf-8")
    dev = ["weft", "dev", "fulfil.py"]
    with shell.running(dev):
        made(shell)
        start = ["weft", "start", "fulfil", "--input", '"a lamp"', "--id", "order-1"]
        shell.run(start)
        wait_until(lambda: "charged" in shell.run(["weft", "history", "order-1"]), "it is charged")
        shell.run(download)
    file.write_text(unguarded, encoding="utf-8")
    assert "insure" in shell.run(gate, status=1)
    with shell.running(dev):
        shell.run(["weft", "signal", "order-1", "packed"])
        wait_until(lambda: "order-1" in shell.run(blocked), "it is blocked")
        assert "insure" in shell.run(["weft", "show", "order-1"])
    file.write_text(BLOCKS["after"], encoding="utf-8")
    assert "all fit" in shell.run(gate)
    with shell.running(dev):
        assert "a lamp shipped" in shell.run(["weft", "result", "order-1"])
        assert "no workflow is blocked" in shell.run(unblock)


def test_operating_runs_as_it_is_typed(tmp_path: Path) -> None:
    shell = Quick(tmp_path)
    serve(shell, "approval")
    with shell.running(["weft", "dev", "approval.py"]):
        made(shell)
        for number in (1, 2, 3):
            name = f"order-{number}"
            shell.run(["weft", "start", "approval", "--input", '"a lamp"', "--id", name])
        shell.run(["weft", "signal", "order-2", "approval", "--payload", '"Ada"'])
        listing, show, history, result = commands(BLOCKS["looking"])
        assert "approved by Ada" in shell.run(result)
        assert "waits for timers" in shell.run(show)
        assert "WorkflowStarted" in shell.run(history)
        assert "order-3" in shell.run(listing)
        suspend, resume, cancel, terminate, purge, older = commands(BLOCKS["holding"])
        shell.run(suspend)
        assert "stock is counted" in shell.run(["weft", "list", "--status", "suspended"])
        shell.run(resume)
        shell.run(cancel)
        wait_until(lambda: "cancelled" in shell.run(["weft", "show", "order-1"]), "it has ended")
        shell.run(terminate)
        history, reset = commands(BLOCKS["resetting"])
        assert "WorkflowTerminated" in shell.run(history)
        assert "goes on from event 1 as run" in shell.run(reset)
        assert "ended by mistake" in shell.run(history)
        shell.run(purge)
        assert "order-1" not in shell.run(["weft", "list"])
        assert shell.run(older) == "0 purged\n"
        dead_letters(shell)


def dead_letters(shell: Shell) -> None:
    """A signal for a run that has ended is put aside, and can be shown and replayed."""
    listing, show, replayed, replay_all = commands(BLOCKS["letters"])
    shell.run(["weft", "signal", "order-1", "approval"], status=1)
    send = (
        "import asyncio\n"
        "from weft.client import Client\n"
        "async def main():\n"
        "    async with Client.connect(embedded='.weft/dev.weft') as client:\n"
        "        await client.handle('order-9').signal('approval', 'Ada', confirm=False)\n"
        "asyncio.run(main())\n"
    )
    shell.run([sys.executable, "-c", send])
    wait_until(lambda: "no workflow 'order-9'" in shell.run(listing), "it is put aside")
    letters = json.loads(shell.run([*listing, "--json"]))
    (letter,) = [one for one in letters if "order-9" in str(one)]
    place = f"{letter['partition']}@{letter['offset']}"
    assert "Ada" in shell.run([*show[:-1], place])
    assert "1 replayed" in shell.run([*replayed[:-1], place])
    assert "replayed" in shell.run(replay_all)
