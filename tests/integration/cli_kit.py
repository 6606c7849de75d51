"""What the tests of the command line share: an application, processes that serve it, and commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from weft.cli import app

APP = '''
import asyncio
import time
from pathlib import Path
from weft import activity, workflow
from weft.activity import Retry
from weft.errors import Failure

@activity.define
async def greet(name: str) -> str:
    return f"Hello, {name}!"

@activity.define(inline=True)
async def shout(name: str) -> str:
    return name.upper()

@activity.define(queue="slow")
def hold(name: str) -> str:
    """Takes as long as the file `hold` exists."""
    Path("begun").touch()
    while Path("hold").exists():
        time.sleep(0.02)
    return name

@workflow.define
async def hello(ctx: workflow.Context, name: str) -> str:
    return await ctx.execute_activity(greet, await ctx.execute_activity(shout, name))

@workflow.define
async def approve(ctx: workflow.Context, order: dict[str, int]) -> str:
    @ctx.on_query("order")
    def field(name: str = "id") -> int | None:
        return order.get(name)

    def is_number(value: int) -> None:
        if value < 0:
            raise ValueError(f"{value} is no order")

    @ctx.on_update("renumber", validator=is_number)
    def renumber(value: int) -> int:
        if not value:
            raise Failure("0 is taken", type="Taken")
        former, order["id"] = order["id"], value
        return former

    ctx.set_status({"waits for": "approval"})
    approval = await ctx.receive_signal("approval", dict[str, str], timeout=3600)
    return f"order {order['id']} approved by {approval['by']}"

@workflow.define
async def refuse(ctx: workflow.Context) -> None:
    raise Failure("sold out", type="SoldOut", details={"left": 0})

@workflow.define
async def changed(ctx: workflow.Context) -> list[bool]:
    return [ctx.patched("tax-2026"), ctx.patched("no-fee"), ctx.patched("tax-2026")]

@workflow.define
async def slow(ctx: workflow.Context, name: str) -> str:
    return await ctx.execute_activity(hold, name)
'''
PATIENCE_S = 30.0


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this the working directory, with an application in it and none of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        if not name.startswith("WEFT_TEST"):  # what the tests' own broker is found by
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    (folder / "shop.py").write_text(APP, encoding="utf-8")
    return folder


class Answer:
    """What a command printed and how it ended."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def document(self) -> Any:
        """The one JSON document of a command that was successful."""
        assert self.status == 0, self.stderr
        assert self.stdout.count("\n") == 1
        return json.loads(self.stdout)

    @property
    def error(self) -> Any:
        """The JSON of a command that was not."""
        assert (self.status, self.stdout) == (1, ""), self.stdout
        return json.loads(self.stderr)


def weft(*arguments: str) -> Answer:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


class Serving:
    """A `weft dev` or `weft worker` process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "weft.cli", *arguments],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until a line on standard error matches."""

        def found() -> re.Match[str] | None:
            matches = (re.search(pattern, line) for line in self.lines)
            return next((match for match in matches if match), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._ended, PATIENCE_S)
            match = found()
        assert match, f"not said: {pattern}\n" + "\n".join(self.lines)
        return match

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Serving]:
    """A process that is gone afterwards, whatever the test did."""
    process = Serving(folder, *arguments)
    try:
        yield process
    finally:
        process.close()
